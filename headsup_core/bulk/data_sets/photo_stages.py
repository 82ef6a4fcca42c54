"""A photo through the stages: size, aspect, quality, faces. Each stage sees what the one before let through."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps

from ...benchmark.metrics.all_metrics import METRICS
from ...benchmark.metrics.metric import Measure, NotMeasured
from ...errors import InputError
from ...faces import DetectionOptions, Faces
from ...faces.analyzer import AnalyzerBase
from ...faces.face import Face
from ...option_fields import check_options, option
from ..addresses import is_url, local_path
from ..destinations import Destination
from ..items import Item
from .duplicates import fingerprint, thumbnail
from .photo_records import KEPT, PhotoRecord, face_record

ROOM = 2.5
"""Half the side of a face's crop for its recogniser, around the middle of its eyes, in eye distances."""
FINE = 160.0
"""Eye distance in pixels that is enough for any recogniser: their inputs have eyes of 35 to 60 px."""
QUALITY_NAMES = tuple(metric.name for metric in METRICS if metric.name == "niqe" or metric.only_when_named)
"""Scores that need no truth."""


@dataclass(frozen=True)
class StageOptions:
    """What a photo must be to be kept; the defaults are PortraitSR-4K's.

    Raises:
        InputError: an option is out of its range.
    """

    long_side: int = option(3840, "Least longer side.", minimum=1, maximum=100000, unit="px")
    short_side: int = option(2160, "Least shorter side.", minimum=1, maximum=100000, unit="px")
    least_aspect: float = option(0.6, "Least width / height.", minimum=0.01, maximum=100)
    most_aspect: float = option(1.6, "Greatest width / height.", minimum=0.01, maximum=100)
    quality: str | None = option(
        None,
        f"Score of the whole photo: {', '.join(QUALITY_NAMES)}. niqe wants --quality-file; the others run through the "
        "user's own pyiqa, which is for non-commercial use only.",
        unset="niqe when its file is given, else none",
    )
    quality_limit: float = option(
        5.0, "Worst score that is kept: the greatest NIQE, the least of the others.", minimum=-1000, maximum=1000
    )
    eye_distance: float = option(64.0, "Least eye distance of a face.", minimum=1, maximum=10000, unit="px")
    work_side: int = option(
        1280,
        "Longer side of the reduced copy that is judged and searched for faces.",
        minimum=64,
        maximum=10000,
        unit="px",
    )

    def __post_init__(self) -> None:
        check_options(self)
        if self.least_aspect > self.most_aspect:
            raise InputError(f"--least-aspect {self.least_aspect:g} is above --most-aspect {self.most_aspect:g}")
        if self.quality is not None and self.quality not in QUALITY_NAMES:
            raise InputError(f"--quality {self.quality}: choose from {', '.join(QUALITY_NAMES)}")


@dataclass(frozen=True, eq=False)
class Quality:
    """A score by name, and which way is better.

    Attributes:
        measure: of a picture `[1,3,H,W]` in 0..1, given twice (a truth is not looked at).
    """

    name: str
    measure: Measure
    higher_is_better: bool

    @classmethod
    def named(cls, name: str, file: Path | None) -> Quality:
        """Raises `InputError` when it cannot be measured here, `ModelFileError` for a wrong file."""
        metric = next(one for one in METRICS if one.name == name)
        try:
            return cls(name, metric.make(file), metric.style.better == "+")
        except NotMeasured as missing:
            raise InputError(f"--quality {name}: {missing} (--quality-file)") from missing

    def fails(self, value: float, limit: float) -> bool:
        """Whether a score is worse than the limit."""
        return value < limit if self.higher_is_better else value > limit


@dataclass(frozen=True, eq=False)
class _Opened:
    data: bytes
    size: tuple[int, int]


