"""Files of face restorers with random weights, of the networks that spandrel has, small."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from headsup_core.models.face_restorers import through_spandrel

SIDE = 64
"""Pixels of the faces of the small networks."""
RESTOREFORMER: dict[str, Any] = {
    "n_embed": 32,
    "embed_dim": 32,
    "ch": 32,
    "out_ch": 3,
    "ch_mult": (1, 1),
    "num_res_blocks": 1,
    "attn_resolutions": (16,),
    "dropout": 0.0,
    "in_channels": 3,
    "resolution": 512,
    "z_channels": 32,
    "double_z": False,
    "enable_mid": True,
    "head_size": 8,
}


def shrink(monkeypatch: pytest.MonkeyPatch) -> None:
    """GFPGAN's network for faces of 64 px and with an eighth of the channels, and such faces for all."""
    from spandrel.architectures import GFPGAN

    full = GFPGAN.GFPGAN

    def small(**sizes: Any) -> Any:
        return full(**{**sizes, "out_size": SIDE, "narrow": 1 / 8})

    monkeypatch.setattr(GFPGAN, "GFPGAN", small)
    monkeypatch.setattr(through_spandrel, "SIDE", SIDE)


def filled(network: Any, seed: int = 0) -> Any:
    """`network` with seeded weights; also those that training starts at zero, as GFPGAN's strengths of noise."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in network.parameters():
        scale = 0.5 if parameter.ndim < 2 else (2 / max(1, parameter[0].numel())) ** 0.5
        parameter.data.copy_(torch.randn(parameter.shape, generator=generator) * scale)
    return network.eval()


def restoreformer() -> Any:
    """The small RestoreFormer, as spandrel builds it."""
    from spandrel.architectures.RestoreFormer import RestoreFormer

    return filled(RestoreFormer(**RESTOREFORMER))


def gfpgan() -> Any:
    """GFPGAN, as spandrel builds it; after `shrink` the small one."""
    from spandrel.architectures import GFPGAN

    sizes: dict[str, Any] = {"num_style_feat": 512, "channel_multiplier": 2, "num_mlp": 8, "input_is_latent": True}
    return filled(GFPGAN.GFPGAN(**sizes, different_w=True, sft_half=True))


def saved(network: Any, path: Path, wrapped: str = "params_ema") -> Path:
    """The file of a network as its authors' scripts write it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = network.state_dict()
    torch.save({wrapped: tensors} if wrapped else dict(tensors), path)
    return path


def write_onnx(path: Path, side: int | str = 256, weight: str = "", factor: float = -0.5) -> Path:
    """A file that gives each face times `factor`, or times the number `weight` that it asks for ("double", "float")."""
    import onnx
    from onnx import TensorProto, helper

    path.parent.mkdir(parents=True, exist_ok=True)
    picture = helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, side, side])
    result = helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 3, side, side])
    inputs, nodes, initializers = [picture], [], []
    if weight:
        kind = {"double": TensorProto.DOUBLE, "float": TensorProto.FLOAT}[weight]
        inputs.append(helper.make_tensor_value_info("weight", kind, [1]))
        nodes.append(helper.make_node("Cast", ["weight"], ["factor"], to=TensorProto.FLOAT))
    else:
        initializers.append(helper.make_tensor("factor", TensorProto.FLOAT, [1], [factor]))
    nodes.append(helper.make_node("Mul", ["input", "factor"], ["output"]))
    graph = helper.make_graph(nodes, "restorer", inputs, [result], initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, str(path))
    return path
