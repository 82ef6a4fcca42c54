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
from .yunet import YuNet, open_onnx

FOLDER = "facedetection"
YUNET = "face_detection_yunet_2023mar.onnx"
SFACE = "face_recognition_sface_2021dec.onnx"
ENLARGED_EYES = 12.0
"""YuNet finds faces of this eye distance and more reliably; pictures are enlarged to that."""
MAX_SIDE = 4096
PURPOSE = "the opencv face analyzer"


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
        cv2: Any = need("cv2", "opencv-python", PURPOSE)
        try:
            file = host.find_model(FOLDER, detector)
        except ModelFileError as error:
            raise ModelFileError(f"{error}: python -m headsup_core download yunet gets {YUNET}") from error
        self._detector = YuNet(file, PURPOSE)
        self._recogniser: Any = None
        self.embedder_id = ""
        recogniser_path = _optional(host, recogniser)
        if recogniser_path is not None:
            self._recogniser = open_onnx(cv2, cv2.FaceRecognizerSF.create, recogniser_path, "")
            self.embedder_id = f"opencv_{recogniser_path.stem}"

    @override
    def _find(self, picture: torch.Tensor, options: DetectionOptions) -> Sequence[Face]:
        height, width = picture.shape[-2:]
        work = enlarged(picture, ENLARGED_EYES, options.min_eye_distance, MAX_SIDE)
        x, y = width / work.shape[-1], height / work.shape[-2]
        return [face.scaled(x, y) for face in self._detector(work, max(options.min_score, 0.05))]

    @override
    def _embed(self, picture: torch.Tensor, faces: Sequence[Face]) -> Sequence[torch.Tensor]:
        crops = [to_bgr(crop(picture, align_matrix(face.landmarks, 112, "arcface"), 112)) for face in faces]
        return [torch.from_numpy(np.array(self._recogniser.feature(aligned))).flatten() for aligned in crops]


def _optional(host: Host, name: str) -> Path | None:
    try:
        return host.find_model(FOLDER, name)
    except ModelFileError:
        return None
