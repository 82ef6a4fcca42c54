"""Training crops: folders of clean pictures mixed by ratio, degraded on the fly, deterministic by index."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch.utils.data import Dataset

from ..errors import InputError
from ..image_files import picture_files
from .degradation import degrade


@dataclass(frozen=True)
class SourceConfig:
    """One folder of clean pictures.

    Attributes:
        ratio: share of the samples drawn from it.
        longest_side: larger pictures are reduced to this once, in memory.
        zoom: range of the factor by which a picture is reduced before cropping.
        centre: standard deviation of the crop's centre about the picture's, as a share of its side; 0: anywhere.
        hold_out: leave out every n-th person (sorted by the file name up to the first `_`) for measuring; 0: none.
    """

    folder: str
    ratio: float
    longest_side: int = 1024
    zoom: Sequence[float] = (0.5, 1.0)
    centre: float = 0.0
    hold_out: int = 0


def list_pictures(folder: Path) -> list[Path]:
    """Sorted pictures of a folder. Raises `InputError` when it is none, or holds none."""
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder: a folder of pictures is needed")
    return picture_files([folder])


def split_by_person(files: Sequence[Path], hold_out: int) -> tuple[list[Path], list[Path]]:
    """(training, held out): every `hold_out`-th person is held out with all photos."""
    people = sorted({person_of(path) for path in files})
    held = set(people[::hold_out]) if hold_out else set[str]()
    return [f for f in files if person_of(f) not in held], [f for f in files if person_of(f) in held]


def person_of(path: Path) -> str:
    """Who is in the picture: the file name up to the first underscore."""
    return path.stem.split("_")[0]


class CropSource:
    """Pictures of one folder in memory; draws square crops."""

    def __init__(self, config: SourceConfig) -> None:
        self.config = config
        files, _ = split_by_person(list_pictures(Path(config.folder)), config.hold_out)
        self._pictures = [_load(path, config.longest_side) for path in files]

    def crop(self, rng: np.random.Generator, size: int) -> torch.Tensor:
        """A crop `[3,size,size]` in 0..1, reduced by a random zoom, mirrored half the time."""
        picture = self._pictures[rng.integers(len(self._pictures))]
        shortest = min(picture.size)
        low, high = self.config.zoom
        side = min(size / rng.uniform(low, high), shortest)
        corner = [self._start(rng, extent, side) for extent in picture.size]
        box = (corner[0], corner[1], corner[0] + side, corner[1] + side)
        array = np.asarray(picture.resize((size, size), Image.Resampling.LANCZOS, box=box), dtype=np.float32) / 255
        crop = torch.from_numpy(array.copy()).permute(2, 0, 1)
        return crop.flip(-1) if rng.random() < 0.5 else crop

    def _start(self, rng: np.random.Generator, extent: int, side: float) -> float:
        spare = extent - side
        if not self.config.centre:
            return rng.uniform(0, spare)
        return float(np.clip(spare / 2 + rng.normal(0, self.config.centre) * extent, 0, spare))


def _load(path: Path, longest_side: int) -> Image.Image:
    with Image.open(path) as opened:
        picture = opened.convert("RGB")
    picture.thumbnail((longest_side, longest_side), Image.Resampling.LANCZOS)
    return picture


class RestorationDataset(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """Pairs (bad picture enlarged to the good one's size, good picture), `[3,S,S]` in 0..1.

    Item i depends on (seed, i) alone, so a resumed run continues with the very samples it would have seen.
    """

    def __init__(
        self, sources: Sequence[CropSource], degradations: dict[str, float], size: int, length: int, seed: int
    ) -> None:
        self._sources = sources
        self._source_probs = _normalised([source.config.ratio for source in sources])
        self._degradations = list(degradations)
        self._degradation_probs = _normalised(list(degradations.values()))
        self._size = size
        self._length = length
        self._seed = seed

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        rng = np.random.default_rng([self._seed, index])
        source = self._sources[rng.choice(len(self._sources), p=self._source_probs)]
        clean = source.crop(rng, self._size)
        name = self._degradations[rng.choice(len(self._degradations), p=self._degradation_probs)]
        small = degrade(clean[None], name, int(rng.integers(2**31)))
        return enlarge(small, self._size)[0], clean


def enlarge(small: torch.Tensor, size: int) -> torch.Tensor:
    """Bicubic enlargement to `size`, as `restore()` does before encoding."""
    resized = F.interpolate(small, size=(size, size), mode="bicubic", align_corners=False, antialias=True)
    return resized.clamp(0, 1)


def _normalised(weights: Sequence[float]) -> list[float]:
    total = sum(weights)
    return [weight / total for weight in weights]
