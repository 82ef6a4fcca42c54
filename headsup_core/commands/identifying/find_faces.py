"""Find the faces in pictures: boxes, landmarks, scores."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from ...errors import HeadsUpError, InputError
from ...faces.analyzer import DetectionOptions, FaceAnalyzer
from ...faces.face import LANDMARK_NAMES, Face
from ...identity.names import readable
from ...image_files import picture_files, read_picture
from ..hosting import add_host_arguments, make_host
from .analyzing import add_analyzer_arguments, detection_options, make_analyzer


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("pictures", nargs="+", type=Path, metavar="IN", help="pictures, or folders of pictures")
    parser.add_argument("--json", action="store_true", help="one JSON line per picture on stdout")
    parser.add_argument("--embeddings", action="store_true", help="with --json: each face's embedding, too")
    add_analyzer_arguments(parser)
    add_host_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """One line per picture; one that fails is named at the end, the others are done. Status 2 when any failed."""
    options = detection_options(args)
    files = picture_files(args.pictures)
    analyzer = make_analyzer(args, make_host(args))
    failed: list[str] = []
    for path in files:
        try:
            record = find_faces(path, analyzer, options, embeddings=args.embeddings)
        except HeadsUpError as error:
            failed.append(readable(str(error) if str(path) in str(error) else f"{path}: {error}"))
            continue
        sys.stdout.write((json.dumps(record) if args.json else _in_words(record)) + "\n")
        sys.stdout.flush()
    if failed:
        raise InputError(f"{len(failed)} of {len(files)} pictures failed:\n" + "\n".join(failed))
    return 0


def find_faces(path: Path, analyzer: FaceAnalyzer, options: DetectionOptions, *, embeddings: bool) -> dict[str, Any]:
    """What is written of one picture. Raises `HeadsUpError` when it cannot be read."""
    image = read_picture(path).rgb
    faces = analyzer.detect(image, options)
    if embeddings:
        faces = analyzer.embed(image, faces)
    return {
        "picture": readable(str(path)),
        "width": image.shape[-1],
        "height": image.shape[-2],
        "analyzer": analyzer.name,
        "embedder": analyzer.embedder_id if embeddings else None,
        "faces": [_record(face) for face in faces[0]],
    }


def _record(face: Face) -> dict[str, Any]:
    points = face.landmarks.tolist()
    record: dict[str, Any] = {
        "box": [round(value, 2) for value in face.box],
        "score": round(face.score, 4),
        "eye_distance": round(face.eye_distance, 2),
        "landmarks": {
            name: [round(x, 2), round(y, 2)] for name, (x, y) in zip(LANDMARK_NAMES, points, strict=True)
        },
    }
    if face.embedding is not None:
        record["embedding"] = [round(value, 6) for value in face.embedding.tolist()]
    return record


def _in_words(record: dict[str, Any]) -> str:
    faces: list[dict[str, Any]] = record["faces"]
    lines = [f"{record['picture']}: {len(faces) or 'no'} face{'' if len(faces) == 1 else 's'}"]
    for index, face in enumerate(faces):
        x0, y0, x1, y1 = (round(value) for value in face["box"])
        lines.append(
            f"  {index}: box {x0},{y0} - {x1},{y1}, eye distance {face['eye_distance']:.0f} px, "
            f"score {face['score']:.2f}"
        )
    return "\n".join(lines)
