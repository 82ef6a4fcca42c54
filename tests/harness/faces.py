"""Faces made by hand, and real photos that come in packages."""

from __future__ import annotations

import functools
from importlib.resources import files
from pathlib import Path

import torch

from headsup_core.faces.alignment import FFHQ_512
from headsup_core.faces.face import Face
from headsup_core.image_files import read_picture


def face_at(x: float, y: float, eyes: float, score: float = 1.0) -> Face:
    """An upright face, its landmarks' middle at (x, y), with this eye distance."""
    points = FFHQ_512 - FFHQ_512.mean(0)
    points = points / float(torch.linalg.vector_norm(points[1] - points[0])) * eyes + torch.tensor([x, y])
    return Face((x - eyes, y - 1.3 * eyes, x + eyes, y + 1.3 * eyes), points, score)


@functools.lru_cache(maxsize=1)
def astronaut() -> torch.Tensor:
    """NASA's portrait of Eileen Collins, `[1,3,512,512]` in 0..1."""
    from skimage import data

    return torch.from_numpy(data.astronaut()).permute(2, 0, 1)[None].float() / 255


def _insightface_picture(name: str) -> torch.Tensor:
    return read_picture(Path(str(files("insightface"))) / "data" / "images" / name).rgb


@functools.lru_cache(maxsize=1)
def group_photo() -> torch.Tensor:
    """insightface's `t1.jpg`: six people, `[1,3,886,1280]`."""
    return _insightface_picture("t1.jpg")


@functools.lru_cache(maxsize=1)
def tom_hanks() -> torch.Tensor:
    """insightface's aligned face, `[1,3,112,112]`."""
    return _insightface_picture("Tom_Hanks_54745.png")
