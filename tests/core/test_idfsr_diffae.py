"""DiffAE's checkpoints as a start of IDFSR."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from harness.diffae import checkpoint, layout
from harness.refusals import raises_naming

from headsup_core.errors import ModelFileError
from headsup_core.idfsr.network.diffae import load_diffae, take_diffae
from headsup_core.idfsr.network.idfsr_architecture import FFHQ128, FFHQ256, IDFSRArchitecture
from headsup_core.idfsr.network.idfsr_unet import IDFSRNetwork

SMALL = IDFSRArchitecture(
    32, 16, (1, 2, 3), (1, 2, 3, 3), attention_level=2, embedding=8, token_width=8, style=24, time=24
)
SHAPES = layout(16, (1, 2, 3), (1, 2, 3, 3), 2, 24)


@pytest.mark.parametrize(
    ("architecture", "multipliers", "encoder", "attention"),
    [(FFHQ128, (1, 1, 2, 3, 4), (1, 1, 2, 3, 4, 4), 3), (FFHQ256, (1, 1, 2, 2, 4, 4), (1, 1, 2, 2, 4, 4, 4), 4)],
)
def test_the_published_sizes_have_diffaes_layers(
    architecture: IDFSRArchitecture, multipliers: tuple[int, ...], encoder: tuple[int, ...], attention: int
) -> None:
    with torch.device("meta"):
        own = IDFSRNetwork(architecture).state_dict()
    theirs = layout(128, multipliers, encoder, attention, 512)
    shared = {name: tuple(value.shape) for name, value in own.items() if "identity" not in name}
    assert shared.pop("input_blocks.0.0.weight") == (128, 6, 3, 3)
    assert theirs.pop("input_blocks.0.0.weight") == (128, 3, 3, 3)
    assert shared == theirs


def test_a_checkpoint_fills_every_layer_and_changes_nothing_else(tmp_path: Path) -> None:
    tensors = checkpoint(SHAPES)
    torch.save({"state_dict": tensors, "epoch": 3}, tmp_path / "last.ckpt")
    network = IDFSRNetwork(SMALL).eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    load_diffae(network, tmp_path / "last.ckpt")
    for name, value in network.state_dict().items():
        if "identity" in name:
            assert torch.equal(value, before[name]), name
        elif name == "input_blocks.0.0.weight":
            assert torch.equal(value[:, :3], tensors[f"ema_model.{name}"])
            assert not value[:, 3:].any()
        else:
            assert torch.equal(value, tensors[f"ema_model.{name}"]), name
    # neither I_M nor the identity has an effect yet
    noisy, timestep, style = torch.randn(2, 3, 32, 32), torch.tensor([3, 800]), torch.randn(2, 24)
    with torch.no_grad():
        one, other = (network(noisy, torch.randn(2, 3, 32, 32), timestep, style, torch.randn(2, 8)) for _ in range(2))
    assert torch.equal(one, other)
    assert one.std() > 1e-3


def test_a_checkpoint_without_average_or_prefix_is_taken_as_it_is() -> None:
    tensors = checkpoint(SHAPES)
    for kept, cut in (("model.", ""), ("model.", "model.")):
        network = IDFSRNetwork(SMALL)
        chosen = {name.removeprefix(cut): value for name, value in tensors.items() if name.startswith(kept)}
        take_diffae(network, chosen, Path("x.ckpt"))
        name = "middle_block.1.qkv.weight"
        assert torch.equal(network.state_dict()[name], tensors[f"model.{name}"])


def test_another_size_or_kind_is_refused_with_the_layer(tmp_path: Path) -> None:
    network = IDFSRNetwork(SMALL)
    before = network.state_dict()["out.2.weight"].clone()
    wider = checkpoint(layout(32, (1, 2, 3), (1, 2, 3, 3), 2, 24))
    with raises_naming(ModelFileError, "encoder.input_blocks.0.0.bias", (32,), (16,)):
        take_diffae(network, wider, tmp_path)
    more = checkpoint(SHAPES | {"middle_block.2.skip_connection.bias": (48,)})
    with raises_naming(ModelFileError, "middle_block.2.skip"):
        take_diffae(network, more, tmp_path)
    tensors = checkpoint(SHAPES)
    del tensors["ema_model.out.2.bias"]
    with raises_naming(ModelFileError, 1, 400, "out.2.bias", (3,)):
        take_diffae(network, tensors, tmp_path)
    tensors = checkpoint(SHAPES)
    tensors["ema_model.out.2.bias"][1] = float("nan")
    with raises_naming(ModelFileError, 1, 3, "out.2.bias"):
        take_diffae(network, tensors, tmp_path)
    torch.save({"state_dict": [1, 2]}, tmp_path / "odd.ckpt")
    with pytest.raises(ModelFileError):
        load_diffae(network, tmp_path / "odd.ckpt")
    assert torch.equal(network.state_dict()["out.2.weight"], before)
