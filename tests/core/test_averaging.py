"""The mean of several models' weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from harness.records import with_record
from safetensors.torch import save_file

from headsup_core.cli import main
from headsup_core.models.file_formats.headsup_file import load_headsup, read_model_record, save_headsup
from headsup_core.models.file_formats.weights_files import read_weights
from headsup_core.models.one_step import OneStepModel


@pytest.fixture
def files(toy_model: OneStepModel, tmp_path: Path) -> tuple[Path, Path]:
    """Two models of one architecture with different weights and cards."""
    save_headsup(tmp_path / "a.safetensors", toy_model)
    with torch.no_grad():
        for parameter in toy_model.unet.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    other = replace(toy_model.card, name="other")
    save_headsup(tmp_path / "b.safetensors", with_record(toy_model, card=other))
    return tmp_path / "a.safetensors", tmp_path / "b.safetensors"


@pytest.mark.parametrize(("options", "share"), [([], 0.5), (["--weights", "1,3"], 0.75), (["--weights", "0,2"], 1.0)])
def test_mean_of_two_models_is_a_model(
    files: tuple[Path, Path], options: list[str], share: float, tmp_path: Path
) -> None:
    output = tmp_path / "mean.safetensors"
    assert main(["average", *map(str, files), *options, "--output", str(output)]) == 0
    first, second, mean = (read_weights(path) for path in (*files, output))
    for name, value in mean.content.items():
        expected = (1 - share) * first.content[name].float() + share * second.content[name].float()
        assert value.dtype == first.content[name].dtype
        assert torch.allclose(value.float(), expected, rtol=1e-3, atol=1e-3), name
    assert read_model_record(mean).card == read_model_record(first).card
    load_headsup(mean, torch.float32)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a"], "1 files and 1 weights: give two files or more"),
        (["a", "b", "--weights", "1"], "2 files and 1 weights"),
        (["a", "b", "--weights", "1,-1"], "weights 1, -1: 0 or more each"),
        (["a", "b", "--weights", "0,0"], "not all 0"),
        (["a", "b", "--weights", "nan,1"], "weights nan, 1"),
        (["a", "b", "--weights", "x"], "--weights 'x': give numbers"),
        (["a", "none"], "none.safetensors does not exist"),
        (["a", "adapter"], "adapter.safetensors is no whole HeadsUp model"),
        (["a", "larger"], "larger.safetensors has another architecture than"),
    ],
)
def test_what_has_no_mean_is_refused(
    files: tuple[Path, Path],
    arguments: list[str],
    message: str,
    toy_model: OneStepModel,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    save_file({"x": torch.zeros(1)}, tmp_path / "adapter.safetensors")
    save_headsup(tmp_path / "larger.safetensors", with_record(toy_model, margin=1))
    named = [str(tmp_path / f"{each}.safetensors") if each.isalpha() and each != "x" else each for each in arguments]
    output = tmp_path / "mean.safetensors"
    assert main(["average", *named, "--output", str(output)]) == 2
    assert message in capsys.readouterr().err
    assert not output.exists()


def test_output_is_a_model_file(files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["average", *map(str, files), "--output", str(tmp_path / "mean.pt")]) == 2
    assert "a model file ends in .safetensors" in capsys.readouterr().err
