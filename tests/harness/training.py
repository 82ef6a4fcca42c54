"""People to train on: plain pictures with landmarks beside them; where the shipped configurations lie."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

import headsup_core.training
from headsup_core.faces.alignment import template
from headsup_core.training.run_folder import RunFolder

CONFIGS = Path(headsup_core.training.__file__).parent / "configs"
SIDE = 160
LANDMARKS = template("ffhq", 512) * (40 / 126) - torch.tensor([0.0, 5.0])
"""Upright, eyes 40 px apart."""


def people_folder(parent: Path) -> Path:
    """Two people, two photos each, with landmarks beside them; red and green, the second photo darker."""
    made = parent / "people"
    made.mkdir()
    for person, colour in (("a", (200, 40, 40)), ("b", (40, 200, 40))):
        for photo, light in (("1", 1.0), ("2", 0.5)):
            Image.new("RGB", (SIDE, SIDE), tuple(int(c * light) for c in colour)).save(made / f"{person}_{photo}.png")
            write_tem(made / f"{person}_{photo}.tem", LANDMARKS)
    return made


def write_tem(path: Path, landmarks: torch.Tensor) -> None:
    """Landmarks `[5,2]` as an annotation of the London set."""
    points = torch.zeros(94, 2)
    points[[0, 1, 55, 87, 93]] = landmarks
    path.write_text("94\n" + "\n".join(f"{x} {y}" for x, y in points.tolist()))


@contextmanager
def killed_after_a_checkpoint() -> Iterator[None]:
    """Within the block a run is interrupted as soon as its first checkpoint is written."""
    save = RunFolder.save

    def dying(run: RunFolder, state: Mapping[str, Any]) -> None:
        save(run, state)
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RunFolder, "save", dying)
        try:
            yield
        except KeyboardInterrupt:
            return
    pytest.fail("the run ended without a checkpoint")
