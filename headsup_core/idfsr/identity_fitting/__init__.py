"""Fitting an identity's embedding to a few photos for IDFSR (arXiv 2508.10937, 3.3)."""

from .embedding_fitting import Fitted, fit_identity
from .fitting_curve import loss_curve
from .fitting_options import FittingOptions

__all__ = ["Fitted", "FittingOptions", "fit_identity", "loss_curve"]
