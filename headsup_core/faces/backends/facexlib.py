"""facexlib: RetinaFace detection and ParseNet parsing from files in `models/facedetection`. It recognises nobody."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from typing_extensions import override

from ...errors import InputError, ModelFileError
from ...host import Host
from ...libraries import need
from ...models.file_formats.weights_files import check_finite, read_weights
from ..alignment import align_matrix, crop
from ..analyzer import AnalyzerBase, DetectionOptions, Licence, enlarged, to_bgr
from ..face import Face

FOLDER = "facedetection"
NETWORKS = {
    "detection_Resnet50_Final.pth": "resnet50",
    "detection_mobilenet0.25_Final.pth": "mobile0.25",
}
PARSENET = "parsing_parsenet.pth"
PARSED_SIDE = 512
FACE_LABELS = frozenset(range(1, 13))
"""ParseNet's classes of the face itself: skin, nose, glasses, eyes, brows, ears, mouth, lips; not hair, hat, neck."""
MAX_SIDE = 1536
ENLARGED_EYES = 10.0
PURPOSE = "the facexlib face analyzer"


class FacexlibAnalyzer(AnalyzerBase):
    """RetinaFace, and ParseNet for masks when its file is there.

    Args:
        host: finds the files and says on which device to compute.

    Raises:
        ModelFileError: no detection file is there, or a file is damaged.
    """

    name = "facexlib"
    licence = Licence(
        "facexlib: MIT; RetinaFace trained on WIDER FACE, ParseNet on CelebAMask-HQ (non-commercial)", False
    )
    needs = f"{next(iter(NETWORKS))} (and {PARSENET} for masks) in models/{FOLDER}"
    embedder_id = ""

    def __init__(self, host: Host, detector: str | None = None) -> None:
        # not facexlib's init_detection_model, which downloads and unpickles whatever it gets
        retinaface: Any = need("facexlib.detection.retinaface", "facexlib", PURPOSE)
        self._device = host.device
        path = host.find_model(FOLDER, detector) if detector else _first(host)
        kind = NETWORKS.get(path.name, "resnet50")
        self._detector: Any = retinaface.RetinaFace(network_name=kind, half=False, device=self._device)
        _load(self._detector, path)
        self._parser: nn.Module | None = None
        try:
            parser_path = host.find_model(FOLDER, PARSENET)
        except ModelFileError:
            return
        parsenet: Any = need("facexlib.parsing.parsenet", "facexlib", PURPOSE)
        parser: nn.Module = parsenet.ParseNet(in_size=PARSED_SIDE, out_size=PARSED_SIDE, parsing_ch=19)
        _load(parser, parser_path)
        self._parser = parser.to(self._device)

    @property
    def parses(self) -> bool:
        """Whether `parse` works."""
        return self._parser is not None

    @override
    @torch.no_grad()
    def _find(self, picture: torch.Tensor, options: DetectionOptions) -> Sequence[Face]:
        height, width = picture.shape[-2:]
        work = enlarged(picture, ENLARGED_EYES, options.min_eye_distance, MAX_SIDE)
        x, y = width / work.shape[-1], height / work.shape[-2]
        rows = self._detector.detect_faces(to_bgr(work), conf_threshold=max(options.min_score, 0.05))
        faces: list[Face] = []
        for row in rows:
            x0, y0, x1, y1, score = (float(value) for value in row[:5])
            points = torch.from_numpy(row[5:15].copy()).float().reshape(5, 2)
            faces.append(Face((x0, y0, x1, y1), points, score).scaled(x, y))
        return faces

    @override
    def _embed(self, picture: torch.Tensor, faces: Sequence[Face]) -> Sequence[torch.Tensor]:
        raise NotImplementedError  # embed() refuses before, for want of an embedder_id

    @torch.no_grad()
    def parse(self, picture: torch.Tensor, face: Face) -> tuple[torch.Tensor, torch.Tensor]:
        """Where the face's own pixels are, in its aligned crop.

        Args:
            picture: `[1,3,H,W]` in 0..1.

        Returns:
            Mask `[1,1,512,512]` of 0 and 1, and the matrix `[2,3]` from picture to crop.

        Raises:
            InputError: ParseNet's file is not there.
        """
        if self._parser is None:
            raise InputError(
                f"masks by parsing need {PARSENET} in models/{FOLDER}: python -m headsup_core download parsenet"
            )
        matrix = align_matrix(face.landmarks, PARSED_SIDE)
        aligned = crop(picture, matrix, PARSED_SIDE).to(self._device) * 2 - 1
        labels = self._parser(aligned)[0].argmax(dim=1, keepdim=True).cpu()
        return torch.isin(labels, torch.tensor(sorted(FACE_LABELS))).float(), matrix


def _first(host: Host) -> Path:
    errors: list[str] = []
    for name in NETWORKS:
        try:
            return host.find_model(FOLDER, name)
        except ModelFileError as error:
            errors.append(str(error))
    raise ModelFileError(
        f"{errors[0]}: the facexlib analyzer needs one of {', '.join(NETWORKS)} in models/{FOLDER}; "
        "python -m headsup_core download retinaface"
    )


def _load(network: nn.Module, path: Path) -> None:
    """Weights of a file, read as data only, into a network.

    Raises:
        ModelFileError: missing or additional tensors, other shapes, NaN.
    """
    tensors: dict[str, torch.Tensor] = {
        name.removeprefix("module."): value for name, value in read_weights(path).content.items()
    }
    for name, value in tensors.items():
        check_finite(name, value, path)
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:300]
        raise ModelFileError(f"{path} does not fit {type(network).__name__}: {reason}") from error
    network.eval().requires_grad_(False)
