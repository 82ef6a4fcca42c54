"""insightface: SCRFD detection and ArcFace recognition from a model pack in `models/insightface/models/<pack>`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from typing_extensions import override

from ...errors import InputError, ModelFileError
from ...host import Host
from ...libraries import need
from ..alignment import align_matrix, crop
from ..analyzer import AnalyzerBase, DetectionOptions, Licence, to_bgr
from ..face import Face

KIND = "insightface"
DEFAULT_PACK = "buffalo_l"
DETECTION_SIDES = (320, 640, 1280, 2560)
"""Squares that the picture is fitted into: first the one in which the smallest wanted eyes are `SCRFD_EYES` apart, then
the others until a face is found. SCRFD keeps memory for each size it has seen, so there are few."""
SCRFD_EYES = 8.0
"""Pixels between the eyes that SCRFD needs."""
BORDER = 0.25
PURPOSE = "the insightface face analyzer"


class InsightFaceAnalyzer(AnalyzerBase):
    """A pack's detection and recognition models, on the GPU when onnxruntime has one.

    Args:
        host: finds the pack's folder.
        pack: its name; the files lie in it (flat) or in a folder of the same name inside it (nested).

    Raises:
        ModelFileError: the pack is missing, has no detection model, or a file is damaged.
    """

    name = "insightface"
    licence = Licence("insightface: MIT; its model packs: non-commercial research", False)
    needs = "a model pack (buffalo_l, antelopev2 ...) in models/insightface/models"

    def __init__(self, host: Host, pack: str = DEFAULT_PACK) -> None:
        zoo: Any = need("insightface.model_zoo", "'insightface>=2'", PURPOSE)
        runtime: Any = need("onnxruntime", purpose=PURPOSE)
        wanted = PROVIDERS[-1:] if host.device.type == "cpu" else PROVIDERS
        providers = [name for name in runtime.get_available_providers() if name in wanted]
        folder = find_pack(host, pack)
        self._pack = pack
        self._detector: Any = None
        self._recogniser: Any = None
        for path in sorted(folder.glob("*.onnx")):
            model = _open(zoo, path, providers)
            kind = getattr(model, "taskname", None)
            if kind == "detection" and self._detector is None:
                self._detector = model
            elif kind == "recognition" and self._recogniser is None:
                self._recogniser, recogniser_path = model, path
                self.embedder_id = f"insightface_{recogniser_path.stem}"
        if self._detector is None:
            raise ModelFileError(
                f"{folder} has no detection model among {_names(folder)}: the pack {pack} is incomplete, get it again"
            )
        if self._recogniser is None:
            self.embedder_id = ""
        side = DETECTION_SIDES[1]
        self._detector.prepare(ctx_id=0 if _on_gpu(providers) else -1, input_size=(side, side))

    @property
    @override
    def analyzer_id(self) -> str:
        return f"{self.name}:{self._pack}"

    @override
    def _find(self, picture: torch.Tensor, options: DetectionOptions) -> Sequence[Face]:
        height, width = picture.shape[-2:]
        border = round(BORDER * min(height, width))
        padded = F.pad(picture, (border, border, border, border), mode="replicate")
        array = to_bgr(padded)
        needed = max(padded.shape[-2:]) * SCRFD_EYES / options.min_eye_distance
        fine = next((side for side in DETECTION_SIDES if side >= needed), DETECTION_SIDES[-1])
        threshold = max(0.05, options.min_score)
        for side in dict.fromkeys((fine, *DETECTION_SIDES)):
            if round(side * min(array.shape[:2]) / max(array.shape[:2])) < 1:
                continue  # nothing would be left of the shorter side
            boxes, points = self._detector.detect(
                array, input_size=(side, side), max_num=0, metric="default", det_thresh=threshold
            )
            if points is None:
                raise ModelFileError("this insightface pack's detector gives no landmarks: use buffalo_l or antelopev2")
            faces = [_face(box, five, border) for box, five in zip(boxes, points, strict=True)] if len(boxes) else []
            if any(face.score >= options.min_score for face in faces):
                return faces
        return []

    @override
    def _embed(self, picture: torch.Tensor, faces: Sequence[Face]) -> Sequence[torch.Tensor]:
        size = self._recogniser.input_size[0]
        crops = [to_bgr(crop(picture, align_matrix(face.landmarks, size, "arcface"), size)) for face in faces]
        return [torch.from_numpy(row).float() for row in self._recogniser.get_feat(crops)]

    @override
    def embed(self, image: torch.Tensor, faces: Any) -> Any:
        if self._recogniser is None:
            raise InputError(
                "this insightface pack has no recognition model (w600k_*.onnx or glintr100.onnx): it can detect faces "
                "but not recognise them; get the whole pack again"
            )
        return super().embed(image, faces)


PROVIDERS = ("CUDAExecutionProvider", "ROCMExecutionProvider", "DmlExecutionProvider", "CPUExecutionProvider")


def _on_gpu(providers: Sequence[str]) -> bool:
    return any(name != "CPUExecutionProvider" for name in providers)


def find_pack(host: Host, pack: str) -> Path:
    """The folder that holds a pack's `.onnx` files.

    insightface's own constructor would download a missing pack: it is looked for first.

    Raises:
        ModelFileError: there is no such folder, or no `.onnx` file in it.
    """
    try:
        folder = host.find_model(KIND, f"models/{pack}")
    except ModelFileError as error:
        raise ModelFileError(
            f"{error}: put the files of the pack {pack} into models/insightface/models/{pack}, "
            f"or run: python -m headsup_core download {pack}"
        ) from error
    for place in (folder, folder / pack):
        if any(place.glob("*.onnx")):
            return place
    raise ModelFileError(f"{folder} holds no .onnx file (found: {_names(folder)}): get the pack {pack} again")


def _names(folder: Path) -> str:
    names = sorted(path.name for path in folder.iterdir())
    return ", ".join(names[:8]) or "nothing"


def _face(box: Any, points: Any, border: int) -> Face:  # noqa: ANN401 - numpy rows
    x0, y0, x1, y1, score = (float(value) for value in box)
    landmarks = torch.from_numpy(points).float().reshape(5, 2) - border
    return Face((x0 - border, y0 - border, x1 - border, y1 - border), landmarks, min(1.0, max(0.0, score)))


def _open(zoo: Any, path: Path, providers: Sequence[str]) -> Any:  # noqa: ANN401 - insightface has no types
    try:
        return zoo.get_model(str(path), providers=list(providers))
    except Exception as error:  # onnxruntime raises classes of its own for every kind of damage
        reason = str(error).strip().splitlines()[0]
        raise ModelFileError(f"{path} cannot be loaded ({reason}): it is damaged, get the pack again") from error
