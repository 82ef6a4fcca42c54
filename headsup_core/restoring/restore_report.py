"""What a restoration did, for people and for repeating it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .options import RestoreOptions


@dataclass
class RestoreReport:
    """Resolved choices and remarks.

    Attributes:
        input_size, output_size: (height, width) in pixels.
        options: as asked for, with tile, overlap, tile batch and colour fix as they were at the end: restoring the same
            pictures with them gives the same bits.
        tiles: of one picture, or of one face; of the picture that has the most.
        work_ratio: computed area / padded area.
        faces: a line for each face when people were given: who it is, how alike, and how it was conditioned.
        gate: a line for each face that the identity gate scored.
        identity_scores: the same in numbers.
        sent_back: why, a line for each face whose photo was not used, or would not have been.
        chosen: with several models, a line for each face: whose result was taken, and why.
        candidates: the same in numbers.
        failed_models: with several models, a line for each that failed; they stand in `notes`, too.
    """

    model: str
    input_size: tuple[int, int]
    output_size: tuple[int, int]
    options: RestoreOptions
    tiles: int = 0
    work_ratio: float = 1.0
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list[str])
    faces: list[str] = field(default_factory=list[str])
    gate: list[str] = field(default_factory=list[str])
    identity_scores: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    sent_back: list[str] = field(default_factory=list[str])
    chosen: list[str] = field(default_factory=list[str])
    candidates: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    failed_models: list[str] = field(default_factory=list[str])

    @property
    def tile(self) -> int:
        """Largest tile side in output pixels."""
        return self.options.tile or 0

    @property
    def overlap(self) -> int:
        """Least overlap of tiles in output pixels."""
        return self.options.overlap or 0

    @property
    def tile_batch(self) -> int:
        """Tiles in a network call."""
        return self.options.tile_batch or 0

    def text(self) -> str:
        """A few lines for a person."""
        return "\n".join([self.summary(), *self.face_lines()])

    def face_lines(self) -> list[str]:
        """What is said of faces: who they are, how alike, and whose result was taken."""
        return [*self.faces, *self.gate, *self.chosen]

    def summary(self) -> str:
        """The same without the faces."""
        (in_h, in_w), (out_h, out_w) = self.input_size, self.output_size
        lines = [
            f"{self.model}: {in_w}x{in_h} -> {out_w}x{out_h} px in {self.seconds:.1f} s",
            f"tile {self.tile}, overlap {self.overlap}, tile batch {self.tile_batch} "
            f"({self.tiles} tiles, {self.work_ratio:.2f} times the area)",
            self.options.remarks(),
        ]
        return "\n".join(lines + self.notes)

    def to_json(self) -> dict[str, Any]:
        """Plain numbers, texts and lists; the options that can change a pixel stand beside the rest."""
        record = {key: value for key, value in vars(self).items() if key != "options"}
        return record | self.options.settings() | {"tile_batch": self.tile_batch}
