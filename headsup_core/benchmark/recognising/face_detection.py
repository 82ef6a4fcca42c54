"""How many faces of degraded portraits an analyzer finds, how exactly, and what it takes for one."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from tqdm import tqdm

from ...faces.analyzer import DetectionOptions, FaceAnalyzer
from ...faces.face import Face
from ...image_files import read_picture
from ...training.data.landmark_annotations import read_tem
from ...training.data.people_by_name import list_pictures
from ..comparing.cases import CleanFolder

CONDITIONS: dict[str, DetectionOptions] = {
    "clean": DetectionOptions(),
    "x4-mild": DetectionOptions(),
    "realesrgan": DetectionOptions(),
    "x8": DetectionOptions(min_eye_distance=6),
}
"""Degradations with the options that they are detected with; the faces of x8 have eyes 9 px apart."""
TINY_EYES = (3.0, 3.5, 4.0)
"""Pixels between the eyes to which the clean pictures are reduced (area), in 8 bits, as all that x16 leaves."""


@dataclass
class Tally:
    """What one analyzer found under one condition.

    Attributes:
        against_clean, against_hand: landmark errors in eye distances, one number a picture (mean over the five).
    """

    pictures: int = 0
    found: int = 0
    others: int = 0
    seconds: float = 0.0
    against_clean: list[float] = field(default_factory=list[float])
    against_hand: list[float] = field(default_factory=list[float])

    def count(self, faces: Sequence[Face], truth: torch.Tensor | None) -> Face | None:
        """Count a picture in which `faces` were found and one is at the landmarks `truth` `[5,2]`, and return that."""
        right = None if truth is None else next((face for face in faces if same_place(face, truth)), None)
        self.pictures += 1
        self.found += right is not None
        self.others += len(faces) - (right is not None)
        return right


def detection_table(people: CleanFolder, without: Sequence[Path], analyzers: Sequence[FaceAnalyzer]) -> str:
    """Markdown.

    Args:
        people: portraits of one person each; a `.tem` file beside one is its annotation. Its degradation is not used.
        without: folders of pictures in which every find is a false one.
    """
    header = "analyzer | pictures | found | other finds | landmark error, median / 95 % | against annotation | ms"
    lines = [f"| {header} |", "|---" * 7 + "|"]
    for analyzer in analyzers:
        for condition, options in CONDITIONS.items():
            tally = _tally(people, condition, options, analyzer)
            lines.append(_row(analyzer.name, condition, tally))
        lines += [_row(analyzer.name, f"eyes {eyes:g} px apart", _tiny(people, eyes, analyzer)) for eyes in TINY_EYES]
    lines += ["", "| analyzer | pictures without a face | pictures with a find | finds | ms |", "|---" * 5 + "|"]
    for analyzer in analyzers:
        for folder in without:
            lines.append(_false_finds(folder, analyzer))
    return "\n".join(lines)


def _tally(people: CleanFolder, condition: str, options: DetectionOptions, analyzer: FaceAnalyzer) -> Tally:
    tally = Tally()
    cases = replace(people, degradation="x4-mild" if condition == "clean" else condition)
    for path in tqdm(cases.files(), desc=f"{analyzer.name} {condition}", disable=None, leave=False):
        case = cases.load(path)
        height, width = case.truth.shape[-2:]
        picture = case.truth if condition == "clean" else case.bad
        started = time.perf_counter()
        found = analyzer.detect(picture, options)
        tally.seconds += time.perf_counter() - started
        faces = found.scaled_to(height, width)[0]
        clean = faces if condition == "clean" else analyzer.detect(case.truth)[0]
        annotated = _annotation(path, height)
        truth = annotated if annotated is not None else (clean[0].landmarks if clean else None)
        right = tally.count(faces, truth)
        if right is not None and clean and condition != "clean":
            tally.against_clean.append(landmark_error(right.landmarks, clean[0].landmarks))
        if right is not None and annotated is not None:
            tally.against_hand.append(landmark_error(right.landmarks, annotated))
    return tally


def _tiny(people: CleanFolder, eyes: float, analyzer: FaceAnalyzer) -> Tally:
    """What is found, with default options, of the faces of clean pictures that are reduced to an eye distance."""
    tally = Tally()
    for path in tqdm(people.files(), desc=f"{analyzer.name} {eyes:g} px", disable=None, leave=False):
        truth = people.load(path).truth
        clean = analyzer.detect(truth)[0]
        if not clean:
            continue
        scale = eyes / clean[0].eye_distance
        height, width = (max(1, round(side * scale)) for side in truth.shape[-2:])
        picture = (F.interpolate(truth, size=(height, width), mode="area") * 255).round() / 255
        started = time.perf_counter()
        faces = analyzer.detect(picture)[0]
        tally.seconds += time.perf_counter() - started
        landmarks = clean[0].scaled(width / truth.shape[-1], height / truth.shape[-2]).landmarks
        right = tally.count(faces, landmarks)
        if right is not None:
            tally.against_clean.append(landmark_error(right.landmarks, landmarks))
    return tally


def landmark_error(found: torch.Tensor, true: torch.Tensor) -> float:
    """Mean distance of the five landmarks `[5,2]`, in eye distances of `true`."""
    eyes = torch.linalg.vector_norm(true[1] - true[0])
    return float((torch.linalg.vector_norm(found - true, dim=1) / eyes).mean())


def same_place(face: Face, truth: torch.Tensor) -> bool:
    """Whether `face` is the one with the landmarks `truth` `[5,2]`: less than half its eye distance away."""
    eyes = torch.linalg.vector_norm(truth[1] - truth[0])
    return bool(torch.linalg.vector_norm(face.landmarks.mean(0) - truth.mean(0)) < 0.5 * eyes)


def _annotation(path: Path, height: int) -> torch.Tensor | None:
    """Landmarks by hand in the picture reduced to `height`, None without a file."""
    file = path.with_suffix(".tem")
    if not file.exists():
        return None
    original = read_picture(path).rgb.shape[-2]
    return (read_tem(file) + 0.5) * (height / original) - 0.5


def _row(name: str, condition: str, tally: Tally) -> str:
    cells = [
        name,
        condition,
        f"{tally.found}/{tally.pictures} ({tally.found / tally.pictures:.1%})",
        str(tally.others),
        _spread(tally.against_clean),
        _spread(tally.against_hand),
        f"{1000 * tally.seconds / tally.pictures:.0f}",
    ]
    return f"| {' | '.join(cells)} |"


def _spread(errors: Sequence[float]) -> str:
    if not errors:
        return "-"
    median, high = np.percentile(errors, [50, 95])
    return f"{median:.1%} / {high:.1%}"


def _false_finds(folder: Path, analyzer: FaceAnalyzer) -> str:
    pictures, finds, seconds = 0, 0, 0.0
    files = list_pictures(folder)
    for path in tqdm(files, desc=f"{analyzer.name} {folder.name}", disable=None, leave=False):
        image = read_picture(path).rgb
        started = time.perf_counter()
        found = analyzer.detect(image).count
        seconds += time.perf_counter() - started
        pictures += found > 0
        finds += found
    each = 1000 * seconds / len(files)
    return f"| {analyzer.name} | {folder.name} ({len(files)}) | {pictures} | {finds} | {each:.0f} |"
