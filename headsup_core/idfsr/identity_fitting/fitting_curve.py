"""The loss of a fitting as a picture."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw

from ...faces.drawing import font_of
from .embedding_fitting import Fitted

EDGE, TOP = 40, 44
SMOOTH = 0.9
"""Weight of what was before in the running mean: single steps draw t by chance and jump."""
STEP_COLOUR, HELD_COLOUR, BEST_COLOUR, GREY = (60, 110, 200), (210, 90, 40), (60, 150, 70), (120, 120, 120)


def loss_curve(fitted: Fitted, width: int = 640, height: int = 360) -> torch.Tensor:
    """`[1,3,height,width]` in 0..1: running mean of the steps' loss (blue), the held-out photo's (orange, dotted), and
    the step whose embedding was taken (green, upright); named above the curves."""
    canvas = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(canvas)
    smooth = _running_mean(fitted.losses)
    values = [*smooth, *(loss for _, loss in fitted.held_out)] or [0.0]
    low, high = min(values), max(values)
    spread = max(high - low, 1e-9)
    last = max(len(smooth), 1)

    def place(step: float, loss: float) -> tuple[float, float]:
        x = EDGE + step / last * (width - 2 * EDGE)
        return x, height - EDGE - (loss - low) / spread * (height - EDGE - TOP)

    draw.rectangle((EDGE, TOP, width - EDGE, height - EDGE), outline=GREY)
    letters = font_of(max(11, width // 24))
    draw.text((EDGE + 4, TOP + 2), f"{high:.3f}", fill=GREY, font=letters)
    draw.text((EDGE + 4, height - EDGE - 2), f"{low:.3f}", fill=GREY, font=letters, anchor="lb")
    draw.text((width - EDGE, height - EDGE + 4), f"{len(smooth)} steps", fill=GREY, font=letters, anchor="ra")
    best = place(fitted.best_step, low)[0]
    draw.line((best, TOP, best, height - EDGE), fill=BEST_COLOUR, width=3)
    if len(smooth) > 1:
        draw.line([place(step + 1, loss) for step, loss in enumerate(smooth)], fill=STEP_COLOUR, width=3)
    held = [place(step, loss) for step, loss in fitted.held_out]
    draw.line(held, fill=HELD_COLOUR, width=3)
    for x, y in held:
        draw.ellipse((x - 6, y - 6, x + 6, y + 6), fill=HELD_COLOUR)
    _legend(draw, letters)
    array = np.asarray(canvas, dtype=np.float32) / 255
    return torch.from_numpy(array.copy()).permute(2, 0, 1)[None]


def _legend(draw: ImageDraw.ImageDraw, letters: Any) -> None:  # noqa: ANN401 - Pillow's font
    """What the lines are, above them; the held-out photo's has dots, the step that was taken is upright."""
    x = float(EDGE)
    words = [("training", STEP_COLOUR), ("o held-out photo", HELD_COLOUR), ("| taken", BEST_COLOUR)]
    for text, colour in words:
        draw.text((x, 4), text, fill=colour, font=letters)
        x += letters.getlength(text) + letters.size


def _running_mean(losses: tuple[float, ...]) -> list[float]:
    """Exponential, started from the mean of the first few so that one draw does not set it."""
    if not losses:
        return []
    mean = sum(losses[:10]) / len(losses[:10])
    result: list[float] = []
    for loss in losses:
        mean = SMOOTH * mean + (1 - SMOOTH) * loss
        result.append(mean)
    return result
