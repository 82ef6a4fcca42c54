"""Fitting what a model is told of a person to a few photos: an IDFSR embedding (IDFSR 3.3), or what a one-step model
takes."""

from .curve import loss_curve
from .face_loss import FaceLoss
from .fitting import Fitted, fit_identity
from .options import FittingOptions

__all__ = ["FaceLoss", "Fitted", "FittingOptions", "fit_identity", "loss_curve"]
