"""OpenCV: YuNet detection and SFace recognition from ONNX files in `models/facedetection`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from typing_extensions import override

from ...errors import ModelFileError
from ...host import Host
from ...libraries import need
from ..alignment import align_matrix, crop
from ..analyzer import AnalyzerBase, DetectionOptions, Licence, enlarged, to_bgr
from ..face import Face

FOLDER = "facedetection"
YUNET = "face_detection_yunet_2023mar.onnx"
SFACE = "face_recognition_sface_2021dec.onnx"
ENLARGED_EYES = 12.0
"""YuNet finds faces of this eye distance and more reliably; pictures are enlarged to that."""
MAX_SIDE = 4096
NMS_THRESHOLD = 0.3
TOP_K = 5000


class OpenCvAnalyzer(AnalyzerBase):
    """YuNet and, when its file is there, SFace.

    Args:
        host: finds the files.

    Raises:
        ModelFileError: YuNet's file is missing, or a file is damaged.
    """

    name = "opencv"
    licence = Licence("OpenCV: Apache-2.0; YuNet: MIT; SFace: Apache-2.0", True)
    needs = f"{YUNET} (and {SFACE} to recognise) in models/{FOLDER}"

    def __init__(self, host: Host, detector: str = YUNET, recogniser: str = SFACE) -> None:
        self._cv2: Any = need("cv2", "opencv-python", "the opencv face analyzer")
        path = host.find_model(FOLDER, detector)
        self._detector = _open(self._cv2, self._cv2.FaceDetectorYN.create, path, "", (320, 320))
        self._recogniser: Any = None
        self.embedder_id = ""
        recogniser_path = _optional(host, recogniser)
        if recogniser_path is not None:
            self._recogniser = _open(self._cv2, self._cv2.FaceRecognizerSF.create, recogniser_path, "")
            self.embedder_id = f"opencv_{recogniser_path.stem}"

    @override
    def _find(self, picture: torch.Tensor, options: DetectionOptions) -> Sequence[Face]:
        height, width = picture.shape[-2:]
        work = enlarged(picture, ENLARGED_EYES, options.min_eye_distance, MAX_SIDE)
        x, y = width / work.shape[-1], height / work.shape[-2]
        self._detector.setInputSize((work.shape[-1], work.shape[-2]))
        self._detector.setScoreThreshold(max(options.min_score, 0.05))
        self._detector.setNMSThreshold(NMS_THRESHOLD)
        self._detector.setTopK(TOP_K)
        rows = self._detector.detect(to_bgr(work))[1]
        return [] if rows is None else [_face(row).scaled(x, y) for row in rows]

    @override
    def _embed(self, picture: torch.Tensor, faces: Sequence[Face]) -> Sequence[torch.Tensor]:
        crops = [to_bgr(crop(picture, align_matrix(face.landmarks, 112, "arcface"), 112)) for face in faces]
        return [torch.from_numpy(np.array(self._recogniser.feature(aligned))).flatten() for aligned in crops]


def _face(row: Any) -> Face:  # noqa: ANN401 - numpy row of 15
    x, y, w, h = (float(value) for value in row[:4])
    return Face((x, y, x + w, y + h), torch.from_numpy(row[4:14].astype(np.float32)).reshape(5, 2), float(row[14]))


def _optional(host: Host, name: str) -> Path | None:
    try:
        return host.find_model(FOLDER, name)
    except ModelFileError:
        return None


def _open(cv2: Any, create: Any, path: Path, *arguments: Any) -> Any:  # noqa: ANN401 - OpenCV has no types
    try:
        return create(str(path), *arguments)
    except cv2.error as error:
        reason = str(error).strip().splitlines()[-1]
        raise ModelFileError(f"{path} is damaged or of another kind ({reason}): download it again") from error
