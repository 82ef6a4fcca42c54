"""`benchmark idfsr`: a small model of random weights on photos of two people."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from harness.people import astronaut, hanks

from headsup_core.cli import main
from headsup_core.idfsr.idfsr_file import save_idfsr
from headsup_core.idfsr.idfsr_model import IDFSRModel
from headsup_core.idfsr.network.idfsr_architecture import IDFSRArchitecture
from headsup_core.idfsr.network.idfsr_unet import IDFSRNetwork
from headsup_core.image_files import write_picture

SMALL = IDFSRArchitecture(
    64, 8, (1, 2), (1, 2), 1, residuals=1, embedding=128, embedder="dlib_resnet_v1", token_width=8, style=8, time=8,
    groups=4, sees_reference=True, steps=2,
)  # fmt: skip


@pytest.fixture
def model(tmp_path: Path) -> Path:
    network = IDFSRNetwork(SMALL)
    chance = torch.Generator().manual_seed(0)
    for parameter in network.parameters():
        parameter.data = torch.randn(parameter.shape, generator=chance) * 0.2
    path = tmp_path / "small.safetensors"
    save_idfsr(path, IDFSRModel(network, SMALL))
    return path


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """Two photos of each, one mirrored."""
    folder = tmp_path / "people"
    folder.mkdir()
    for name, values in (("eileen", astronaut(300)), ("tom", hanks(300))):
        photo = values.movedim(-1, 1)
        write_picture(folder / f"{name}_1.png", photo)
        write_picture(folder / f"{name}_2.png", photo.flip(-1))
    return folder


def test_every_condition_tells(model: Path, people: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    output.mkdir()
    told = ["--degradation", "idfsr-x8", "--output", str(output), "--quiet"]
    assert main(["benchmark", "idfsr", str(model), str(people), *told]) == 0
    results = json.loads((output / "results.json").read_text())
    psnr: dict[str, dict[str, float]] = {}
    for record in results["records"]:
        psnr.setdefault(record["case"], {})[record["system"]] = record["whole"]["psnr_y"]
    assert len(psnr) == 4
    for figures in psnr.values():
        assert len(figures) == 9
        assert len({round(value, 6) for value in figures.values()}) == 9  # no two of them gave the same picture
        assert figures["reference warped"] > figures["unnamed"]  # random weights make noise
    identity = {record["system"]: record["face"]["id_dlib"] for record in results["records"]}
    assert identity["reference warped"] > 0.8  # the mirrored photo itself, on a face that was cut out a little wrongly
    assert results["models"]["unnamed"]["file"] == "small.safetensors"
    assert (output / "people.png").exists()


def test_it_needs_an_analyzer(
    model: Path, people: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    output.mkdir()
    told = ["--degradation", "x4-mild", "--analyzer", "none", "--output", str(output), "--quiet"]
    assert main(["benchmark", "idfsr", str(model), str(people), *told]) == 2
    assert "face analyzer" in capsys.readouterr().err
