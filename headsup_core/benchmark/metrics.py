"""Quality figures of one picture against the truth, from well-kept libraries."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..libraries import need
from ..training.perceptual import squeeze_lpips

HIGHER_IS_BETTER = {"psnr_y": True, "ssim_y": True, "gmsd": False, "lpips": False}


@dataclass(frozen=True)
class Metrics:
    """PSNR and SSIM of luma, GMSD, and LPIPS-squeeze when its backbone is there."""

    lpips: nn.Module | None

    @classmethod
    def with_backbone(cls, squeezenet: Path | None) -> Metrics:
        """LPIPS needs squeezenet1_1's weights as a local file; None leaves it out."""
        need("piq", purpose="measuring")
        if squeezenet is None:
            return cls(None)
        need("lpips", purpose="measuring")
        return cls(squeeze_lpips(squeezenet))

    @torch.no_grad()
    def measure(self, result: torch.Tensor, truth: torch.Tensor) -> dict[str, float]:
        """Figures of `result` against `truth`, both `[1,3,H,W]` in 0..1, rounded to 8 bits as they would be saved.

        Raises:
            ValueError: the sizes differ.
        """
        piq = need("piq", purpose="measuring")
        if result.shape != truth.shape:
            raise ValueError(f"result {tuple(result.shape)} and truth {tuple(truth.shape)} differ in size")
        result = (result.clamp(0, 1) * 255).round() / 255
        figures = {
            "psnr_y": float(piq.psnr(luma(result), luma(truth), data_range=1.0)),
            "ssim_y": _number(piq.ssim(luma(result), luma(truth), data_range=1.0, downsample=False)),
            "gmsd": float(piq.gmsd(result, truth, data_range=1.0)),
        }
        if self.lpips is not None:
            figures["lpips"] = float(self.lpips(result, truth, normalize=True))
        return figures


def luma(image: torch.Tensor) -> torch.Tensor:
    """Y of ITU-R BT.601 as the field uses it: 16..235 of 255, here as 0..1; `[B,1,H,W]`."""
    weights = torch.tensor([65.481, 128.553, 24.966], dtype=image.dtype, device=image.device) / 255
    return torch.einsum("bchw,c->bhw", image, weights)[:, None] + 16 / 255


def _number(value: Any) -> float:  # noqa: ANN401 - piq returns a tensor or a list of them
    return float(value)
