"""A batch as one HTML file to look at: before and after under a slider, the faces, what failed. It loads nothing."""

from __future__ import annotations

import base64
import hashlib
import io
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image
from typing_extensions import Self

from ...errors import HeadsUpError, InputError
from ...faces.faces import Faces
from ...identity.similarity import calibration_of
from ...image_files import read_picture
from ...restoring.people.identity_score import OUTCOME_WORDS
from ...restoring.restore_report import RestoreReport
from ...whole_files import whole_file
from .batch import Job

TEMPLATES = Path(__file__).parent / "templates"
PICTURE_BYTES = 48 << 20
"""About what all pictures of a report together may take, without faces; of a large batch each is shown smaller."""
SIDES = (320, 1280)
"""Least and largest longer side of a shown picture in pixels."""
MOST_SHOWN = 1000
"""Pictures of a batch that are shown; further ones are only named."""
FACE_SIDES = (128, 320)
"""Least and largest longer side of a face's crop in pixels; between them a quarter of a picture's."""
MOST_FACES, FEW_FACES, MANY_PICTURES = 8, 2, 100
"""Faces of a picture that are shown, and those of batches of more than so many pictures."""
FACE_ROOM = 1.5
"""Side of a crop against its face's box."""
QUALITY, BYTES_A_PIXEL = 85, 0.5
"""JPEG quality, and bytes of a pixel. Photographs take less, noise more; base64 is counted in."""

Box = tuple[float, float, float, float]
"""x0, y0, x1, y1 in pixels."""
FindFaces = Callable[[torch.Tensor], Faces]
"""The faces of a picture `[1,3,H,W]`."""


@dataclass(frozen=True)
class Pair:
    """Before and after as data URLs, of one size in pixels."""

    before: str
    after: str
    width: int
    height: int


@dataclass(frozen=True)
class FaceEntry:
    """A face at 100 % where it fits, and what is said of it."""

    pair: Pair
    percent: int
    name: str = ""
    lines: tuple[str, ...] = ()


