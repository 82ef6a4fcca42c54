"""The loss of a fitting as a picture."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image, ImageDraw

from .fitting import Fitted

EDGE = 40
SMOOTH = 0.9
"""Of the running mean: single steps draw t by chance and jump."""
STEP_COLOUR, HELD_COLOUR, BEST_COLOUR, GREY = (60, 110, 200), (210, 90, 40), (60, 150, 70), (120, 120, 120)


def loss_curve(fitted: Fitted, width: int = 640, height: int = 360) -> torch.Tensor:
    """`[1,3,height,width]` in 0..1: running mean of the steps' loss (blue), the held-out photo's (orange), and the step
    whose embedding was taken (green)."""
    canvas = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(canvas)
    smooth = _running_mean(fitted.losses)
    values = [*smooth, *(loss for _, loss in fitted.held_out)] or [0.0]
    low, high = min(values), max(values)
    spread = max(high - low, 1e-9)
    last = max(len(smooth), 1)

    def place(step: float, loss: float) -> tuple[float, float]:
        x = EDGE + step / last * (width - 2 * EDGE)
        return x, height - EDGE - (loss - low) / spread * (height - 2 * EDGE)

    draw.rectangle((EDGE, EDGE, width - EDGE, height - EDGE), outline=GREY)
    draw.text((4, EDGE - 6), f"{high:.3f}", fill=GREY)
    draw.text((4, height - EDGE - 6), f"{low:.3f}", fill=GREY)
    draw.text((width - EDGE - 16, height - EDGE + 6), str(len(smooth)), fill=GREY)
    best = place(fitted.best_step, low)[0]
    draw.line((best, EDGE, best, height - EDGE), fill=BEST_COLOUR)
    if len(smooth) > 1:
        draw.line([place(step + 1, loss) for step, loss in enumerate(smooth)], fill=STEP_COLOUR, width=2)
    if len(fitted.held_out) > 1:
        draw.line([place(step, loss) for step, loss in fitted.held_out], fill=HELD_COLOUR, width=2)
    array = np.asarray(canvas, dtype=np.float32) / 255
    return torch.from_numpy(array.copy()).permute(2, 0, 1)[None]


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
