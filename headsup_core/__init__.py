"""HeadsUp: one-step diffusion portrait restoration.

    import headsup_core as hu
    model = hu.load_model("headsup-tiny")
    result = hu.restore(image, model, scale=4)      # image [B,3,H,W] in 0..1 -> result.image [B,3,4H,4W]
"""

from .errors import HeadsUpError, InputError, ModelFileError
from .host import Host, PlainHost
from .models.loading import load_model
from .models.one_step import HeadsUpModel
from .restore.pipeline import RestoreResult, restore

__all__ = [
    "HeadsUpError",
    "HeadsUpModel",
    "Host",
    "InputError",
    "ModelFileError",
    "PlainHost",
    "RestoreResult",
    "load_model",
    "restore",
]
