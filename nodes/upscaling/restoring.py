"""Restoring a batch picture by picture, so that a bad one does not stop the others."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from ...headsup_core import HeadsUpError, InputError
from ...headsup_core.faces import Face, Faces
from ...headsup_core.imaging.resizing import resize
from ...headsup_core.restoring.people.recognise import FOR_PEOPLE
from ...headsup_core.restoring.pipeline import restore_pictures
from ...headsup_core.restoring.resolving import resolve
from ...headsup_core.restoring.several_models import restore_by_several
from ...headsup_core.restoring.tiling.tile_memory import check_batch_fits, check_picture_fits
from ..bridge.pictures import Canvas, Pictures, decodable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...headsup_core import HeadsUpModel, RestoreOptions
    from ...headsup_core.restoring.session import Session
    from ..bridge.host import ComfyHost


@dataclass(frozen=True, eq=False)
class RestoredBatch:
    """What became of an IMAGE.

    Attributes:
        after, before: restored, and plainly enlarged, `[B,H,W,C]`.
        faces: of the restored pictures; none where nobody looked for any.
        failures: of the report, the lines of pictures that were not restored.
        sent_back: of the report, a line for each face whose photo was not used, and for each model that failed.
    """

    after: torch.Tensor
    before: torch.Tensor
    report: str
    faces: Faces
    failures: tuple[str, ...] = ()
    sent_back: tuple[str, ...] = ()


def restore_batch(
    image: torch.Tensor,
    session: Session,
    host: ComfyHost,
    faces: Faces | None = None,
    *,
    keep_going: bool,
    others: Sequence[HeadsUpModel] = (),
) -> RestoredBatch:
    """Restore an IMAGE `[B,H,W,C]`.

    With `keep_going`, a picture that cannot be restored is plainly enlarged in both, black where it has no finite
    value, and named in the report; pictures that cannot even be enlarged (result too large) come back as they were.

    Args:
        host: in place of the session's; shares the progress among the pictures.
        faces: of the pictures of the batch.
        others: models whose results are compared with that of the session's, face by face.

    Raises:
        InputError: an option that fits no picture; without `keep_going` also a picture that cannot be used.
        HeadsUpError: without `keep_going`, a picture that could not be restored.
    """
    pictures = Pictures.from_image(image)
    session = replace(session, host=host)
    session.options.check_texts(len(pictures))
    check_options_fit(session)
    if faces is not None:
        faces.check_pictures(pictures.rgb)
    height, width = pictures.rgb.shape[-2:]
    options, own_scale = session.options, session.one_step.scale
    try:
        size = _size_of(session, height, width)
        check_picture_fits(*size, 1)
    except InputError as error:
        if not keep_going:
            raise
        return _unchanged(pictures, faces, f"not enlarged, the picture is as it was: {error}")
    check_batch_fits(*size, len(pictures))
    after, before = Canvas(pictures, *size), Canvas(pictures, *size)
    models = (session.model, *others)
    given, kept = faces, _faces_at(faces, size, len(pictures))
    shown: list[tuple[Face, ...]] = []
    sent_back: list[str] = []
    report = BatchReport(len(pictures))
    for index in range(len(pictures)):
        here = [
            replace(each, host=host.for_picture(len(models) * index + number, len(models) * len(pictures)))
            for number, each in enumerate(_sessions(session, models, options.for_picture(index)))
        ]
        try:
            own = _faces_of(here[0], pictures.one(index)) if given is None else replace(given, pictures=(given[index],))
            result = restore_by_several(pictures.one(index), here, own)
        except HeadsUpError as error:
            if not keep_going:
                raise type(error)(report.place(index) + str(error)) from error
            plain = resize(decodable(pictures.one(index)), *size)
            after.put(index, plain)
            before.put(index, plain)
            shown.append(kept[index])
            report.fail(index, f"not restored, plainly enlarged instead: {error}")
        else:
            after.put(index, _of_size(result.image, size))
            before.put(index, _of_size(result.before, size))
            if result.faces is not None:
                kept = replace(kept, analyzer=result.faces.analyzer)
            shown.append(kept[index] if result.faces is None else result.faces.scaled_to(*size)[0])
            report.add(index, result.report.summary(), result.report.face_lines())
            said = (*result.report.failed_models, *result.report.sent_back)
            sent_back += [report.place(index) + line for line in said]
    asked = options.size_of(height, width, own_scale)
    wanted = replace(options, max_megapixels=None).size_of(height, width, own_scale)
    if wanted != asked:
        report.note(
            f"capped at {options.max_megapixels:g} megapixels: {asked[1]}x{asked[0]} px instead of "
            f"{wanted[1]}x{wanted[0]}; raise max_megapixels for more"
        )
    kept = replace(kept, pictures=tuple(shown))
    return RestoredBatch(after.image, before.image, report.text(), kept, tuple(report.failures), tuple(sent_back))


def _size_of(session: Session, height: int, width: int) -> tuple[int, int]:
    """(height, width) of the results; `sizing="published"` may have others than were asked for.

    Raises:
        InputError: an option that cannot be used, or a result that is too large.
    """
    if session.options.sizing == "pad":
        return session.options.size_of(height, width, session.one_step.scale)
    return resolve((1, height, width), session.one_step, session.options, session.host).output_size


def _of_size(picture: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """The plain enlargement of published sizing, and a result of strength 0, may be as large as what is encoded."""
    return picture if picture.shape[-2:] == size else resize(picture, *size)


def _sessions(session: Session, models: Sequence[HeadsUpModel], options: RestoreOptions) -> list[Session]:
    """One for each model; of the first the session's own, whose references are shared by the pictures."""
    return [
        replace(session, model=model, options=options, references={} if number else session.references)
        for number, model in enumerate(models)
    ]


def _faces_of(session: Session, picture: torch.Tensor) -> Faces | None:
    """Those of a square picture `[1,3,h,w]` for a model of aligned faces, which it may be a photo of; `restore()` would
    take it for a face. None where there are none, so that it is taken for one, and for other models."""
    cuts = session.one_step.size_rule.fixed and session.options.strength > 0
    if not cuts or session.analyzer is None or picture.shape[-1] != picture.shape[-2]:
        return None
    found = session.analyzer.detect(picture, FOR_PEOPLE)
    return found if found.count else None


def check_options_fit(session: Session) -> None:
    """Refuse, before any picture is looked at, what no picture could be restored with. Raises `InputError`."""
    # one pixel at strength 0 runs no network, but meets every other check of restore()
    plain = replace(session.options, scale=1.0, long_edge=None, strength=0.0, mask=None, texts=())
    restore_pictures(torch.zeros(1, 3, 1, 1), replace(session, options=plain))


def _faces_at(faces: Faces | None, size: tuple[int, int], pictures: int) -> Faces:
    """The given faces in pictures of `size` (height, width); without any, those of pictures that show none."""
    return Faces(((),) * pictures, *size) if faces is None else faces.scaled_to(*size)


def _unchanged(pictures: Pictures, faces: Faces | None, reason: str) -> RestoredBatch:
    height, width = pictures.rgb.shape[-2:]
    canvas = Canvas(pictures, height, width)
    for index in range(len(pictures)):
        canvas.put(index, decodable(pictures.one(index)))
    kept = _faces_at(faces, (height, width), len(pictures))
    return RestoredBatch(canvas.image, canvas.image.clone(), reason, kept, (reason,))


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
