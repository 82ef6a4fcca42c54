"""Restoring a batch picture by picture, so that a bad one does not stop the others."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from ..headsup_core import HeadsUpError, HeadsUpModel, InputError, RestoreResult, restore
from ..headsup_core.faces import Face, Faces
from ..headsup_core.imaging.resizing import output_size, resize
from ..headsup_core.restoring.tile_memory import check_picture_fits
from .pictures import Canvas, Pictures, decodable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..headsup_core.faces import FaceAnalyzer
    from ..headsup_core.restoring.people.conditions import UprightReferences
    from ..headsup_core.restoring.people.gate import GateMode
    from .host import ComfyHost

SEEDS = 2**64


@dataclass(frozen=True)
class Options:
    """What the user asked for; None leaves it to the core. Sizes in pixels of the output.

    Attributes:
        mask: `[B,1,h,w]` in 0..1, 1 = restore.
        tags: comma-separated words of a tagger.
        faces: of the pictures of the batch.
        analyzer: recognises the model's people.
        prompt: text, or the text encoder's states `[1,77n,D]`.
    """

    scale: float | None
    long_edge: int | None
    max_megapixels: float
    tile: int
    overlap: int | None
    tile_batch: int
    strength: float
    color_fix: str | None
    seed: int
    prompt: str | torch.Tensor | None = None
    mask: torch.Tensor | None = None
    tags: str | None = None
    faces: Faces | None = None
    identity_gate: GateMode = "on"
    analyzer: FaceAnalyzer | None = None

    def size_of(self, height: int, width: int, *, capped: bool = True) -> tuple[int, int]:
        """The output's (height, width) for a picture. Raises `InputError` when there is none."""
        cap = self.max_megapixels if capped else None
        return output_size(height, width, scale=self.scale, long_edge=self.long_edge, max_megapixels=cap)

    def faces_at(self, height: int, width: int, pictures: int) -> Faces:
        """The given faces in pictures of that size; without any, those of pictures that show none."""
        if self.faces is None:
            return Faces(((),) * pictures, height, width)
        return self.faces.scaled_to(height, width)

    def restore(
        self,
        picture: torch.Tensor,
        index: int,
        model: HeadsUpModel,
        host: ComfyHost,
        references: UprightReferences | None = None,
    ) -> RestoreResult:
        """Restore picture `[1,3,H,W]` at `index` of the batch, with references that the batch shares."""
        return restore(
            picture,
            model,
            self.scale,
            long_edge=self.long_edge,
            max_megapixels=self.max_megapixels,
            prompt=self.prompt,
            tags=self.tags,
            tile=self.tile,
            overlap=self.overlap,
            tile_batch=self.tile_batch,
            color_fix=self.color_fix,
            strength=self.strength,
            mask=None if self.mask is None else self.mask[index : index + 1],
            faces=None if self.faces is None else replace(self.faces, pictures=(self.faces[index],)),
            analyzer=self.analyzer,
            identity_gate=self.identity_gate,
            seed=(self.seed + index) % SEEDS,
            references=references,
            host=host,
        )

    def check(self, model: HeadsUpModel, host: ComfyHost) -> None:
        """Refuse, before any picture is looked at, what no picture could be restored with. Raises `InputError`."""
        self.size_of(1, 1)
        if not 0 <= self.strength <= 1:
            raise InputError(f"strength {self.strength}: must be between 0 (plain enlargement) and 1")
        # one pixel at strength 0 runs no network, but meets every other check of restore()
        plain = replace(self, scale=1.0, long_edge=None, strength=0.0, mask=None, faces=None)
        plain.restore(torch.zeros(1, 3, 1, 1), 0, model, host)


@dataclass(frozen=True, eq=False)
class RestoredBatch:
    """What became of an IMAGE.

    Attributes:
        after, before: restored, and plainly enlarged, `[B,H,W,C]`.
        faces: of the restored pictures; none where nobody looked for any.
        failures: of the report, the lines of pictures that were not restored.
    """

    after: torch.Tensor
    before: torch.Tensor
    report: str
    faces: Faces
    failures: tuple[str, ...] = ()


