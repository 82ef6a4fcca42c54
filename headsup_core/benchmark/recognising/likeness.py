"""Faces found in the results, their landmarks, and whether they are the same people as in truth and reference."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from ...errors import HeadsUpError
from ...faces.alignment import align_matrix, scale_of
from ...faces.analyzer import DetectionOptions, FaceAnalyzer
from ...faces.face import Face
from ...identity.similarity import Calibration, measure
from ..comparing.cases import Cases
from ..figures import ANGLE, COSINE, IDENTITY, LANDMARKS, LMD, MISSED, TO_REFERENCE
from .face_detection import landmark_error, same_place
from .recognisers import Recogniser

log = logging.getLogger(__name__)

ALIGNED_SIDE = 512
"""Pixels of the aligned faces in which publications state landmark distances."""


@dataclass(frozen=True, eq=False)
class KnownFace:
    """The face of a clean picture, and its unit vectors, recogniser -> `[D]`."""

    face: Face
    vectors: Mapping[str, torch.Tensor]


@dataclass(frozen=True, eq=False)
class Likeness:
    """Figures of faces.

    Attributes:
        analyzer: finds them.
        known: of the clean pictures, by file; None where none was found.
        calibrations: recogniser -> the means of its scale.
        placed: where the face is in every picture, results included: nothing is looked for; None: it is.
    """

    analyzer: FaceAnalyzer
    recognisers: Sequence[Recogniser]
    known: Mapping[Path, KnownFace | None] = field(default_factory=dict[Path, KnownFace | None])
    calibrations: Mapping[str, Calibration] = field(default_factory=dict[str, Calibration])
    placed: Face | None = None

    def of(self, cases: Cases) -> Likeness:
        """With the faces of the clean pictures and photos of `cases`, and recognisers without published means
        calibrated on them.

        A picture that cannot be read is left out here; whoever measures it will name it.
        """
        known: dict[Path, KnownFace | None] = {}
        for path in cases.files():
            try:
                known[path] = self._know(cases.clean(path))
                photo = cases.reference_of(path)
                if photo is not None and photo not in known:
                    known[photo] = self._know(cases.photo(photo))
            except HeadsUpError as error:
                log.debug("%s", error)
        calibrations = {each.name: self._calibrated(each, known, cases) for each in self.recognisers}
        return replace(self, known=known, calibrations=calibrations)

    def _know(self, image: torch.Tensor) -> KnownFace | None:
        """The largest face of `[1,3,H,W]`."""
        faces = self.analyzer.detect(image)[0] if self.placed is None else (self.placed,)
        if not faces:
            return None
        return KnownFace(faces[0], {each.name: each.embed(image, faces[0]) for each in self.recognisers})

    def _calibrated(
        self, recogniser: Recogniser, known: Mapping[Path, KnownFace | None], cases: Cases
    ) -> Calibration:
        if recogniser.calibration.measured:
            return recogniser.calibration
        people: dict[str, list[torch.Tensor]] = {}
        for path, face in known.items():
            if face is not None:
                people.setdefault(cases.person_of(path), []).append(face.vectors[recogniser.name])
        try:
            means = measure(list(people.values()))
        except HeadsUpError:  # too few people, or nobody with two photos
            return recogniser.calibration
        return Calibration(means.same, means.different)

    def measure(self, result: torch.Tensor, truth: KnownFace, reference: KnownFace | None) -> dict[str, float]:
        """Figures of the face in `result` `[1,3,H,W]`.

        Returns:
            `missed` (1 when the analyzer does not find it); `landmarks` (mean error in eye distances) and `lmd` (the
            same in pixels of the face aligned at 512 px) when it does; `id_NAME` likeness to the truth and
            `id_NAME_ref` to the reference, calibrated; `cos_NAME` the raw cosine with the truth, `deg_NAME` its angle
            in degrees. A face that is not found is embedded by the truth's landmarks.
        """
        face, figures = self._look(result, truth) if self.placed is None else (self.placed, {})
        for recogniser in self.recognisers:
            vector = recogniser.embed(result, truth.face if face is None else face)
            name, scale = IDENTITY + recogniser.name, self.calibrations[recogniser.name]
            cosine = _cosine(vector, truth.vectors[recogniser.name])
            figures[name] = scale.score(cosine)
            figures[COSINE + recogniser.name] = cosine
            figures[ANGLE + recogniser.name] = math.degrees(math.acos(max(-1.0, min(1.0, cosine))))
            if reference is not None:
                figures[name + TO_REFERENCE] = scale.score(_cosine(vector, reference.vectors[recogniser.name]))
        return figures

    def _look(self, result: torch.Tensor, truth: KnownFace) -> tuple[Face | None, dict[str, float]]:
        """The face in `result`, and the figures of finding it."""
        half = max(1.0, truth.face.eye_distance / 2)  # smaller ones cannot be it, and looking for them takes long
        found = self.analyzer.detect(result, DetectionOptions(min_eye_distance=half))[0]
        face = next((each for each in found if same_place(each, truth.face.landmarks)), None)
        if face is None:
            return None, {MISSED: 1.0}
        error = landmark_error(face.landmarks, truth.face.landmarks)
        aligned = scale_of(align_matrix(truth.face.landmarks, ALIGNED_SIDE))
        return face, {MISSED: 0.0, LANDMARKS: error, LMD: error * truth.face.eye_distance * aligned}

    def notes(self) -> list[str]:
        """What a reader of the figures has to know."""
        lines = [f"Faces are found by {self.analyzer.name}; {LANDMARKS}: error in eye distances, of found faces only."]
        if self.placed is not None:
            lines = [f"Faces are aligned by {self.analyzer.name} in the clean picture, and recognised where they lie."]
        for recogniser in self.recognisers:
            means = self.calibrations[recogniser.name]
            source = "cosines of" if means.measured else "assumed, not measured: cosines of"
            used = "used in training, no independent judge; " if recogniser.trained_against else ""
            lines.append(
                f"{IDENTITY}{recogniser.name}: {used}0 = strangers, 1 = two good photos of one person ({source} "
                f"{means.different:.4f} and {means.same:.4f})."
            )
        if missing := sorted(path.name for path, face in self.known.items() if face is None):
            lines.append(f"No face in {len(missing)} clean pictures: {', '.join(missing)}.")
        return lines


def _cosine(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a.double() * b.double()).sum())
