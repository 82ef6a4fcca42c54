"""Fitting a person's embedding to a few photos (IDFSR 3.3)."""

from .curve import loss_curve
from .fitting import Fitted, FittingOptions, fit_identity

__all__ = ["Fitted", "FittingOptions", "fit_identity", "loss_curve"]