class PhotoWorker:
    """Takes photos through the stages.

    Args:
        make_analyzer: finds and recognises faces; made in the worker's process.
        quality_file: of the quality score.
        output: address of the data set, for photos that lie in shards or behind URLs: those that are kept are copied
            there, where training can read them.
    """

    def __init__(
        self,
        options: StageOptions,
        make_analyzer: Callable[[], AnalyzerBase],
        quality_file: Path | None,
        output: str,
    ) -> None:
        self._options, self._analyzer = options, make_analyzer()
        name = options.quality or ("niqe" if quality_file is not None else None)
        self._quality = None if name is None else Quality.named(name, quality_file)
        self._destination = Destination(output)

    def read(self, item: Item) -> _Opened:
        data = item.read()
        with _open(data, item) as image:
            width, height = image.size
            turned = image.getexif().get(0x0112, 1) in (5, 6, 7, 8)
        return _Opened(data, (height, width) if turned else (width, height))

    def work(self, item: Item, read: _Opened) -> tuple[PhotoRecord, bytes]:
        options, (width, height) = self._options, read.size

        def record(stage: str, reason: str, **more: Any) -> tuple[PhotoRecord, bytes]:  # noqa: ANN401 - of the record
            return PhotoRecord(item.name, "", item.key, stage, reason, width, height, **more), read.data

        if max(read.size) < options.long_side or min(read.size) < options.short_side:
            return record("size", f"{width}x{height} px")
        aspect = width / height
        if not options.least_aspect <= aspect <= options.most_aspect:
            return record("aspect", f"width / height {aspect:.2f}")
        small = reduced(read.data, options.work_side, item)
        picture, marks = _tensor(small), {"print": fingerprint(small), "thumb": thumbnail(small)}
        value = None if self._quality is None else self._quality.measure(picture, picture)
        if self._quality is not None and value is not None and self._quality.fails(value, options.quality_limit):
            return record("quality", f"{self._quality.name} {value:.2f}", quality=value, **marks)
        faces = self._faces(read, item, small, picture)
        if not faces:
            reason = f"no face with eyes {options.eye_distance:g} px apart"
            return record("faces", reason, quality=value, **marks)
        found = [face_record(face) for face in faces]
        return record(KEPT, "", quality=value, **marks, faces=found)

    def write(self, item: Item, worked: tuple[PhotoRecord, bytes]) -> dict[str, Any]:
        record, data = worked
        file = ""
        if record.stage == KEPT:
            file = os.path.abspath(local_path(item.address))  # training starts elsewhere
            if item.kind != "file" or is_url(item.address):
                suffix = Path(item.member or item.address).suffix or ".img"
                file = str(Path("photos") / Path(item.place).with_suffix(suffix))
                self._destination.write(file, data)
        fields = asdict(record) | {"file": file, "thumb": record.thumb.hex()}
        fields["faces"] = [{**face, "embedding": face["embedding"].hex()} for face in record.faces]
        return {"record": fields}

    def _faces(self, read: _Opened, item: Item, small: Image.Image, picture: torch.Tensor) -> Sequence[Face]:
        """Found in the reduced copy, recognised in the full photo, or in one whose smallest face is still `FINE`.

        Args:
            picture: `small` as `[1,3,h,w]`.
        """
        width, height = read.size
        factor = width / small.width
        asked = DetectionOptions(min_eye_distance=max(1.0, self._options.eye_distance / factor))
        found = self._analyzer.detect(picture, asked).scaled_to(height, width)[0]
        found = [face for face in found if face.eye_distance >= self._options.eye_distance]
        if not found:
            return []
        side = round(max(read.size) * min(1.0, FINE / min(face.eye_distance for face in found)))
        fine = small if side <= max(small.size) else reduced(read.data, side, item)
        return [replace(face, embedding=self._embedding(face, fine, fine.width / width)) for face in found]

    def _embedding(self, face: Face, photo: Image.Image, factor: float) -> torch.Tensor | None:
        """The face, in pixels of the full photo, recognised in a copy that is `factor` times as wide."""
        here = face.scaled(factor, factor)
        x, y = here.landmarks[:2].mean(0).tolist()
        reach = ROOM * here.eye_distance
        left, top = max(0, int(x - reach)), max(0, int(y - reach))
        right, low = min(photo.width, int(x + reach) + 1), min(photo.height, int(y + reach) + 1)
        part = _tensor(photo.crop((left, top, right, low)))
        alone = Faces(((here.moved(-left, -top),),), low - top, right - left)
        return self._analyzer.embed(part, alone)[0][0].embedding


def reduced(data: bytes, side: int, item: Item) -> Image.Image:
    """RGB, upright, at most `side` px: a JPEG is decoded at half, a quarter or an eighth of its size."""
    with _open(data, item) as image:
        image.draft("RGB", (side, side))
        image.thumbnail((side, side), Image.Resampling.LANCZOS, reducing_gap=2.0)
        return ImageOps.exif_transpose(image).convert("RGB")


def _open(data: bytes, item: Item) -> Image.Image:
    try:
        return Image.open(io.BytesIO(data))
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(f"{item.name} is no picture that can be read ({error})") from error


def _tensor(image: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 255
