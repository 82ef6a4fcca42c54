"""How each figure is shown, and which way is better."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Style:
    """Of one figure.

    Attributes:
        better: "+" higher, "-" lower, "" neither.
        digits: after the point.
    """

    better: Literal["+", "-", ""]
    digits: int = 3

    def heading(self, figure: str) -> str:
        return f"{figure} ({self.better})" if self.better else figure


IDENTITY = "id_"
"""Before a recogniser's name: similarity to the face of the true picture, 0 = strangers, 1 = two good photos of one."""
TO_REFERENCE = "_ref"
"""After it: similarity to the reference photo. As like as two photos are is good; more means that it was copied."""
LANDMARKS, MISSED = "landmarks", "missed"

STYLES = {
    "psnr_y": Style("+", 2),
    "ssim_y": Style("+"),
    "gmsd": Style("-"),
    "lpips": Style("-"),
    "dists": Style("-"),
    "niqe": Style("-", 2),
    LANDMARKS: Style("-"),
    MISSED: Style("-", 2),
}


def style(figure: str) -> Style:
    """Raises `KeyError` for a figure that nobody measures."""
    if figure.startswith(IDENTITY):
        return Style("" if figure.endswith(TO_REFERENCE) else "+")
    return STYLES[figure]
