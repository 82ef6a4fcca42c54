"""`Tagger`: pictures in, words out; what RAM and DAPE are wanted for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from ...errors import InputError
from ...host import Host, PlainHost
from .dape_file import with_dape
from .ram_file import read_ram
from .ram_network import RamNetwork
from .tagging_options import TaggingOptions
from .word_list import WordList, words_for

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SEPARATOR = ", "
MEMORY = 2**30
"""Bytes that a picture takes on the way, generously."""


@dataclass(frozen=True, eq=False)
class Tagger:
    """A loaded RAM, perhaps with DAPE.

    Attributes:
        side: pixels of the square that a picture is reduced to, whatever its shape.
    """

    network: RamNetwork
    words: WordList
    side: int
    name: str

    @torch.no_grad()
    def logits(
        self, picture: torch.Tensor, options: TaggingOptions | None = None, host: Host | None = None
    ) -> torch.Tensor:
        """`[B,T]`, fp32 on the CPU, of pictures `[B,3,H,W]` in 0..1.

        Raises:
            InputError: pictures of another shape, or with NaN.
        """
        if picture.ndim != 4 or picture.shape[1] != 3 or 0 in picture.shape:
            raise InputError(f"picture {tuple(picture.shape)}: must be [batch, 3, height, width]")
        if not bool(picture.isfinite().all()):
            raise InputError("the picture has NaN or infinite values: look at the step before")
        used = PlainHost("cpu") if host is None else host
        used.load([self.network], MEMORY)
        found: list[torch.Tensor] = []
        for one in picture.float().cpu().clamp(0, 1).split(1):
            used.check_cancelled()
            prepared = prepared_picture(one, self.side, options or TaggingOptions())
            found.append(self.network(prepared.to(used.device)).float().cpu())
        return torch.cat(found)

    def tags(
        self, picture: torch.Tensor, options: TaggingOptions | None = None, host: Host | None = None
    ) -> list[str]:
        """For each picture of `[B,3,H,W]` in 0..1 its tags, separated by a comma; "" when nothing is sure enough.

        Raises as `logits`.
        """
        shift = 0.0 if options is None else options.threshold_shift
        probabilities = self.logits(picture, options, host).sigmoid()
        return [SEPARATOR.join(self.words.above(each, shift)) for each in probabilities]


def load_tagger(model: Path, dape: Path | None = None) -> Tagger:
    """RAM's file, and DAPE's over it, on the CPU.

    Raises:
        ModelFileError: a file is missing, damaged, or another model's; which, and what was expected.
    """
    sizes, tensors = read_ram(model)
    words = words_for(sizes.tags, model)
    if dape is not None:
        tensors = with_dape(tensors, sizes, dape)
    name = model.name if dape is None else f"{model.name} with {dape.name}"
    return Tagger(RamNetwork(sizes, tensors), words, sizes.side, name)


def prepared_picture(picture: torch.Tensor, side: int, options: TaggingOptions) -> torch.Tensor:
    """`[1,3,side,side]`, normalised, of a picture `[1,3,H,W]` in 0..1; its shape is not kept, as published."""
    if options.enlarge > 1:
        height, width = (size * options.enlarge for size in picture.shape[-2:])
        picture = _by_pillow(picture, (height, width), Image.Resampling.BICUBIC)
    if options.reduction == "pillow":
        small = _by_pillow(picture, (side, side), Image.Resampling.BILINEAR)
    else:
        smooth = options.reduction == "smooth"
        small = F.interpolate(picture, (side, side), mode="bilinear", align_corners=False, antialias=smooth)
    mean, deviation = (torch.tensor(values).view(1, 3, 1, 1) for values in (MEAN, DEVIATION))
    return (small - mean) / deviation


def _by_pillow(picture: torch.Tensor, size: tuple[int, int], filter_: Image.Resampling) -> torch.Tensor:
    array = (picture[0].permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()
    resized = Image.fromarray(array).resize((size[1], size[0]), filter_)
    return torch.from_numpy(np.array(resized, dtype=np.float32) / 255).permute(2, 0, 1)[None]