def restore_batch(
    image: torch.Tensor, model: HeadsUpModel, options: Options, host: ComfyHost, *, keep_going: bool
) -> RestoredBatch:
    """Restore an IMAGE `[B,H,W,C]`.

    With `keep_going`, a picture that cannot be restored is plainly enlarged in both, black where it has no finite
    value, and named in the report; pictures that cannot even be enlarged (result too large) come back as they were.

    Raises:
        InputError: an option that fits no picture; without `keep_going` also a picture that cannot be used.
        HeadsUpError: without `keep_going`, a picture that could not be restored.
    """
    pictures = Pictures.from_image(image)
    options.check(model, host)
    if options.faces is not None:
        options.faces.check_pictures(pictures.rgb)
    height, width = pictures.rgb.shape[-2:]
    try:
        size = options.size_of(height, width)
        check_picture_fits(*size, len(pictures))
    except InputError as error:
        if not keep_going:
            raise
        return _unchanged(pictures, options, f"not enlarged, the picture is as it was: {error}")
    after, before = Canvas(pictures, *size), Canvas(pictures, *size)
    faces = options.faces_at(*size, len(pictures))
    shown: list[tuple[Face, ...]] = []
    report = BatchReport(len(pictures))
    references: UprightReferences = {}
    for index in range(len(pictures)):
        try:
            here = host.for_picture(index, len(pictures))
            result = options.restore(pictures.one(index), index, model, here, references)
        except HeadsUpError as error:
            if not keep_going:
                raise type(error)(report.place(index) + str(error)) from error
            plain = resize(decodable(pictures.one(index)), *size)
            after.put(index, plain)
            before.put(index, plain)
            shown.append(faces[index])
            report.fail(index, f"not restored, plainly enlarged instead: {error}")
        else:
            after.put(index, result.image)
            before.put(index, result.before)
            if result.faces is not None:
                faces = replace(faces, analyzer=result.faces.analyzer)
            shown.append(faces[index] if result.faces is None else result.faces[0])
            report.add(index, result.report.summary(), [*result.report.faces, *result.report.gate])
    wanted = options.size_of(height, width, capped=False) if options.max_megapixels else size
    if wanted != size:
        report.note(
            f"capped at {options.max_megapixels:g} megapixels: {size[1]}x{size[0]} px instead of "
            f"{wanted[1]}x{wanted[0]}; raise max_megapixels for more"
        )
    faces = replace(faces, pictures=tuple(shown))
    return RestoredBatch(after.image, before.image, report.text(), faces, tuple(report.failures))


def _unchanged(pictures: Pictures, options: Options, reason: str) -> RestoredBatch:
    height, width = pictures.rgb.shape[-2:]
    canvas = Canvas(pictures, height, width)
    for index in range(len(pictures)):
        canvas.put(index, decodable(pictures.one(index)))
    faces = options.faces_at(height, width, len(pictures))
    return RestoredBatch(canvas.image, canvas.image.clone(), reason, faces, (reason,))


class BatchReport:
    """Gathers what is said of each picture; of several, each line that was said before is left out."""

    def __init__(self, pictures: int) -> None:
        self._pictures = pictures
        self._lines: list[str] = []
        self._said: set[str] = set()
        self.failures: list[str] = []

    def place(self, index: int) -> str:
        """How a line about a picture begins."""
        return f"picture {index + 1} of {self._pictures}: " if self._pictures > 1 else ""

    def add(self, index: int, text: str, faces: Sequence[str] = ()) -> None:
        """Add what is said of the picture at `index`, and of each of its faces."""
        first, *rest = text.splitlines()
        self._lines.append(self.place(index) + first)
        for line in rest:
            self.note(line)
        self._lines += [self.place(index) + line for line in faces]

    def fail(self, index: int, text: str) -> None:
        """Add why the picture at `index` was not restored."""
        self.failures.append(self.place(index) + text)
        self.add(index, text)

    def note(self, line: str) -> None:
        """Add a line once."""
        if line not in self._said:
            self._said.add(line)
            self._lines.append(line)

    def text(self) -> str:
        """All lines."""
        return "\n".join(self._lines)
