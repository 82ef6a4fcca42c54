"""What a restoration did, for people and for repeating it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class RestoreReport:
    """Resolved choices and remarks; entering `tile`, `overlap` and `tile_batch` again gives the same bits.

    Sizes are (height, width) in pixels; `tile` and `overlap` in output pixels, as resolved at the end. `faces` has a
    line for each face when people were given: who it is, how alike, and how it was conditioned.
    """

    model: str
    input_size: tuple[int, int]
    output_size: tuple[int, int]
    tile: int
    overlap: int
    tile_batch: int
    color_fix: str
    strength: float
    seed: int
    tiles: int = 0
    work_ratio: float = 1.0
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list[str])
    faces: list[str] = field(default_factory=list[str])
    gate: list[str] = field(default_factory=list[str])
    identity_scores: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    def text(self) -> str:
        """A few lines for a person."""
        return "\n".join([self.summary(), *self.faces, *self.gate])

    def summary(self) -> str:
        """The same without the faces."""
        (in_h, in_w), (out_h, out_w) = self.input_size, self.output_size
        lines = [
            f"{self.model}: {in_w}x{in_h} -> {out_w}x{out_h} px in {self.seconds:.1f} s",
            f"tile {self.tile}, overlap {self.overlap}, tile batch {self.tile_batch} "
            f"({self.tiles} tiles, {self.work_ratio:.2f} times the area)",
            f"colour fix {self.color_fix}, strength {self.strength:g}, seed {self.seed}",
        ]
        return "\n".join(lines + self.notes)
