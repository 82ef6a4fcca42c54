"""Model files as face analyzers expect them, with the real input and output signatures and made-up weights.

What they find is known: the SCRFD a face at each bright spot, the RetinaFace one in a small picture or none. So code
that reads, feeds and interprets them does the same as on a user's machine, only the values differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

STRIDES = (8, 16, 32)
ANCHORS = 2
SCRFD_OUTPUTS = ("448", "471", "494", "451", "474", "497", "454", "477", "500")
"""Names in det_10g.onnx: scores, boxes and keypoints of the three strides."""
SCRFD_BOX = (2.5, 2.5, 2.5, 2.5)
"""Distances left, up, right, down from the spot, in units of 32 px of the detector's square."""
SCRFD_POINTS = ((-1.0, -0.8), (1.0, -0.8), (0.0, 0.2), (-0.8, 1.1), (0.8, 1.1))
"""Landmarks from the spot, in the same units: the eyes are 64 px apart."""
BRIGHT = 0.6
"""Mean of a cell of 32 px, in -1..1, from which on it is a face."""
OPSET = 13


def make_scrfd(path: Path, *, blind: bool = False) -> Path:
    """An ONNX file as SCRFD_10G_KPS: input `input.1` `[1,3,?,?]`, nine outputs, two anchors.

    Args:
        blind: it never finds a face; else one of score up to 1 at each spot of 32 px (of the detector's square) that
            is almost white.
    """
    from onnx import helper

    nodes: list[Any] = []
    constants: dict[str, np.ndarray[Any, Any]] = {}
    for level, stride in enumerate(STRIDES):
        sees = stride == 32 and not blind
        cell, size = f"cell{stride}", f"cells{stride}"
        nodes += [
            helper.make_node("AveragePool", ["input.1"], [size], kernel_shape=[stride] * 2, strides=[stride] * 2),
            helper.make_node("ReduceMean", [size], [cell], axes=[1], keepdims=1),
        ]
        # score: the first anchor follows the brightness, the second is never sure
        slope, offset = (20.0, -20.0 * BRIGHT) if sees else (0.0, -9.0)
        heads = {
            "score": ([slope, 0.0], [offset, -9.0]),
            "box": ([0.0] * 8, [*SCRFD_BOX] * ANCHORS),
            "points": ([0.0] * 20, [value for point in SCRFD_POINTS for value in point] * ANCHORS),
        }
        for kind, (name, (factors, summands)) in enumerate(heads.items()):
            output = SCRFD_OUTPUTS[kind * len(STRIDES) + level]
            nodes += _head(constants, f"{name}{stride}", cell, factors, summands, output, sigmoid=name == "score")
    outputs = [
        _tensor(name, ["rows" + name, (1, 4, 10)[index // len(STRIDES)]]) for index, name in enumerate(SCRFD_OUTPUTS)
    ]
    return _write(path, nodes, constants, [_tensor("input.1", [1, 3, "?", "?"])], outputs)


def make_arcface(path: Path, *, size: int = 512, seed: int = 0, faces: str | int = "None") -> Path:
    """An ONNX file as ArcFace (w600k_r50): input `input.1` `[None,3,112,112]`, output `683` `[1,size]`.

    A random projection of the aligned face at 14x14 px, its brightness taken out: the same face gives the same
    vector, similar crops similar ones.

    Args:
        faces: of the input's shape; a number: exported for so many at once, and for no others.
    """
    from onnx import helper

    generator = np.random.default_rng(seed)
    constants = {"weight": (generator.standard_normal((588, size)) / 24).astype(np.float32)}
    if isinstance(faces, int):
        constants["shape"] = np.array([faces, 588], np.int64)
    row = ("Flatten", ["small"]) if isinstance(faces, str) else ("Reshape", ["small", "shape"])
    nodes = [
        helper.make_node("ReduceMean", ["input.1"], ["brightness"], axes=[1, 2, 3], keepdims=1),
        helper.make_node("Sub", ["input.1", "brightness"], ["flat"], name="centred"),
        helper.make_node("AveragePool", ["flat"], ["small"], kernel_shape=[8, 8], strides=[8, 8]),
        helper.make_node(*row, ["row"]),
        helper.make_node("MatMul", ["row", "weight"], ["683"]),
    ]
    return _write(path, nodes, constants, [_tensor("input.1", [faces, 3, 112, 112])], [_tensor("683", ["rows", size])])


def make_recogniser_with_landmarks(path: Path, *, landmarks_first: bool = False) -> Path:
    """An ONNX file of the form of CVLFace's with KP-RPE: faces `[B,3,112,112]` and landmarks `[B,5,2]` -> the mean of
    each colour and the first landmark, `[B,5]`."""
    from onnx import helper

    constants = {
        "pick": np.eye(2, 10, dtype=np.float32).T.copy(), "none": np.zeros(2, np.float32),
    }  # fmt: skip
    nodes = [
        helper.make_node("GlobalAveragePool", ["input.1"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["colours"]),
        helper.make_node("Flatten", ["keypoints"], ["row"]),
        helper.make_node("Gemm", ["row", "pick", "none"], ["first"]),
        helper.make_node("Concat", ["colours", "first"], ["683"], axis=1),
    ]
    inputs = [_tensor("input.1", ["n", 3, 112, 112]), _tensor("keypoints", ["n", 5, 2])]
    if landmarks_first:
        inputs.reverse()
    return _write(path, nodes, constants, inputs, [_tensor("683", ["n", 5])])


def make_residual_recogniser(path: Path, *, odd: str = "", seed: int = 0) -> Path:
    """A small ONNX file of the layers that w600k_r50 consists of, exported as it is: Conv, PRelu, BatchNormalization,
    Add, Flatten, Gemm.

    Args:
        odd: "normalises": it takes 0..255 and says so as MXNet's exports do; "any side": its input's height and width
            have names; "float16", "two outputs", "picture": it is no recogniser that we take.
    """
    from onnx import helper

    chance = np.random.default_rng(seed)
    kind = np.float16 if odd == "float16" else np.float32
    shapes = {"stem": (4, 3, 3, 3), "slope": (4, 1, 1), "deep": (4, 4, 3, 3), "dense": (8, 4 * 56 * 56), "bias": (8,)}
    constants = {name: (chance.standard_normal(shape) / 9).astype(kind) for name, shape in shapes.items()}
    norm = ("gain", "shift", "mean")
    constants |= {name: chance.standard_normal(4).astype(kind) for name in norm} | {"variance": np.ones(4, kind)}
    constants |= {"middle": np.array(127.5, kind), "share": np.array(1 / 127.5, kind)}
    nodes = [
        helper.make_node("Sub", ["input.1", "middle"], ["less"], name="Sub_0"),
        helper.make_node("Mul", ["less", "share"], ["faces"], name="Mul_1"),
    ]
    inside = "faces" if odd == "normalises" else "input.1"
    nodes = nodes * (odd == "normalises") + [
        helper.make_node("Conv", [inside, "stem"], ["a"], strides=[2, 2], pads=[1, 1, 1, 1]),
        helper.make_node("PRelu", ["a", "slope"], ["b"]),
        helper.make_node("Conv", ["b", "deep"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("BatchNormalization", ["c", *norm, "variance"], ["d"]),
        helper.make_node("Add", ["b", "d"], ["e"]),
        helper.make_node("Flatten", ["e"], ["row"]),
        helper.make_node("Gemm", ["row", "dense", "bias"], ["683"], transB=1),
    ]
    half = odd == "float16"
    taken = _tensor("input.1", ["None", 3, *(["h", "w"] if odd == "any side" else [112, 112])], half=half)
    given = [_tensor("683", ["rows", 8], half=half)]
    if odd == "two outputs":
        given.append(_tensor("row", ["rows", 4 * 56 * 56], half=half))
    if odd == "picture":
        given = [_tensor("e", ["rows", 4, 56, 56], half=half)]
        nodes = nodes[:-2]
    return _write(path, nodes, constants, [taken], given)


def make_pack(folder: Path, *, nested: bool = False, recogniser: bool = True, blind: bool = False) -> Path:
    """A pack of the name of `folder`: det_10g.onnx and w600k_r50.onnx, in it or in a folder of the same name in it."""
    place = folder / folder.name if nested else folder
    place.mkdir(parents=True, exist_ok=True)
    make_scrfd(place / "det_10g.onnx", blind=blind)
    if recogniser:
        make_arcface(place / "w600k_r50.onnx")
    return folder


def make_retinaface(path: Path, *, finds: bool = True, network: str = "mobile0.25", seed: int = 0) -> Path:
    """A state dict of facexlib's RetinaFace with random weights.

    Args:
        finds: its heads are constant: there is one face in a picture of up to 90 px a side, with a box larger than
            the picture and eyes 64 px apart; False: never a face.
    """
    from facexlib.detection.retinaface import RetinaFace

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = RetinaFace(network_name=network, half=False, device=torch.device("cpu"))
    state = net.state_dict()
    prior, variance = 512.0, 0.1  # the larger prior of the coarsest level; neighbours overlap and become one
    points = torch.tensor(SCRFD_POINTS) * 32 / (prior * variance)
    for level in range(len(STRIDES)):
        for head, values in (
            ("ClassHead", torch.tensor([5.0, -5.0] * ANCHORS)),
            ("BboxHead", torch.zeros(4 * ANCHORS)),
            ("LandmarkHead", torch.cat([points.flatten()] * ANCHORS)),
        ):
            state[f"{head}.{level}.conv1x1.weight"].zero_()
            state[f"{head}.{level}.conv1x1.bias"].copy_(values)
    if finds:
        state[f"ClassHead.{len(STRIDES) - 1}.conv1x1.bias"].copy_(torch.tensor([5.0, -5.0, -5.0, 5.0]))
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(state, path)
    return path


def make_parsenet(path: Path, *, seed: int = 0) -> Path:
    """A state dict of facexlib's ParseNet (512 px, 19 classes) with random weights, some 80 MB.

    Nearly everything is hair (13) or neck (17) to it; hair is swapped with skin (1), so that there is a face.
    """
    from facexlib.parsing.parsenet import ParseNet

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = ParseNet(in_size=512, out_size=512, parsing_ch=19)
    state = net.state_dict()
    for name in ("out_mask_conv.conv2d.weight", "out_mask_conv.conv2d.bias"):
        state[name][[1, 13]] = state[name][[13, 1]]
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(state, path)
    return path


def spots(height: int, width: int, *centres: tuple[int, int], radius: int = 12) -> torch.Tensor:
    """A dark textured picture `[1,3,H,W]` in 0..1 with white discs at (x, y): faces to `make_scrfd`'s detector."""
    y, x = torch.meshgrid(torch.arange(height).float(), torch.arange(width).float(), indexing="ij")
    texture = 0.2 + 0.1 * torch.sin(x / 3) * torch.cos(y / 5)
    image = torch.stack([texture, texture.flip(0), texture.flip(1)])
    for cx, cy in centres:
        image[:, (x - cx) ** 2 + (y - cy) ** 2 <= radius**2] = 1.0
    return image[None]


def _head(
    constants: dict[str, Any],
    name: str,
    cell: str,
    factors: Sequence[float],
    summands: Sequence[float],
    output: str,
    *,
    sigmoid: bool,
) -> list[Any]:
    """Rows `[cells * ANCHORS, values]` of cell * factor + summand, as SCRFD orders them."""
    from onnx import helper

    constants[f"{name}_factor"] = np.array(factors, dtype=np.float32).reshape(1, -1, 1, 1)
    constants[f"{name}_summand"] = np.array(summands, dtype=np.float32).reshape(1, -1, 1, 1)
    constants[f"{name}_shape"] = np.array([-1, len(factors) // ANCHORS], dtype=np.int64)
    rows = f"{name}_rows" if sigmoid else output
    nodes = [
        helper.make_node("Mul", [cell, f"{name}_factor"], [f"{name}_scaled"]),
        helper.make_node("Add", [f"{name}_scaled", f"{name}_summand"], [f"{name}_planes"]),
        helper.make_node("Transpose", [f"{name}_planes"], [f"{name}_last"], perm=[0, 2, 3, 1]),
        helper.make_node("Reshape", [f"{name}_last", f"{name}_shape"], [rows]),
    ]
    return [*nodes, helper.make_node("Sigmoid", [rows], [output])] if sigmoid else nodes


def _tensor(name: str, shape: Sequence[int | str], *, half: bool = False) -> Any:
    from onnx import TensorProto, helper

    return helper.make_tensor_value_info(name, TensorProto.FLOAT16 if half else TensorProto.FLOAT, list(shape))


def _write(path: Path, nodes: list[Any], constants: dict[str, Any], inputs: list[Any], outputs: list[Any]) -> Path:
    from onnx import checker, helper, numpy_helper

    tensors = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, path.stem, inputs, outputs, tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])
    model.ir_version = 8  # what every onnxruntime of today reads
    checker.check_model(model)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(model.SerializeToString())
    return path
