"""`Host` of the core in ComfyUI: its device, memory management, progress bar, Cancel button and model folders."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from PIL import Image
from torch import nn
from typing_extensions import Self

from ...headsup_core import host as core_host
from ..models.model_files import find_file
from .comfy import ProgressBar, model_management
from .memory import load_whole, usable_memory

if TYPE_CHECKING:
    from collections.abc import Sequence

DEVICES = ("auto", "cpu")
PREVIEW_SIDE = 384


@dataclass(frozen=True)
class ComfyHost:
    """The surroundings of one picture's restoration.

    Attributes:
        device: where the networks compute.
        picture, pictures: the picture's index and the number of pictures that share the progress bar.
    """

    device: torch.device
    picture: int = 0
    pictures: int = 1

    @classmethod
    def on(cls, choice: str) -> Self:
        """A host for one of `DEVICES`; "auto" is the device that ComfyUI uses."""
        return cls(torch.device("cpu") if choice == "cpu" else model_management.get_torch_device())

    def for_picture(self, picture: int, pictures: int) -> ComfyHost:
        """The same host for one picture of several."""
        return replace(self, picture=picture, pictures=pictures)

    def load(self, modules: Sequence[nn.Module], bytes_needed: int) -> None:
        core_host.trim_heap()
        load_whole(modules, self.device, bytes_needed)

    def free_memory(self) -> int:
        return usable_memory(self.device)

    def is_out_of_memory(self, error: BaseException) -> bool:
        # 0.3.75 has no is_oom(); its OOM_EXCEPTION is torch's, which the core knows
        is_oom = getattr(model_management, "is_oom", None)
        return core_host.is_out_of_memory(error) or (is_oom is not None and bool(is_oom(error)))

    def release_memory(self) -> None:
        model_management.soft_empty_cache()

    def progress(self, total: int) -> ComfyProgress:
        return ComfyProgress(total, self.picture, self.pictures)

    def check_cancelled(self) -> None:
        model_management.throw_exception_if_processing_interrupted()

    def find_model(self, kind: str, name: str) -> Path:
        return find_file(kind, name)


class ComfyProgress(core_host.NothingToClose):
    """One picture's share of the bar under the node."""

    def __init__(self, total: int, picture: int, pictures: int) -> None:
        self._total, self._picture, self._pictures = total, picture, pictures
        self._done = 0
        self._bar = ProgressBar(total * pictures)

    def advance(self, steps: int = 1, preview: torch.Tensor | None = None) -> None:
        """Count on and show the preview; ComfyUI's cancel exception comes out of here, too."""
        self._done += steps
        picture = None if preview is None else ("JPEG", _to_pillow(preview), PREVIEW_SIDE)
        value = self._total * self._picture + self._done
        self._bar.update_absolute(value, self._total * self._pictures, picture)

    def grow(self, steps: int) -> None:
        self._total += steps


def _to_pillow(picture: torch.Tensor) -> Image.Image:
    """`[3,h,w]` in 0..1 as a Pillow picture."""
    values = (picture.detach().float().clamp(0, 1) * 255).round().to(torch.uint8)
    return Image.fromarray(values.permute(1, 2, 0).cpu().contiguous().numpy())
