from __future__ import annotations

import hashlib
import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from harness.refusals import raises_naming
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from headsup_core.benchmark.comparing.cases import Case, CleanFolder, PairFolders
from headsup_core.benchmark.comparing.peers import Bicubic, Lanczos, RealEsrgan
from headsup_core.benchmark.comparing.system_names import make_systems
from headsup_core.benchmark.measuring.artefacts import periodic_energy
from headsup_core.benchmark.measuring.fresh_processes import peak_bytes, run_fresh
from headsup_core.benchmark.measuring.system_costs import import_seconds
from headsup_core.benchmark.metrics.all_metrics import Metrics
from headsup_core.benchmark.metrics.metric import luma
from headsup_core.benchmark.reporting.intervals import interval
from headsup_core.cli import main
from headsup_core.errors import InputError, ModelFileError
from headsup_core.host import PlainHost
from headsup_core.models.file_formats.headsup_file import save_headsup
from headsup_core.models.one_step import OneStepModel


def _noise(side: int, seed: int) -> torch.Tensor:
    values = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(seed))
    return (values * 255).round() / 255


def test_luma_is_bt601() -> None:
    white, black = torch.ones(1, 3, 1, 1), torch.zeros(1, 3, 1, 1)
    assert luma(white).item() == pytest.approx(235 / 255, abs=1e-6)
    assert luma(black).item() == pytest.approx(16 / 255)
    green = torch.tensor([0.0, 1.0, 0.0]).view(1, 3, 1, 1)
    assert luma(green).item() == pytest.approx((128.553 + 16) / 255)


def test_figures_equal_scikit_image() -> None:
    truth = _noise(64, 0)
    result = (truth + 0.1 * _noise(64, 1)).clamp(0, 1)
    metrics = Metrics.made()
    figures = metrics.measure(result, truth)
    rounded = (result * 255).round() / 255
    a, b = (luma(image)[0, 0].numpy().astype(np.float64) for image in (rounded, truth))
    assert figures["psnr_y"] == pytest.approx(peak_signal_noise_ratio(b, a, data_range=1), abs=1e-3)
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1}
    full = structural_similarity(a, b, full=True, **options)[1]
    assert figures["ssim_y"] == pytest.approx(full[5:-5, 5:-5].mean(), abs=2e-4)
    assert "lpips" not in figures
    with raises_naming(ValueError, 64):
        metrics.measure(result[..., 1:], truth)


def test_interval_covers_the_mean_of_a_known_distribution() -> None:
    values = np.random.default_rng(0).normal(5, 2, 200)
    found = interval(values.tolist())
    assert found.mean == pytest.approx(values.mean())
    spread = 1.96 * values.std() / 200**0.5
    assert found.low == pytest.approx(found.mean - spread, abs=0.06)
    assert found.high == pytest.approx(found.mean + spread, abs=0.06)


def _save(path: Path, image: torch.Tensor) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray((image[0].permute(1, 2, 0) * 255).round().byte().numpy()).save(path)


def _load(cases: CleanFolder | PairFolders) -> dict[str, Case]:
    return {case.name: case for case in map(cases.load, cases.files())}


def test_cases_are_the_same_in_every_selection(tmp_path: Path) -> None:
    for person in range(6):
        _save(tmp_path / f"{person}_a.png", _noise(70, person))
    everybody = _load(CleanFolder(tmp_path, "realesrgan", 64))
    held = _load(CleanFolder(tmp_path, "realesrgan", 64, hold_out=3))
    assert list(held) == ["0_a", "3_a"]
    assert everybody["3_a"].truth.shape == (1, 3, 64, 64)
    assert everybody["3_a"].bad.shape == (1, 3, 16, 16)
    assert torch.equal(everybody["3_a"].bad, held["3_a"].bad)
    assert [path.stem for path in CleanFolder(tmp_path, "x8", 64, limit=3).files()] == ["0_a", "2_a", "4_a"]
    with raises_naming(InputError, "heavy"):
        CleanFolder(tmp_path, "heavy")
    _save(tmp_path / "bad" / "0_a.png", _noise(16, 0))
    pair = _load(PairFolders(tmp_path / "bad", tmp_path))["0_a"]
    assert (pair.bad.shape[-1], pair.truth.shape[-1]) == (16, 70)


