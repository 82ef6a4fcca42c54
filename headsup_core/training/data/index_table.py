"""An index of faces as one Parquet file: a row for each photo, its faces with their partners. For very many photos."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...errors import InputError
from ...faces.face import Face
from ...libraries import need
from ...whole_files import whole_file
from .face_index import FORMAT, FORMAT_VERSION, SUFFIX, FaceIndex, IndexedPicture, Pair, read_index

TABLE_SUFFIX = ".parquet"
INDEX_SUFFIXES = (SUFFIX, TABLE_SUFFIX)
"""Suffixes of an index of faces, in JSON and in Parquet."""
_ABOUT = b"headsup_faces"


def write_table(path: Path, index: FaceIndex) -> None:
    """Write an index, whole or not at all. Files below the index's folder are named relative to it, others absolutely.

    Raises:
        InputError: pyarrow is missing.
    """
    arrow = need("pyarrow", purpose="an index in Parquet")
    parquet = need("pyarrow.parquet", "pyarrow", "an index in Parquet")
    partner = arrow.struct([("picture", arrow.int64()), ("face", arrow.int32()), ("similarity", arrow.float64())])
    face = arrow.struct([
        ("box", arrow.list_(arrow.float32())),
        ("landmarks", arrow.list_(arrow.float32())),
        ("score", arrow.float32()),
        ("embedding", arrow.binary()),
        ("partners", arrow.list_(partner)),
    ])
    about = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "embedder": index.embedder,
        "threshold": index.threshold,
        "scale": index.scale,
    }
    schema = arrow.schema(
        [("file", arrow.string()), ("width", arrow.int32()), ("height", arrow.int32()), ("faces", arrow.list_(face))],
        metadata={_ABOUT: json.dumps(about).encode()},
    )
    partners: dict[tuple[int, int], list[dict[str, Any]]] = {}
    for a, one, b, other, alike in index.pairs:
        partners.setdefault((a, one), []).append({"picture": b, "face": other, "similarity": alike})
    start = path.absolute().parent
    with whole_file(path) as temporary, parquet.ParquetWriter(temporary, schema) as writer:
        for first in range(0, len(index.pictures), 4096):
            rows = [
                {
                    "file": _name(picture.file, start),
                    "width": picture.width,
                    "height": picture.height,
                    "faces": [
                        {**_columns(found), "partners": partners.get((number, place), [])}
                        for place, found in enumerate(picture.faces)
                    ],
                }
                for number, picture in enumerate(index.pictures[first : first + 4096], first)
            ]
            writer.write_table(arrow.Table.from_pylist(rows, schema=schema))


def open_index(path: Path) -> FaceIndex:
    """Read an index of either kind. Raises `InputError` when it is missing, damaged, or newer than this code."""
    return read_table(path) if path.suffix == TABLE_SUFFIX else read_index(path)


def read_table(path: Path) -> FaceIndex:
    """Read an index. Raises `InputError` when it is missing, damaged, or newer than this code."""
    parquet = need("pyarrow.parquet", "pyarrow", "an index in Parquet")
    try:
        file = parquet.ParquetFile(path)
        about: dict[str, Any] = json.loads(file.schema_arrow.metadata[_ABOUT])
        if about["format"] != FORMAT or about["format_version"] > FORMAT_VERSION:
            raise InputError(f"{path} is {about['format']} {about['format_version']}: write it with `dataset build`")
        pictures: list[IndexedPicture] = []
        pairs: list[Pair] = []
        for batch in file.iter_batches(batch_size=4096):
            for row in batch.to_pylist():
                for place, face in enumerate(row["faces"]):
                    here = len(pictures), place
                    pairs += [(*here, one["picture"], one["face"], one["similarity"]) for one in face["partners"]]
                faces = tuple(_face(face) for face in row["faces"])
                pictures.append(IndexedPicture(path.parent / row["file"], row["width"], row["height"], faces))
        if wrong := [pair for pair in pairs if pair[2] >= len(pictures) or pair[3] >= len(pictures[pair[2]].faces)]:
            raise IndexError(f"pair {wrong[0]}")
    except InputError:
        raise
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise InputError(f"{path} is no index of faces ({error!r}): write it with `dataset build`") from error
    return FaceIndex(tuple(pictures), tuple(pairs), str(about["embedder"]), float(about["threshold"]), about["scale"])


def _name(file: Path, start: Path) -> str:
    absolute = file.absolute()
    return Path(os.path.relpath(absolute, start)).as_posix() if absolute.is_relative_to(start) else absolute.as_posix()


def _columns(face: Face) -> dict[str, Any]:
    vector = None if face.embedding is None else face.embedding.numpy().astype("<f2").tobytes()
    landmarks = face.landmarks.flatten().tolist()
    return {"box": list(face.box), "landmarks": landmarks, "score": face.score, "embedding": vector}


def _face(record: dict[str, Any]) -> Face:
    x0, y0, x1, y1 = (float(edge) for edge in record["box"])
    landmarks = torch.tensor(record["landmarks"], dtype=torch.float32).view(5, 2)
    vector = None
    if record["embedding"] is not None:
        vector = torch.from_numpy(np.frombuffer(record["embedding"], "<f2").astype(np.float32))
    return Face((x0, y0, x1, y1), landmarks, float(record["score"]), vector)
