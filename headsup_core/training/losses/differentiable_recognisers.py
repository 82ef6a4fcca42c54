"""Differentiable face recognisers for the identity loss: MobileFaceNet (arXiv 1804.07573), and any ONNX file.

Some want the landmarks beside the face: CVLFace's with KP-RPE (arXiv 2403.14852), which HeadsUp was trained with.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from ...errors import ModelFileError
from ...faces.alignment import align_matrix, crop, template, transform_points
from ...libraries import need
from ...models.file_formats.weights_files import read_weights

SIDE = 112
"""Pixels of a face aligned to ArcFace's template."""
LONGEST = 8192
"""Numbers of an embedding; what gives more gives a picture."""

_BOTTLENECKS = ((2, 64, 5, 2), (4, 128, 1, 2), (2, 128, 6, 1), (4, 128, 1, 2), (2, 128, 2, 1))
"""Expansion, channels, repetitions, stride of the first."""


def load_mobilefacenet(path: Path) -> nn.Module:
    """The frozen network: faces `[B,3,112,112]` in 0..1 -> embeddings `[B,128]` of any length.

    Raises:
        ModelFileError: the file is missing or holds other layers.
    """
    if not path.is_file():
        raise ModelFileError(f"the recogniser {path} is missing: MobileFaceNet's weights, or an .onnx file")
    network = MobileFaceNet()
    content = {name: value for name, value in read_weights(path).content.items() if isinstance(value, torch.Tensor)}
    try:
        network.load_state_dict(content)
    except RuntimeError as error:
        raise ModelFileError(f"{path} does not hold MobileFaceNet as published: {str(error)[:300]}") from error
    return network.eval().requires_grad_(False)


def load_recogniser(path: Path) -> nn.Module:
    """By the file's ending: `load_onnx_recogniser` of .onnx, else `load_mobilefacenet`."""
    return load_onnx_recogniser(path) if path.suffix.lower() == ".onnx" else load_mobilefacenet(path)


def load_onnx_recogniser(path: Path) -> nn.Module:
    """A frozen network in the form of InsightFace's: aligned faces `[B,3,112,112]`, RGB in -1..1 (or in 0..255, when it
    subtracts and multiplies first), and one output of float32. A second input `[B,5,2]` are the landmarks in the
    aligned face, 0..1 of its sides, as KP-RPE takes them.

    Returns:
        Faces `[B,3,112,112]` in 0..1, and perhaps their landmarks (see `told_embedding`) -> embeddings `[B,D]` of any
        length.

    Raises:
        InputError: onnx2torch is not installed.
        ModelFileError: the file is missing, is no ONNX file, cannot be rebuilt, or does something else.
    """
    if not path.is_file():
        raise ModelFileError(f"the recogniser {path} is missing: an .onnx file as InsightFace's")
    onnx, onnx2torch = need("onnx", purpose=path.name), need("onnx2torch", purpose=path.name)
    try:
        model = onnx.load(path)
        onnx.checker.check_model(model)
    except Exception as error:  # protobuf and onnx have a class of their own for each defect
        raise ModelFileError(f"{path} is no ONNX file: {str(error)[:300]}") from error
    weights = {each.name for each in model.graph.initializer}
    inputs = [each for each in model.graph.input if each.name not in weights]
    ranks = [len(each.type.tensor_type.shape.dim) for each in inputs]
    if sorted(ranks) not in ([4], [3, 4]) or len(model.graph.output) != 1:
        raise ModelFileError(
            f"{path} has {len(inputs)} inputs and {len(model.graph.output)} outputs: a recogniser has one of each, or "
            f"landmarks [B, 5, 2] beside the faces [B, 3, 112, 112] (found: {ranks} dimensions)"
        )
    dims = inputs[ranks.index(4)].type.tensor_type.shape.dim
    try:
        network = _OnnxRecogniser(
            onnx2torch.convert(model),
            one_by_one=bool(dims) and dims[0].dim_value == 1,
            normalises=_normalises([each.name for each in model.graph.node]),
            order=tuple("landmarks" if rank == 3 else "faces" for rank in ranks),
        )
        with torch.no_grad():
            vectors = network.eval()(torch.zeros(2, 3, SIDE, SIDE))
    except Exception as error:  # whatever a layer raises that cannot be built, or is given what it does not take
        takes = ", ".join(each.dim_param or str(each.dim_value or "?") for each in dims)
        raise ModelFileError(
            f"{path} takes [{takes}] and cannot be given aligned faces [2, 3, {SIDE}, {SIDE}]: {str(error)[:300]}"
        ) from error
    if vectors.ndim != 2 or len(vectors) != 2 or vectors.shape[1] > LONGEST or not vectors.isfinite().all():
        raise ModelFileError(f"{path} gives {list(vectors.shape)} for 2 faces: a recogniser gives a vector for each")
    return network.requires_grad_(False)