def test_pictures_of_one_name_stay_two(tmp_path: Path) -> None:
    for name in ("a.png", "a.webp", "b.png"):
        _save(tmp_path / name, _noise(70, 0))
    assert list(_load(CleanFolder(tmp_path, "x8", 64))) == ["a.png", "a.webp", "b"]


def test_folders_in_a_folder_are_not_read_and_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    _save(tmp_path / "a.png", _noise(70, 0))
    _save(tmp_path / "deeper" / "b.png", _noise(70, 1))
    assert list(_load(CleanFolder(tmp_path, "x8", 64))) == ["a"]
    assert [record.message for record in caplog.records if "deeper" in record.message]


def test_peers() -> None:
    image = _noise(12, 0)
    for system in (Bicubic(), Lanczos()):
        assert system.upscale(image, 48, 48).shape == (1, 3, 48, 48)
    flat = torch.full((1, 3, 10, 14), 0.25)
    assert torch.allclose(Lanczos().upscale(flat, 40, 56), flat.mean(), atol=1 / 255)
    with raises_naming(InputError, "colour"):
        make_systems(["headsup-tiny:colour=lab"], PlainHost("cpu"))
    with raises_naming(ModelFileError, "'bicubc'", "bicubic", "realesrgan-x4plus"):
        make_systems(["bicubc"], PlainHost("cpu"))


def test_real_esrgan_runs_with_its_real_weights() -> None:
    """A ramp stays a ramp; a picture larger than its tile has no seam."""
    ramp = torch.linspace(0.2, 0.8, 24).view(1, 1, 1, 24).expand(1, 3, 20, 24)
    system = RealEsrgan()
    enlarged = system.upscale(ramp, 80, 96)
    assert enlarged.shape == (1, 3, 80, 96)
    assert (enlarged - Bicubic().upscale(ramp, 80, 96)).abs().mean() < 0.02
    system.tile, system.overlap = 16, 8
    assert (system.upscale(ramp, 80, 96) - enlarged).abs().mean() < 0.02


def test_checkerboards_are_seen() -> None:
    smooth = torch.nn.functional.interpolate(_noise(12, 0), size=(160, 160), mode="bicubic").clamp(0, 1)
    smooth = smooth + 0.01 * torch.randn(smooth.shape, generator=torch.Generator().manual_seed(3))
    for period, other in ((2, 4), (4, 2)):
        board = 0.02 * torch.cos(torch.arange(160) * 2 * math.pi / period)[:, None]
        assert periodic_energy(smooth, period) < 2
        assert periodic_energy(smooth + board, period) > 10
        assert periodic_energy(smooth + board, other) < 2
    with raises_naming(ValueError, 64):
        periodic_energy(smooth[..., :40, :40], 4)


