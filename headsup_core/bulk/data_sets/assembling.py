"""A data set from the records of its photos: pairs, copies out, index, test split, report."""

from __future__ import annotations

import json
import logging
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import InputError
from ...identity.similarity import calibration_of
from ...training.data.face_index import THRESHOLDS, FaceIndex, IndexedPicture, Pair, Scale
from ...training.data.index_table import write_table
from ...whole_files import whole_file
from ..blocks import Result
from .contact_sheet_files import write_sheets
from .duplicates import doubles
from .near_neighbours import near_pairs
from .people_split import best_references, only, split_people
from .photo_records import EMBEDDER, KEPT, STAGES, PhotoRecord, face_of, read_parts, write_part

log = logging.getLogger(__name__)

PARTS = "parts"
INDEX, TRAIN, TEST, TEST_PAIRS, REPORT = (
    "index.parquet", "train.parquet", "test.parquet", "test_pairs.json", "report.json"
)  # fmt: skip
DOUBLE = "double"
"""The stage at which copies of a photo fall."""


@dataclass(frozen=True)
class PairOptions:
    """How faces become people.

    Attributes:
        threshold: least similarity of a pair, on `scale`.
        partners: most pairs of one face.
        test_share: of the people, for testing.
    """

    threshold: float = THRESHOLDS["calibrated"]
    scale: Scale = "calibrated"
    partners: int = 20
    test_share: float = 0.1

    def __post_init__(self) -> None:
        if self.partners < 1:
            raise InputError(f"--partners {self.partners}: must be at least 1")
        if not 0 <= self.test_share < 1:
            raise InputError(f"--test-share {self.test_share:g}: must be from 0 to below 1")


class PartWriter:
    """Takes the results of a run, and writes their records block by block.

    Args:
        size: records of a part; what a killed run has to do again.
    """

    def __init__(self, folder: Path, run: str, options: dict[str, Any], size: int) -> None:
        self._folder, self._run, self._options, self._size = folder, run, options, size
        self._records: list[PhotoRecord] = []
        self._number = 0
        folder.mkdir(parents=True, exist_ok=True)

    def __call__(self, result: Result) -> None:
        if result.status != "done":
            return
        fields = dict(result.more["record"])
        fields["thumb"] = bytes.fromhex(fields["thumb"])
        fields["faces"] = [{**face, "embedding": bytes.fromhex(face["embedding"])} for face in fields["faces"]]
        self._records.append(PhotoRecord(**fields))
        if len(self._records) >= self._size:
            self.flush()

    def flush(self) -> None:
        """Write what is not written yet."""
        if self._records:
            write_part(self._folder / f"{self._run}-{self._number:06d}.parquet", self._records, self._options)
            self._number, self._records = self._number + 1, []


def finish(folder: Path, records: Sequence[PhotoRecord], embedder: str, pairs: PairOptions) -> dict[str, Any]:
    """Write index, test split, contact sheets and report of a data set; returns the report.

    The same records give the same files, whoever found them in which order.

    Raises:
        InputError: no photo was kept.
    """
    started = time.monotonic()
    records = sorted(records, key=lambda record: (record.name, record.key))
    kept = [record for record in records if record.stage == KEPT]
    fallen = {stage: [record for record in records if record.stage == stage] for stage in STAGES}
    if not kept:
        lost = ", ".join(f"{len(fell)} at {stage}" for stage, fell in fallen.items() if fell)
        raise InputError(f"none of {len(records)} photos was kept: {lost or 'there are none'}")
    index = _index(folder, kept, embedder, pairs)
    copies = _copies(kept, index)
    fallen[DOUBLE] = [kept[copy] for copy in copies]
    index = only(index, [number for number in range(len(kept)) if number not in copies])
    train, test = split_people(index, pairs.test_share)
    references = best_references(test)
    for name, part in ((INDEX, index), (TRAIN, train), (TEST, test)):
        if part.pictures:
            write_table(folder / name, part)
        else:  # of an earlier run with another share
            (folder / name).unlink(missing_ok=True)
    _write_json(folder / TEST_PAIRS, [
        {
            "picture": str(test.pictures[a].file), "face": face, "reference": str(test.pictures[b].file),
            "reference_face": other, "similarity": alike,
        }
        for a, face, b, other, alike in references
    ])  # fmt: skip
    sheets = write_sheets(folder, fallen)
    people = Counter(person for here in index.people() for person in set(here))
    report = {
        "photos": len(records),
        "fell": {stage: len(fell) for stage, fell in fallen.items()},
        "kept": len(index.pictures),
        "faces": sum(len(one.faces) for one in index.pictures),
        "pairs": len(index.pairs),
        "people": len(people),
        "people_in_several_photos": sum(count > 1 for count in people.values()),
        "train_photos": len(train.pictures),
        "test_photos": len(test.pictures),
        "test_pairs": len(references),
        "contact_sheets": sheets,
        "seconds_of_pairs_and_split": round(time.monotonic() - started, 2),
    }
    _write_json(folder / REPORT, report)
    return report


