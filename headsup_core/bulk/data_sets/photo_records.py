"""What became of each photo, in Parquet files written block by block: what a killed run has done stays done."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...errors import InputError
from ...faces.face import Face
from ...libraries import need
from ...whole_files import whole_file

STAGES = ("size", "aspect", "quality", "faces")
"""In the order in which photos meet them."""
KEPT = "kept"
OPTIONS = b"headsup_options"
EMBEDDER = "embedder"
"""Name of the option that says whose embeddings the records hold."""


@dataclass(frozen=True)
class PhotoRecord:
    """One photo that was looked at.

    Attributes:
        name: of the source, as messages say it.
        file: where training reads it, absolute or relative to the data set's folder; "" for what fell.
        key: tells it from every other source.
        stage: the stage at which it fell, or `KEPT`.
        reason: why it fell, with the numbers.
        width, height: upright, in pixels.
        quality: by the chosen score, None where it was not measured.
        print: `duplicates.fingerprint`, 64 bits.
        thumb: `duplicates.thumbnail`.
        faces: each with box, landmarks (10 numbers), score and embedding (fp16 bytes).
    """

    name: str
    file: str
    key: str
    stage: str
    reason: str
    width: int
    height: int
    quality: float | None = None
    print: int = 0
    thumb: bytes = b""
    faces: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])


def face_record(face: Face) -> dict[str, Any]:
    """As a record holds a face; it must be embedded."""
    if face.embedding is None:
        raise ValueError("the face has no embedding")
    return {
        "box": [float(edge) for edge in face.box],
        "landmarks": [float(value) for value in face.landmarks.flatten().tolist()],
        "score": float(face.score),
        "embedding": face.embedding.numpy().astype("<f2").tobytes(),
    }


def face_of(record: dict[str, Any]) -> Face:
    """What `face_record` gave."""
    x0, y0, x1, y1 = record["box"]
    landmarks = torch.tensor(record["landmarks"], dtype=torch.float32).view(5, 2)
    vector = torch.from_numpy(np.frombuffer(record["embedding"], "<f2").astype(np.float32))
    return Face((x0, y0, x1, y1), landmarks, record["score"], vector / vector.norm())


def _schema() -> Any:  # noqa: ANN401 - pyarrow's
    arrow = need("pyarrow", purpose="a data set's index")
    face = arrow.struct([
        ("box", arrow.list_(arrow.float32())),
        ("landmarks", arrow.list_(arrow.float32())),
        ("score", arrow.float32()),
        ("embedding", arrow.binary()),
    ])
    texts = [(name, arrow.string()) for name in ("name", "file", "key", "stage", "reason")]
    return arrow.schema([
        *texts,
        ("width", arrow.int32()),
        ("height", arrow.int32()),
        ("quality", arrow.float32()),
        ("print", arrow.uint64()),
        ("thumb", arrow.binary()),
        ("faces", arrow.list_(face)),
    ])


def write_part(path: Path, records: Sequence[PhotoRecord], options: dict[str, Any]) -> None:
    """Write records, whole or not at all, with the options that they were made with."""
    arrow, parquet = need("pyarrow"), need("pyarrow.parquet", "pyarrow")
    schema = _schema().with_metadata({OPTIONS: json.dumps(options, sort_keys=True).encode()})
    with whole_file(path) as temporary:
        parquet.write_table(arrow.Table.from_pylist([asdict(one) for one in records], schema=schema), temporary)


def read_parts(folder: Path, options: dict[str, Any] | None = None) -> tuple[list[PhotoRecord], dict[str, Any]]:
    """All records of a folder, each photo once, and the options that they were made with.

    Raises:
        InputError: they were made with others than `options`, or a file is damaged.
    """
    parquet = need("pyarrow.parquet", "pyarrow", "a data set's index")
    found: dict[str, PhotoRecord] = {}
    made_with = options
    for path in sorted(folder.glob("*.parquet")):
        try:
            table = parquet.read_table(path)
            own: dict[str, Any] = json.loads(table.schema.metadata[OPTIONS])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{path} is no part of a data set ({error}): delete it, its photos are looked at again"
            ) from error
        if made_with is not None and own != made_with:
            names = sorted(name for name in own | made_with if own.get(name) != made_with.get(name))
            wanted = ", ".join(f"{name} {own.get(name)}, not {made_with.get(name)}" for name in names)
            raise InputError(f"{folder} was made with other options ({wanted}): give those, or choose another --output")
        made_with = own
        for row in table.to_pylist():
            record = PhotoRecord(**row)
            found[record.key] = record
    return list(found.values()), made_with or {}