def test_command_writes_table_json_and_sheets(
    toy_model: OneStepModel, tmp_path: Path
) -> None:
    model = tmp_path / "toy.safetensors"
    save_headsup(model, toy_model)
    for person in range(3):
        _save(tmp_path / "in" / f"{person}_a.png", _noise(64, person))
    output = tmp_path / "out"
    arguments = ["benchmark", "restore", str(tmp_path / "in"), "--size", "64", "--output", str(output), "--sheets", "1"]
    assert main([*arguments, "--quiet", "--systems", f"lanczos,bicubic,{model}:color_fix=lab"]) == 0
    table = (output / "table.md").read_text()
    assert "| toy:color_fix=lab |" in table
    assert "minus bicubic, pairwise" in table
    assert "lpips is left out" in table
    results = json.loads((output / "results.json").read_text())
    sha256 = hashlib.sha256(model.read_bytes()).hexdigest()
    assert results["models"] == {"toy:color_fix=lab": {"file": "toy.safetensors", "sha256": sha256}}
    assert results["cases"]["parameters"]["scale"] == 4
    assert str(tmp_path) not in json.dumps(results)
    assert (output / "plot_whole.png").stat().st_size > 1000
    assert len(results["records"]) == 9
    assert results["failures"] == []
    with Image.open(output / "0_a.png") as sheet:
        assert sheet.size == (5 * 64, 64 + 18)
    assert main(["benchmark", "restore", "--output", str(output)]) == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("restore {} --systems bicubic --peer nobody", "nobody"),
        ("restore {} --systems headsup-tiny:tile=abc", "abc"),
        ("restore {} --systems bicubic --size 0", "64 px"),
        ("restore {} --systems bicubic --limit 0", "limit 0"),
        ("restore {} --systems bicubic --people 0", "people 0"),
        ("restore {} --pairs {} {} --systems bicubic", "two sources"),
        ("restore {} --photos {} --systems bicubic", "--photos"),
        ("restore {} --also nosuchmetric", "nosuchmetric"),
        ("targets headsup-tiny --without-costs", "--years-apart"),
        ("targets headsup-tiny --portraits {} --tasks x3", "x3"),
        ("targets headsup-tiny --portraits {} --sizes big", "big"),
        ("costs nosuchmodel", "nosuchmodel"),
        ("performance nosuchmodel", "nosuchmodel"),
        ("performance headsup-tiny --sides 512,big", "512,big"),
        ("artefacts headsup-tiny {} --shapes 8", "'8'"),
    ],
)
def test_wrong_use_is_one_line(options: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _save(tmp_path / "in" / "0_a.png", _noise(64, 0))
    given = [option.format(tmp_path / "in") for option in options.split()]
    assert main(["benchmark", *given, "--output", str(tmp_path / "out")]) == 2
    assert message in capsys.readouterr().err


def test_a_picture_that_cannot_be_read_is_named_and_the_others_are_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _save(tmp_path / "in" / "0_a.png", _noise(64, 0))
    (tmp_path / "in" / "1_a.png").write_text("no picture")
    _save(tmp_path / "in" / "2_a.png", _noise(64, 2))
    output = tmp_path / "out"
    options = ["--size", "64", "--systems", "bicubic", "--output", str(output)]
    assert main(["benchmark", "restore", str(tmp_path / "in"), *options]) == 2
    assert "1_a.png" in capsys.readouterr().err
    assert [record["case"] for record in json.loads((output / "results.json").read_text())["records"]] == ["0_a", "2_a"]


def test_output_is_tried_before_anything_is_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _save(tmp_path / "in" / "0_a.png", _noise(64, 0))
    (tmp_path / "file").write_text("")
    options = ["--systems", "bicubic", "--output", str(tmp_path / "file" / "out")]
    assert main(["benchmark", "restore", str(tmp_path / "in"), *options]) == 2
    assert str(tmp_path / "file") in capsys.readouterr().err


@pytest.mark.parametrize("subcommand", ["restore", "sheets"])
def test_contact_sheets_replace_no_picture(
    subcommand: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.effect_noise((64, 64), 60).convert("RGB").save(tmp_path / "a.png")
    before = (tmp_path / "a.png").read_bytes()
    options = ["--systems", "bicubic", "--analyzer", "none", "--size", "64", "--quiet", "--output", f"{tmp_path}/."]
    assert main(["benchmark", subcommand, str(tmp_path), *options]) == 2
    assert str(tmp_path) in capsys.readouterr().err
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a.png", before)]


def test_a_missing_library_is_named_with_its_pip_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ncnn", None)
    with raises_naming(InputError, "pip install ncnn"):
        RealEsrgan()


def test_peak_memory_of_a_fresh_process_is_its_own() -> None:
    """getrusage's figure would begin at that of this process."""
    held = torch.ones(75_000_000)  # 300 MB
    code = (
        "from headsup_core.benchmark.measuring.fresh_processes import peak_bytes as p\n"
        "a = p(); b = b'x' * 200_000_000; print(a, p())"
    )
    before, after = (int(value) for value in run_fresh("-c", code).split())
    assert after - before == pytest.approx(200e6, rel=0.1)
    assert peak_bytes() > held.nbytes


def test_what_the_pack_adds_is_measured_against_an_empty_pack(tmp_path: Path) -> None:
    (tmp_path / "__init__.py").write_text("import time\ntime.sleep(2)\n")
    assert import_seconds(tmp_path, runs=1) > 1
