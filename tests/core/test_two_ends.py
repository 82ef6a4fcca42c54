"""Model files with a faithful and a crisp end, and the `detail` between them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from harness.records import with_record
from harness.refusals import raises_naming
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import headsup_core as hu
from headsup_core.cli import main
from headsup_core.image_files import write_picture
from headsup_core.imaging.resizing import resize
from headsup_core.models.file_formats.headsup_file import save_headsup
from headsup_core.models.file_formats.two_ends import join_ends
from headsup_core.models.one_step import OneStepModel
from headsup_core.models.record import ModelRecord


@pytest.fixture
def ends(toy_model: OneStepModel, tmp_path: Path) -> tuple[Path, Path]:
    """Two files of one architecture, of which the UNets differ."""
    faithful, crisp = tmp_path / "faithful.safetensors", tmp_path / "crisp.safetensors"
    save_headsup(faithful, toy_model)
    with torch.no_grad():
        for parameter in toy_model.unet.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    save_headsup(crisp, toy_model)
    return faithful, crisp


@pytest.fixture
def both(ends: tuple[Path, Path], tmp_path: Path) -> Path:
    join_ends(*ends, default=0.25, output=tmp_path / "both.safetensors")
    return tmp_path / "both.safetensors"


def weights(path: Path, **options: float) -> dict[str, torch.Tensor]:
    return hu.load_model(path, **options).one_step.unet.state_dict()


def test_zero_is_the_faithful_end_and_what_is_added_is_right_to_half_a_step(
    ends: tuple[Path, Path], both: Path
) -> None:
    faithful, crisp = map(weights, ends)
    for name, tensor in weights(both, detail=0.0).items():
        assert torch.equal(tensor, faithful[name]), name
    for options, share in ({"detail": 1.0}, 1.0), ({"detail": 0.5}, 0.5), ({}, 0.25):
        for name, tensor in weights(both, **options).items():
            added = crisp[name] - faithful[name]
            rows = len(added) if added.ndim > 1 else 1  # output channels
            most = added.reshape(rows, -1).abs().amax(1)
            off = (tensor - faithful[name] - share * added).reshape(rows, -1).abs().amax(1)
            assert (off <= share * most / 254 + 1e-6).all(), name
            assert (tensor - faithful[name]).abs().max() > 0.9 * share * added.abs().max(), name


def test_what_both_ends_share_is_stored_once(ends: tuple[Path, Path], both: Path) -> None:
    stored, own = load_file(both), load_file(ends[0])
    added = set(stored) - set(own)
    assert added
    assert all(name.startswith(("detail.unet.", "detail_step.unet.")) for name in added)
    assert set(own) < set(stored)
    numbers = [name.removeprefix("detail.") for name in added if name.startswith("detail.")]
    assert all(stored["detail." + name].nbytes * 2 == own[name].nbytes for name in numbers)  # a byte for two


@pytest.mark.parametrize("spoilt", ["missing", "shape", "kind", "steps"])
def test_a_difference_that_does_not_fit_is_refused(both: Path, spoilt: str) -> None:
    content = load_file(both)
    with safe_open(both, "pt") as opened:
        header = opened.metadata()
    name = next(name for name in content if name.startswith("detail.") and content[name].ndim == 4)
    own = name.removeprefix("detail.")
    if spoilt == "missing":
        content["detail.unet.nowhere"] = content.pop(name)
    elif spoilt == "shape":
        content[name] = content[name][:, :1].contiguous()
    elif spoilt == "kind":
        content[name] = content[name].float()
    else:
        del content[f"detail_step.{own}"]
    save_file(content, both, header)
    with raises_naming(hu.ModelFileError, "nowhere" if spoilt == "missing" else own):
        hu.load_model(both)


def test_each_detail_has_a_picture_of_its_own(both: Path) -> None:
    picture = torch.rand(1, 3, 12, 12, generator=torch.Generator().manual_seed(2))
    made = [hu.load_model(both, detail=detail) for detail in (0.0, 0.5, 1.0)]
    assert [model.one_step.record.detail for model in made] == [0.0, 0.5, 1.0]
    assert hu.load_model(both).one_step.record.detail == 0.25
    first, middle, last = (hu.restore(picture, model, scale=2).image for model in made)
    assert not torch.equal(first, middle)
    assert not torch.equal(middle, last)


def test_a_loaded_mixture_is_saved_as_a_model_of_one_end(both: Path, tmp_path: Path) -> None:
    mixture = hu.load_model(both, detail=0.5)
    save_headsup(tmp_path / "mixture.safetensors", mixture.one_step, torch.float32)
    again = hu.load_model(tmp_path / "mixture.safetensors")
    assert again.one_step.record.detail is None
    for name, tensor in again.one_step.unet.state_dict().items():
        assert torch.equal(tensor, mixture.one_step.unet.state_dict()[name])


@pytest.mark.parametrize("detail", [-0.1, 1.5, float("nan"), "much"])
def test_a_detail_outside_of_its_range_is_refused(both: Path, detail: float) -> None:
    with raises_naming(hu.InputError, "detail"):
        hu.load_model(both, detail=detail)


def test_a_file_of_one_end_has_no_detail(ends: tuple[Path, Path]) -> None:
    with raises_naming(hu.InputError, "'detail'"):
        hu.load_model(ends[0], detail=0.5)


def test_ends_that_do_not_belong_together_are_refused(
    ends: tuple[Path, Path], both: Path, toy_model: OneStepModel, tmp_path: Path
) -> None:
    output = tmp_path / "never.safetensors"
    save_headsup(tmp_path / "other.safetensors", with_record(toy_model, margin=1))
    for crisp in (tmp_path / "other.safetensors", ends[0]):
        with raises_naming(hu.ModelFileError, crisp.name):
            join_ends(ends[0], crisp, 0.5, output)
    with raises_naming(hu.ModelFileError, both.name):
        join_ends(both, ends[1], 0.5, output)
    with raises_naming(hu.InputError, "detail", 1.5):
        join_ends(*ends, default=1.5, output=output)
    assert not output.exists()


def test_the_command_has_a_flag_for_it(both: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = torch.rand(1, 3, 12, 12, generator=torch.Generator().manual_seed(2))
    write_picture(tmp_path / "in.png", resize(picture, 12, 12), None)
    results: list[bytes] = []
    for detail in ("0", "1"):
        folder = tmp_path / f"out{detail}"
        arguments = ["upscale", str(tmp_path / "in.png"), "--output", str(folder), "--scale", "2", "--quiet", "--json"]
        assert main([*arguments, "--model", str(both), "--detail", detail]) == 0
        results.append(next(folder.glob("*.png")).read_bytes())
    assert json.loads(capsys.readouterr().out.splitlines()[0])
    assert results[0] != results[1]


def test_the_command_writes_the_same_model(ends: tuple[Path, Path], both: Path, tmp_path: Path) -> None:
    output = tmp_path / "a new folder" / "joined.safetensors"
    assert main(["join", *map(str, ends), "--default", "0.25", "--output", str(output)]) == 0
    assert hu.load_model(output).one_step.record.detail == 0.25
    made, known = load_file(output), load_file(both)
    assert made.keys() == known.keys()
    assert all(torch.equal(tensor, known[name]) for name, tensor in made.items())
    assert main(["join", *map(str, ends), "--output", str(output)]) == 0
    assert hu.load_model(output).one_step.record.detail == 0.5


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--default", "1.5", "--output", "a.safetensors"], "detail 1.5"),
        (["--output", "a.pt"], ".safetensors"),
        (["--output", "/proc/a/b.safetensors"], "cannot be written"),
    ],
)
def test_wrong_use_of_the_command_is_one_line_and_writes_nothing(
    ends: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["join", *map(str, ends), *options]) == 2
    errors = capsys.readouterr().err.strip().splitlines()
    assert len(errors) == 1
    assert said in errors[0]
    assert not Path(options[-1]).exists()


def test_a_header_whose_crisp_end_is_missing_is_refused(toy_record: ModelRecord, ends: tuple[Path, Path]) -> None:
    record = {**toy_record.to_json(), "detail": 0.5}
    header = {"format": "headsup", "format_version": "1", "architecture": json.dumps(record)}
    save_file(load_file(ends[0]), ends[0], header)
    with raises_naming(hu.ModelFileError, "detail."):
        hu.load_model(ends[0])
