"""Which options a file's model has is found without its tensors, and is what loading it takes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from harness.face_restorers import restoreformer, saved, write_onnx
from harness.osdface import osdface_files
from harness.systems import (
    WordStates,
    headsup_adapters,
    hypir_file,
    osediff_file,
    pisasr_file,
    s3diff_file,
    tiny_networks,
)

from headsup_core.errors import ModelFileError
from headsup_core.models.bases.base import Base
from headsup_core.models.file_formats.headsup_adapter import save_headsup_adapter
from headsup_core.models.file_formats.headsup_file import save_headsup
from headsup_core.models.file_formats.two_ends import join_ends
from headsup_core.models.file_options import options_of_file
from headsup_core.models.one_step import OneStepModel


def test_adapters_have_what_their_system_declares(tmp_path: Path) -> None:
    base = Base(tmp_path, *tiny_networks(), WordStates())
    osediff_file(base, tmp_path)
    pisasr_file(base, tmp_path)
    s3diff_file(base, tmp_path)
    hypir_file(base, tmp_path)
    (tmp_path / "osdface").mkdir()
    osdface_files(base, tmp_path / "osdface")
    save_headsup_adapter(tmp_path / "mine.safetensors", *headsup_adapters(base))
    expected = {
        "osediff.pkl": {"process_size", "decoder"},
        "pisa_sr.pkl": {"lambda_pix", "lambda_sem", "process_size", "decoder"},
        "s3diff.pkl": {"guidance_scale", "negative_prompt", "decoder"},
        "HYPIR_sd2.pth": {"patch_size", "decoder"},
        "osdface/pytorch_lora_weights.safetensors": {"decoder"},
        "mine.safetensors": {"decoder"},
    }
    assert {name: set(options_of_file(tmp_path / name)) for name in expected} == expected


def test_a_file_has_detail_where_it_has_two_ends(toy_model: OneStepModel, tmp_path: Path) -> None:
    ends = [tmp_path / "a.safetensors", tmp_path / "b.safetensors"]
    for file in ends:
        save_headsup(file, toy_model)
        for parameter in toy_model.unet.parameters():
            parameter.data.mul_(0.9)
    join_ends(*ends, default=0.5, output=tmp_path / "both.safetensors")
    assert options_of_file(ends[0]) == {}
    assert options_of_file(tmp_path / "both.safetensors") == {"detail": 0.5}


def test_face_restorers(tmp_path: Path) -> None:
    names = ("position_emb", "idx_pred_layer.1.weight", "ft_layers.0.self_attn.in_proj_weight")
    torch.save({"params_ema": {name: torch.zeros(1) for name in names}}, tmp_path / "codeformer.pth")
    assert options_of_file(tmp_path / "codeformer.pth") == {"fidelity": 0.5}
    assert options_of_file(saved(restoreformer(), tmp_path / "RestoreFormer.pth", "params")) == {}
    assert options_of_file(write_onnx(tmp_path / "GPEN-BFR-256.onnx")) == {}


def test_what_cannot_be_looked_into_is_refused(tmp_path: Path) -> None:
    torch.save({"state_dict_unet": {}}, tmp_path / "old.pkl", _use_new_zipfile_serialization=False)
    torch.save({"x": torch.zeros(1)}, tmp_path / "other.pth")
    (tmp_path / "cut.safetensors").write_bytes(b"\x10")
    for name in ("old.pkl", "other.pth", "cut.safetensors", "missing.safetensors"):
        with pytest.raises(ModelFileError, match=name):
            options_of_file(tmp_path / name)