def merge(folders: Sequence[Path], output: Path, pairs: PairOptions) -> dict[str, Any]:
    """One data set of several; people are looked for among all of them.

    Each photo keeps what its own data set's limits made of it; one that several have looked at is kept if one keeps it.

    Raises:
        InputError: a folder without parts, or faces embedded by another recogniser.
    """
    records: dict[str, PhotoRecord] = {}
    made_with: list[dict[str, Any]] = []
    for folder in folders:
        own, options = read_parts(folder / PARTS)
        if not own:
            raise InputError(f"{folder} is no data set: it has no records in {PARTS}/")
        made_with.append(options)
        first, this = (str(each.get(EMBEDDER, "")) for each in (made_with[0], options))
        if first != this:
            raise InputError(
                f"{folder} was embedded by {this}, {folders[0]} by {first}: these cannot be compared, build one anew "
                "with the other's --analyzer"
            )
        for record in own:
            fields = dict(vars(record))
            if record.file and not Path(record.file).is_absolute():
                fields["file"] = str((folder / record.file).absolute())
            if record.key not in records or records[record.key].stage != KEPT:
                records[record.key] = PhotoRecord(**fields)
    merged = list(records.values())
    (output / PARTS).mkdir(parents=True, exist_ok=True)
    shared = {name: value for name, value in made_with[0].items() if all(each.get(name) == value for each in made_with)}
    write_part(output / PARTS / "merged.parquet", merged, shared)
    return finish(output, merged, str(shared.get(EMBEDDER, "")), pairs)


def _index(folder: Path, kept: Sequence[PhotoRecord], embedder: str, options: PairOptions) -> FaceIndex:
    pictures = tuple(
        IndexedPicture(folder / one.file, one.width, one.height, tuple(face_of(face) for face in one.faces))
        for one in kept
    )
    places = [(number, face) for number, one in enumerate(pictures) for face in range(len(one.faces))]
    stacked = [face.embedding.numpy() for one in pictures for face in one.faces if face.embedding is not None]
    calibration = calibration_of(embedder)
    least = options.threshold
    if options.scale == "calibrated":
        least = calibration.different + options.threshold * (calibration.same - calibration.different)
    owners = np.array([number for number, _ in places], np.int64)
    found, cosines = near_pairs(np.stack(stacked).astype(np.float32), owners, least, options.partners)
    pairs: list[Pair] = []
    for (a, b), cosine in zip(found.tolist(), cosines.tolist(), strict=True):
        alike = cosine if options.scale == "cosine" else calibration.score(cosine)
        (one, face), (two, other) = places[a], places[b]
        pairs.append((one, face, two, other, round(float(alike), 4)))
    return FaceIndex(pictures, tuple(pairs), embedder, options.threshold, options.scale)


def _copies(kept: Sequence[PhotoRecord], index: FaceIndex) -> dict[int, int]:
    prints = [record.print for record in kept]
    sizes = [record.width * record.height for record in kept]
    return doubles(prints, [record.thumb for record in kept], sizes, {(a, b) for a, _, b, _, _ in index.pairs})


def _write_json(path: Path, value: Any) -> None:  # noqa: ANN401 - any JSON
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1))
