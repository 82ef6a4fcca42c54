"""What published systems share: one base, merging, and errors. Each has a test file of its own beside this one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from harness.refusals import raises_naming
from harness.systems import (
    osediff_file,
    picture,
    pisasr_file,
)
from torch import nn

import headsup_core as hu
from headsup_core.models.bases.base import Base
from headsup_core.models.bases.text_encoder import write_vocabulary
from headsup_core.models.lora.branches import Adapter, LowRankBranch, attached, merge_into


def test_systems_over_one_base_do_not_disturb_each_other(base: Base, tmp_path: Path) -> None:
    first = hu.load_model(adapter=osediff_file(base, tmp_path), base=base)
    alone = hu.restore(picture(), first, scale=2, prompt="x").image
    second = hu.load_model(adapter=pisasr_file(base, tmp_path)[0], base=base)
    assert first.one_step.unet is second.one_step.unet
    other = hu.restore(picture(), second, scale=2).image
    assert torch.equal(hu.restore(picture(), first, scale=2, prompt="x").image, alone)
    assert (other - alone).abs().max() > 0.01
    assert alone.shape == (1, 3, 32, 32)


ONE_STEP = [(torch.float32, 2.0**-20), (torch.float16, 2.0**-11), (torch.bfloat16, 2.0**-8)]


@pytest.mark.parametrize(("dtype", "steps"), ONE_STEP)
@torch.no_grad()
def test_merge_equals_branch(dtype: torch.dtype, steps: float) -> None:
    random = torch.Generator().manual_seed(0)
    layers = nn.ModuleDict({"a": nn.Linear(6, 5), "b": nn.Conv2d(3, 4, 3, stride=2, padding=1)}).to(dtype)
    branches = {
        "a": LowRankBranch(torch.randn(2, 6, generator=random), torch.randn(5, 2, generator=random), 0.5),
        "b": LowRankBranch(torch.randn(2, 3, 3, 3, generator=random), torch.randn(4, 2, 1, 1, generator=random), 2.0),
    }
    wanted = {path: layers[path].weight.double() + branches[path].delta().double() for path in branches}
    inputs = {"a": torch.randn(2, 6, generator=random), "b": torch.randn(2, 3, 7, 7, generator=random)}
    adapter = Adapter(branches)
    if dtype == torch.float32:
        with attached(layers, (adapter,)):
            branched = {path: layers[path](x) for path, x in inputs.items()}
    merge_into(layers, (adapter,))
    for path, weight in wanted.items():
        assert ((layers[path].weight.double() - weight).abs() <= steps * weight.abs() + 1e-7).all()
        if dtype == torch.float32:
            assert torch.allclose(layers[path](inputs[path]), branched[path], atol=1e-5)


BROKEN: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "missing": (lambda c: c["state_dict_unet"].pop("conv_out.lora_B.default_decoder.weight"), "conv_out"),
    "rank": (lambda c: c.update(rank_unet=5), "(5, 4, 3, 3)"),
    "nan": (lambda c: c["state_dict_vae"]["quant_conv.lora_A.default_encoder.weight"].fill_(float("nan")), "NaN"),
    "gone": (lambda c: c["vae_lora_encoder_modules"].append("encoder.more"), "encoder.more"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_broken_files_name_the_key(base: Base, tmp_path: Path, kind: str) -> None:
    change, named = BROKEN[kind]
    with raises_naming(hu.ModelFileError, named):
        hu.load_model(adapter=osediff_file(base, tmp_path, change), base=base)


def test_wrong_use_is_refused(base: Base, tmp_path: Path) -> None:
    path = osediff_file(base, tmp_path)
    with raises_naming(hu.InputError, "'lambda_sem'"):
        hu.load_model(adapter=path, base=base, lambda_sem=1.0)
    with raises_naming(hu.InputError, path.name, "base"):
        hu.load_model(adapter=path)
    with raises_naming(hu.InputError, "merge"):
        hu.load_model(adapter=path, base=base, merge=True)
    with raises_naming(hu.ModelFileError, "PiSA-SR", "OSEDiff"):
        hu.load_model(adapter=path, base=base, system="pisasr")
    (tmp_path / "cut.pkl").write_bytes(path.read_bytes()[:2000])
    with raises_naming(hu.ModelFileError, "cut.pkl"):
        hu.load_model(adapter=tmp_path / "cut.pkl", base=base)


def test_vocabulary_is_clips(tmp_path: Path) -> None:
    from transformers import CLIPTokenizer

    write_vocabulary(tmp_path)
    tokenizer = CLIPTokenizer.from_pretrained(str(tmp_path))
    ids = tokenizer(["woman, astronaut, portrait, flag, ,"], padding="max_length", max_length=77).input_ids[0]
    assert ids[:13] == [49406, 2308, 267, 18376, 267, 5352, 267, 4859, 267, 267, 49407, 0, 0]