def _normalises(nodes: Sequence[str]) -> bool:
    """Whether a network takes 0..255, by the rule of insightface's `ArcFaceONNX`: its export of MXNet's networks
    subtracts and multiplies first."""
    first = nodes[:8]
    return any(name.startswith(("Sub", "_minus")) for name in first) and any(
        name.startswith(("Mul", "_mul")) for name in first
    )


class _OnnxRecogniser(nn.Module):
    """A network of faces in -1..1 (0..255 when it `normalises`), as one of faces in 0..1.

    Args:
        one_by_one: it was exported for one face, and may count on that inside.
        order: its inputs, "faces" and perhaps "landmarks".

    Attributes:
        takes_landmarks: whether it wants the landmarks, too.
    """

    def __init__(
        self, network: nn.Module, *, one_by_one: bool, normalises: bool, order: tuple[str, ...] = ("faces",)
    ) -> None:
        super().__init__()
        self._network = network
        self._one_by_one = one_by_one
        self._scale, self._shift = (255, 0) if normalises else (2, -1)
        self._order = order
        self.takes_landmarks = "landmarks" in order

    def forward(self, faces: torch.Tensor, landmarks: torch.Tensor | None = None) -> torch.Tensor:
        """`landmarks` `[B,5,2]` in 0..1 of the faces' sides; None: those of ArcFace's template."""
        if landmarks is None:
            landmarks = (template("arcface", SIDE) + 0.5) / SIDE
        given = {
            "faces": faces * self._scale + self._shift,
            "landmarks": landmarks.to(faces).expand(len(faces), 5, 2),
        }
        size = 1 if self._one_by_one else len(faces)
        parts = zip(*(given[name].split(size) for name in self._order), strict=True)
        return torch.cat([self._network(*part) for part in parts]).flatten(1)


def told_embedding(network: nn.Module, landmarks: torch.Tensor, faces: torch.Tensor) -> torch.Tensor:
    """`[B,D]` of aligned faces `[B,3,112,112]`, with their landmarks (`aligned_landmarks`) if `network` wants them."""
    return network(faces, landmarks) if getattr(network, "takes_landmarks", False) else network(faces)


def aligned_landmarks(landmarks: torch.Tensor) -> torch.Tensor:
    """Where landmarks `[B,5,2]` of pictures lie in the faces that `aligned_faces` cuts by them, `[B,5,2]` in 0..1."""
    placed = [transform_points(align_matrix(points, SIDE, "arcface"), points) for points in landmarks]
    return (torch.stack(placed) + 0.5) / SIDE


def aligned_faces(
    images: torch.Tensor,
    landmarks: torch.Tensor,
    side: int = SIDE,
    to: Literal["ffhq", "arcface"] = "arcface",
) -> torch.Tensor:
    """Faces `[B,3,side,side]` of pictures `[B,3,H,W]` with landmarks `[B,5,2]`, differentiable in the pixels."""
    pairs = zip(images, landmarks, strict=True)
    return torch.cat([crop(image[None], align_matrix(points, side, to), side) for image, points in pairs])


class MobileFaceNet(nn.Module):
    """Layers are named as in the published weights."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = _conv(3, 64, 3, stride=2)
        self.dw_conv = _Separable(64, 64)
        blocks: list[nn.Module] = []
        channels = 64
        for expansion, width, repetitions, stride in _BOTTLENECKS:
            for index in range(repetitions):
                blocks.append(_Bottleneck(channels, width, stride if index == 0 else 1, expansion))
                channels = width
        self.features = nn.Sequential(*blocks)
        self.conv2 = _conv(128, 512, 1)
        self.gdconv = _GlobalDepthwise(512)
        self.conv3 = nn.Conv2d(512, 128, 1)
        self.bn = nn.BatchNorm2d(128)

    def forward(self, faces: torch.Tensor) -> torch.Tensor:
        """`[B,3,112,112]` in 0..1 -> `[B,128]`."""
        hidden = self.dw_conv(self.conv1(faces * 2 - 1))
        hidden = self.gdconv(self.conv2(self.features(hidden)))
        return self.bn(self.conv3(hidden)).flatten(1)


class _Separable(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(inputs, inputs, 3, padding=1, groups=inputs, bias=False)
        self.bn1 = nn.BatchNorm2d(inputs)
        self.pointwise = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        hidden = torch.relu(self.bn1(self.depthwise(hidden)))
        return torch.relu(self.bn2(self.pointwise(hidden)))


class _GlobalDepthwise(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 7, groups=channels, bias=False)
        self.bn = nn.BatchNorm2d(channels)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        return self.bn(self.depthwise(hidden))


class _Bottleneck(nn.Module):
    """Inverted residual of MobileNetV2."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        layers: list[Any] = [_conv(inputs, hidden, 1), _conv(hidden, hidden, 3, stride, hidden)]
        self.conv = nn.Sequential(*layers, nn.Conv2d(hidden, outputs, 1, bias=False), nn.BatchNorm2d(outputs))
        self.residual = stride == 1 and inputs == outputs

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        return hidden + self.conv(hidden) if self.residual else self.conv(hidden)


def _conv(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU6(),
    )
