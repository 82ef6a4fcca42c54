"""The folder of a run: checkpoint, log, sample sheets."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ..image_files import write_picture
from ..whole_files import whole_file


class RunFolder:
    """`checkpoint.pt`, `log.csv` and `samples/` of one run; made when it is missing."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def checkpoint(self) -> Path:
        return self._folder / "checkpoint.pt"

    def save(self, state: Mapping[str, Any]) -> None:
        """Write the checkpoint, whole or not at all."""
        with whole_file(self.checkpoint) as temporary:
            torch.save(dict(state), temporary)

    def load(self, device: torch.device) -> dict[str, Any] | None:
        """The checkpoint, None without one."""
        if not self.checkpoint.exists():
            return None
        return torch.load(self.checkpoint, map_location=device, weights_only=True)

    def log(self, row: Mapping[str, Any]) -> None:
        """Add a row to the table, whose columns grow with the names that rows bring."""
        path = self._folder / "log.csv"
        columns: list[str] = []
        rows: list[dict[str, Any]] = []
        if path.exists():
            with path.open(newline="") as file:
                columns = next(csv.reader(file), [])
        new = [name for name in row if name not in columns]
        if not new:
            with path.open("a", newline="") as file:
                csv.DictWriter(file, columns, restval="").writerow(row)
            return
        if columns:
            with path.open(newline="") as file:
                rows = list(csv.DictReader(file))
        with whole_file(path) as temporary, temporary.open("w", newline="") as file:
            writer = csv.DictWriter(file, [*columns, *new], restval="")
            writer.writeheader()
            writer.writerows([*rows, dict(row)])

    def write_samples(self, step: int, sheet: torch.Tensor) -> None:
        """A sheet `[1,3,H,W]` in 0..1 as `samples/STEP.png`."""
        (self._folder / "samples").mkdir(exist_ok=True)
        write_picture(self._folder / "samples" / f"{step:06d}.png", sheet)
