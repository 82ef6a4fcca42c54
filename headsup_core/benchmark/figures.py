"""How each figure of a run is shown, and which way is better: those of pictures, and those of the faces in them."""

from __future__ import annotations

from .metrics.all_metrics import METRICS
from .metrics.metric import Style

IDENTITY = "id_"
"""Before a recogniser's name: similarity to the face of the true picture, 0 = strangers, 1 = two good photos of one."""
TO_REFERENCE = "_ref"
"""After it: similarity to the reference photo. As like as two photos are is good; more means that it was copied."""
COSINE = "cos_"
"""Before a recogniser's name: the raw cosine with the true face's embedding, papers' "ID"."""
ANGLE = "deg_"
"""The same as an angle in degrees, papers' "Deg." (in radians: "IDA")."""
MEAN_IDENTITY = "identity"
"""Mean of `id_NAME` over the recognisers that are independent judges."""
LANDMARKS, MISSED = "landmarks", "missed"
LMD = "lmd"
"""Landmark distance in pixels of the face aligned at 512 px, as papers state it (theirs: 68 or 98 landmarks)."""

STYLES = {
    **{metric.name: metric.style for metric in METRICS},
    LANDMARKS: Style("-"),
    MISSED: Style("-", 2),
    MEAN_IDENTITY: Style("+"),
    LMD: Style("-", 2),
}


def style(figure: str) -> Style:
    """How the figure is shown. Raises `KeyError` for a figure that nobody measures."""
    if figure.startswith(IDENTITY):
        return Style("" if figure.endswith(TO_REFERENCE) else "+")
    if figure.startswith(COSINE):
        return Style("+")
    if figure.startswith(ANGLE):
        return Style("-", 1)
    return STYLES[figure]


def as_papers_state_it(figure: str) -> bool:
    """Whether the figure says again what another one says, on the scale that publications use."""
    return figure == LMD or figure.startswith((COSINE, ANGLE))
