"""The workflows that come with the pack, and the pictures that they load, for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from support.paths import ROOT
from support.portrait import read_workflow

from headsup_core.image_files import write_picture

from .people import astronaut, group_photo, hanks

WORKFLOWS = sorted((ROOT / "workflows").glob("*.json"))
BLUEPRINTS = sorted((ROOT / "subgraphs").glob("*.json"))
NAMES = [path.stem for path in WORKFLOWS]
APPS = [name for name in NAMES if name.startswith("App - ")]
GRAPHS = [name for name in NAMES if name not in APPS]
NOTES = {"Note", "MarkdownNote"}
FRIEND = (20, 230, 210, 420)  # left, top, right, bottom of somebody in insightface's group photo


def workflow(name: str) -> dict[str, Any]:
    """The JSON of a workflow."""
    return read_workflow(ROOT / "workflows" / f"{name}.json")


def write_pictures(folder: Path) -> None:
    """Small pictures under all names that the workflows load, in place of those that come with the pack."""
    left, top, right, bottom = FRIEND
    friend = group_photo()[..., top:bottom, left:right].permute(0, 2, 3, 1)
    people = [resized(person, 128) for person in (astronaut(), hanks(), friend)]
    pictures = {
        "headsup_portrait": astronaut(96),
        "headsup_photo": astronaut(192),
        "headsup_group": torch.cat(people, dim=2),
        "headsup_person_1": astronaut(192),
        "headsup_person_2": hanks(112),
        "headsup_person_3": friend,
        "headsup_old_scan": astronaut(192).mean(-1, keepdim=True).expand(-1, -1, -1, 3) * 0.7 + 0.15,
        "headsup_fit": astronaut(192),
        "headsup_tiny_face": astronaut(48),
        "headsup_batch/1": astronaut(96),
        "headsup_batch/2": hanks(112),
        "headsup_batch/3": hanks(112),
    }
    for name, picture in pictures.items():
        path = folder / f"{name}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_picture(path, picture.permute(0, 3, 1, 2))


def resized(picture: torch.Tensor, side: int) -> torch.Tensor:
    """A square IMAGE at another size."""
    planes = torch.nn.functional.interpolate(picture.permute(0, 3, 1, 2), (side, side), mode="bilinear", antialias=True)
    return planes.permute(0, 2, 3, 1)
