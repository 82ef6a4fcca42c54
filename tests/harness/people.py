"""Photos of people that come with packages of the test environment. Nothing is imported for them, nothing fetched.

`astronaut`, `hanks` and `friends` are IMAGEs for nodes; the `…_photo` are whole, as the core has pictures.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from headsup_core.image_files import read_picture


def astronaut(side: int = 256) -> torch.Tensor:
    """Eileen Collins, `[1,side,side,3]`: the upper middle of scikit-image's picture; eyes 43 px apart at 256."""
    image = Image.open(_file("skimage", "data/astronaut.png")).convert("RGB").crop((96, 0, 352, 256))
    return _tensor(image.resize((side, side), Image.Resampling.LANCZOS))


def hanks(side: int = 112) -> torch.Tensor:
    """Tom Hanks, `[1,side,side,3]`: insightface's aligned portrait of 112 px."""
    image = Image.open(_file("insightface", "data/images/Tom_Hanks_54745.png")).convert("RGB")
    return _tensor(image.resize((side, side), Image.Resampling.LANCZOS))


@lru_cache(maxsize=1)
def friends() -> torch.Tensor:
    """Six people at a table, one in profile, `[1,443,640,3]`: insightface's group photo at half its size."""
    image = Image.open(_file("insightface", "data/images/t1.jpg")).convert("RGB")
    return _tensor(image.resize((640, 443), Image.Resampling.LANCZOS))


@lru_cache(maxsize=1)
def astronaut_photo() -> torch.Tensor:
    """NASA's portrait of Eileen Collins, `[1,3,512,512]` in 0..1."""
    return read_picture(_file("skimage", "data/astronaut.png")).rgb


@lru_cache(maxsize=1)
def group_photo() -> torch.Tensor:
    """insightface's six people at a table, `[1,3,886,1280]` in 0..1."""
    return read_picture(_file("insightface", "data/images/t1.jpg")).rgb


@lru_cache(maxsize=1)
def aligned_photo() -> torch.Tensor:
    """insightface's aligned face of Tom Hanks, `[1,3,112,112]` in 0..1."""
    return read_picture(_file("insightface", "data/images/Tom_Hanks_54745.png")).rgb


def _file(package: str, name: str) -> Path:
    spec = find_spec(package)
    assert spec is not None, f"{package} is not installed"
    assert spec.origin is not None
    return Path(spec.origin).parent / name


def _tensor(image: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.asarray(image, dtype=np.float32) / 255)[None]
