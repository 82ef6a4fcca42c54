"""Quality figures of one picture against the truth, from well-kept libraries."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ...libraries import need
from ...training.losses.perceptual import squeeze_lpips
from .niqe import Niqe

DISTS_FILES = ("vgg16-397923af.pth", "dists_weights.pt")
"""What piq's DISTS downloads when they are not in torch's hub folder."""


@dataclass(frozen=True)
class Metrics:
    """PSNR and SSIM of luma, GMSD; LPIPS-squeeze, DISTS and NIQE when their weights are there.

    Attributes:
        left_out: what is not measured, and why.
    """

    lpips: nn.Module | None = None
    dists: nn.Module | None = None
    niqe: Niqe | None = None
    left_out: tuple[str, ...] = ()

    @classmethod
    def from_files(cls, squeezenet: Path | None = None, niqe: Path | None = None) -> Metrics:
        """What the files that are there allow; nothing is downloaded.

        Args:
            squeezenet: squeezenet1_1's weights, for LPIPS.
            niqe: NIQE's pristine parameters.

        Raises:
            InputError: a library is missing.
            ModelFileError: a file is missing or of another kind.
        """
        piq = need("piq", purpose="measuring")
        left_out: list[str] = []
        lpips: nn.Module | None = None
        if squeezenet is not None:
            need("lpips", purpose="measuring")
            lpips = squeeze_lpips(squeezenet)
        else:
            left_out.append("LPIPS is left out: it needs squeezenet1_1's weights (--lpips-backbone)")
        checkpoints = Path(torch.hub.get_dir()) / "checkpoints"
        absent = [name for name in DISTS_FILES if not (checkpoints / name).is_file()]
        if absent:
            left_out.append(f"DISTS is left out: torch's folder hub/checkpoints has no {' and no '.join(absent)}")
        dists = None if absent else piq.DISTS().eval()
        if niqe is None:
            left_out.append("NIQE is left out: it needs its pristine parameters (--niqe)")
        return cls(lpips, dists, None if niqe is None else Niqe.from_file(niqe), tuple(left_out))

    @torch.no_grad()
    def measure(self, result: torch.Tensor, truth: torch.Tensor) -> dict[str, float]:
        """Figures of `result` against `truth`, both `[1,3,H,W]` in 0..1, rounded to 8 bits as they would be saved.

        NIQE only where it has an answer.

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
        if self.dists is not None:
            figures["dists"] = float(self.dists(result, truth))
        blind = None if self.niqe is None else self.niqe.measure(luma(result))
        if blind is not None:
            figures["niqe"] = blind
        return figures


def luma(image: torch.Tensor) -> torch.Tensor:
    """Y of ITU-R BT.601 as the field uses it: 16..235 of 255, here as 0..1; `[B,1,H,W]`."""
    weights = torch.tensor([65.481, 128.553, 24.966], dtype=image.dtype, device=image.device) / 255
    return torch.einsum("bchw,c->bhw", image, weights)[:, None] + 16 / 255


def _number(value: Any) -> float:  # noqa: ANN401 - piq returns a tensor or a list of them
    return float(value)