class HtmlReport:
    """Watches a batch and writes `path` at its end, whether it was finished, interrupted or broken off.

    Only one picture is in memory at a time: what is said of each goes to a temporary file at once.

    Args:
        title: of the page.
        pictures: how many there will be, for the size at which they are shown.
        find_faces: for their crops.
        embedder_id: of the recogniser whose scores are put into words.

    Raises:
        InputError: `path` does not end in .html.
    """

    def __init__(self, path: Path, title: str, pictures: int, find_faces: FindFaces, embedder_id: str) -> None:
        if path.suffix.lower() not in (".html", ".htm"):
            raise InputError(f"--report {path}: give a file that ends in .html")
        self._path, self._title, self._side = path, title, shown_side(pictures)
        self._face_side = min(max(self._side // 4, FACE_SIDES[0]), FACE_SIDES[1])
        self._most_faces = FEW_FACES if pictures > MANY_PICTURES else MOST_FACES
        self._find_faces, self._calibration = find_faces, calibration_of(embedder_id)
        self._known_faces: tuple[Path, Faces] | None = None
        self._templates = Environment(
            loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True
        )
        self._counts: Counter[str] = Counter()
        self._failed: list[str] = []
        self._entries = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115 - see __exit__

    def faces_are(self, source: Path, faces: Faces) -> None:
        """Those of the picture that is told of next, so that they are not looked for again."""
        self._known_faces = (source, faces)

    def done(self, job: Job, report: RestoreReport) -> None:
        self.restored(job, report.text().splitlines(), report.identity_scores)

    def restored(self, job: Job, words: list[str], scores: Sequence[Mapping[str, Any]]) -> None:
        """As `done`, by the report's lines and scores."""
        self._counts["restored"] += 1
        self._add(job, "restored", words, scores)

    def kept(self, job: Job) -> None:
        self._counts["kept"] += 1
        self._add(job, "kept", ["It was done by an earlier run with the same settings."], [])

    def failed(self, job: Job, error: str) -> None:
        self._counts["failed"] += 1
        self._failed.append(error)
        self._write(job, "failed", [error], None, [], 0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._entries:
            self._save("" if kind is None or issubclass(kind, InputError) else "The run was broken off.")

    def _add(self, job: Job, status: str, words: list[str], scores: Sequence[Mapping[str, Any]]) -> None:
        if self._counts.total() - self._counts["failed"] > MOST_SHOWN:
            self._write(job, status, [*words, f"Only the first {MOST_SHOWN} pictures are shown."], None, [], 0)
            return
        try:
            before, faces = self._before(job.source)
            after = _flat(job.target)
        except HeadsUpError as error:
            self._write(job, status, [*words, f"It cannot be shown: {error}"], None, [], 0)
            return
        # scores count the faces as restore() found them
        entries = [
            self._face(before, after, box, [score for score in scores if score["face"] == index])
            for index, box in enumerate(_boxes(faces, after.size)[: self._most_faces])
        ]
        pair = _pair(before, after, _within(after.size, self._side))
        self._write(job, status, words, pair, entries, len(faces[0]) - len(entries))

    def _before(self, source: Path) -> tuple[Image.Image, Faces]:
        remembered, self._known_faces = self._known_faces, None
        if remembered is not None and remembered[0] == source:
            return _flat(source), remembered[1]
        return _flat(source), self._find_faces(read_picture(source).rgb)

    def _face(
        self,
        before: Image.Image,
        after: Image.Image,
        box: Box,
        scores: Sequence[Mapping[str, Any]],
    ) -> FaceEntry:
        wide, high = before.width / after.width, before.height / after.height
        right, low = min(box[2] * wide, float(before.width)), min(box[3] * high, float(before.height))  # rounding
        small = (box[0] * wide, box[1] * high, right, low)
        width, height = box[2] - box[0], box[3] - box[1]
        factor = min(1.0, self._face_side / max(width, height))
        pair = _pair(before, after, (max(1, round(width * factor)), max(1, round(height * factor))), small, box)
        percent = round(100 * factor)
        if not scores:
            return FaceEntry(pair, percent)
        return FaceEntry(pair, percent, str(scores[0]["identity"]), self._in_words(scores[0]))

    def _in_words(self, score: Mapping[str, Any]) -> tuple[str, ...]:
        """What a face's scores mean."""
        lines = [f"{name}: {self._verdict(score[key])}" for name, key in (("before", "before"), ("after", "after"))]
        reason = score["reason"]
        return (*lines, OUTCOME_WORDS[score["outcome"]] + (f" ({reason})" if reason else ""))

    def _verdict(self, score: float | None) -> str:
        if score is None:
            return "not measured"
        return f"{self._calibration.verdict(score)} ({score:.2f}, 1 = two good photos)"

    def _write(
        self,
        job: Job,
        status: str,
        words: Sequence[str],
        pair: Pair | None,
        faces: Sequence[FaceEntry],
        more_faces: int,
    ) -> None:
        entry = self._templates.get_template("report_entry.html").render(
            number=self._counts.total(),
            source=str(job.source),
            target=str(job.target),
            status=status,
            words=words,
            pair=pair,
            faces=faces,
            more_faces=more_faces,
        )
        self._entries.write(entry)

    def _save(self, remark: str) -> None:
        script, style = ((TEMPLATES / name).read_text(encoding="utf-8") for name in ("report.js", "report.css"))
        top = self._templates.get_template("report_top.html").render(
            title=self._title,
            counts=dict(self._counts),
            failed=self._failed,
            remark=remark,
            style=Markup(style),  # noqa: S704 - our own file
            script=Markup(script),  # noqa: S704 - our own file
            script_hash=_content_hash(script),
            style_hash=_content_hash(style),
        )
        self._entries.seek(0)
        with whole_file(self._path) as temporary, temporary.open("w", encoding="utf-8", errors="replace") as file:
            file.write(top)
            shutil.copyfileobj(self._entries, file)
            file.write("</main>\n</body>\n</html>\n")


def check_report_file(path: Path) -> None:
    """Refuse what is no HTML file, or replaces a file that is no earlier report. Raises `InputError`."""
    if path.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"--report {path}: a report ends in .html")
    try:
        with path.open("rb") as file:
            is_report = b"HeadsUp" in file.read(4096)
    except FileNotFoundError:
        return
    except OSError as error:
        raise InputError(f"--report {path} cannot be written ({error.strerror}): choose another name") from error
    if not is_report:
        raise InputError(f"--report {path} is there and is no report of this command: choose another name")


def shown_side(pictures: int) -> int:
    """Longer side in pixels at which a batch of that many pictures is shown, so that all fit `PICTURE_BYTES`."""
    shown = max(1, min(pictures, MOST_SHOWN))
    return int(min(max((PICTURE_BYTES / (2 * shown * BYTES_A_PIXEL)) ** 0.5, SIDES[0]), SIDES[1]))


def _flat(path: Path) -> Image.Image:
    """A picture file as RGB of 8 bits, upright, over white. Raises `InputError` as `read_picture`."""
    picture = read_picture(path)
    rgb = picture.rgb if picture.alpha is None else picture.rgb * picture.alpha + 1 - picture.alpha
    return Image.fromarray((rgb[0] * 255).round().to(torch.uint8).permute(1, 2, 0).contiguous().numpy())


def _pair(
    before: Image.Image, after: Image.Image, size: tuple[int, int], small: Box | None = None, box: Box | None = None
) -> Pair:
    """Both pictures, or the part `small` of the one and the same part `box` of the other, at `size`."""
    shown = [
        picture.resize(size, Image.Resampling.BICUBIC, part) for picture, part in ((before, small), (after, box))
    ]
    return Pair(_data_url(shown[0]), _data_url(shown[1]), *size)


def _within(size: tuple[int, int], side: int) -> tuple[int, int]:
    """(width, height) reduced to that longer side."""
    factor = min(1.0, side / max(size))
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def _boxes(faces: Faces, size: tuple[int, int]) -> list[Box]:
    """A part of a picture of that (width, height) around each of the first picture's faces."""
    width, height = size
    boxes: list[Box] = []
    for face in faces.scaled_to(height, width)[0]:
        x0, y0, x1, y1 = face.box
        reach = max(x1 - x0, y1 - y0) * FACE_ROOM / 2
        x, y = (x0 + x1) / 2, (y0 + y1) / 2
        box = (max(0.0, x - reach), max(0.0, y - reach), min(float(width), x + reach), min(float(height), y + reach))
        if box[2] - box[0] >= 1 and box[3] - box[1] >= 1:
            boxes.append(box)
    return boxes


def _data_url(picture: Image.Image) -> str:
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=QUALITY, subsampling=0)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode()


def _content_hash(text: str) -> str:
    """As a content security policy names a script."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
