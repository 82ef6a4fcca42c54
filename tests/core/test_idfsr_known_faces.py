"""IDFSR beside a one-step model: whose faces are painted, where, and what the command line makes of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from harness.cancelling import CancellingHost
from harness.idfsr import SMALL, write_idfsr
from harness.refusals import raises_naming
from PIL import Image

import headsup_core as hu
from headsup_core.cli import main
from headsup_core.errors import InputError, ModelFileError
from headsup_core.faces.reference import face_location
from headsup_core.faces.registry import load_face_analyzer
from headsup_core.identity.identity import Identity
from headsup_core.idfsr.conditioning import aligned_face
from headsup_core.idfsr.known_faces import IDFSRPainter, faces_of_aligned, is_idfsr, load_model
from headsup_core.restoring.headsup_model import HeadsUpModel
from headsup_core.restoring.people.conditions import KnownFace
from headsup_core.restoring.people.face_painter import PaintedFace


def somebody(name: str = "Ann") -> Identity:
    generator = torch.Generator().manual_seed(3)
    vector = torch.nn.functional.normalize(torch.randn(128, generator=generator), dim=0)
    return Identity(name, {"dlib_resnet_v1": vector}, torch.rand(1, 3, 512, 512, generator=generator))


@pytest.fixture(scope="module")
def handle(tmp_path_factory: pytest.TempPathFactory) -> HeadsUpModel:
    path = tmp_path_factory.mktemp("idfsr") / "small.safetensors"
    write_idfsr(path, replace(SMALL, predicts="residual", steps=2))
    return load_model(path)


def test_one_loader_takes_every_name(handle: HeadsUpModel, tmp_path: Path) -> None:
    assert handle.painter is not None
    assert handle.name == "headsup-tiny with unnamed"
    assert hu.load_model("headsup-tiny").painter is None
    assert is_idfsr("idfsr-tiny")
    assert not is_idfsr("headsup-tiny")
    with raises_naming(ModelFileError, "nothing.safetensors"):
        hu.load_model(tmp_path / "nothing.safetensors")


def test_a_small_known_face_is_painted_and_nothing_else(handle: HeadsUpModel) -> None:
    small = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    faces, options = faces_of_aligned(16, 16, 1, somebody()), {"scale": 4, "identity_gate": "off"}
    plain = hu.restore(small, hu.load_model("headsup-tiny"), scale=4, faces=faces)
    painted = hu.restore(small, handle, people=[somebody()], faces=faces, **options)
    assert any("faces painted by unnamed: 1" in note for note in painted.report.notes)
    inside = face_location(aligned_face(64), 64, 64)[0, 0] > 0
    assert torch.allclose(painted.image[..., ~inside], plain.image[..., ~inside], atol=1e-6)
    assert (painted.image - plain.image)[..., inside].abs().max() > 0.05
    again = hu.restore(small, handle, people=[somebody()], faces=faces, **options)
    assert torch.equal(again.image, painted.image)
    assert isinstance(handle.painter, IDFSRPainter)
    fitted = replace(somebody(), fitted={handle.painter.model.model_id: torch.linspace(-1, 1, 128)})
    personal = hu.restore(small, handle, people=[fitted], faces=faces, **options)
    assert not torch.equal(personal.image, painted.image)  # the fitted embedding is taken
    nobody = hu.restore(small, handle, scale=4, faces=faces)
    assert torch.allclose(nobody.image, plain.image, atol=1e-6)
    assert any("nobody was named" in note for note in nobody.report.notes)
    with_none = hu.restore(small, handle.with_identities([somebody()], strength=0.0), faces=faces, **options)
    assert torch.allclose(with_none.image, plain.image, atol=1e-6)


def test_painting_can_be_cancelled_between_its_steps(handle: HeadsUpModel) -> None:
    painter = handle.painter
    assert isinstance(painter, IDFSRPainter)
    person, host = somebody(), CancellingHost(2, KeyboardInterrupt)
    known = KnownFace(aligned_face(64), person.name, person.crops[:1])
    task = PaintedFace(torch.rand(1, 3, 64, 64), known, person, load_face_analyzer("dlib"), 1.0)
    with pytest.raises(KeyboardInterrupt), host.progress(2) as progress:
        painter.paint(torch.rand(1, 3, 64, 64), task, host, progress)


def test_large_faces_are_the_one_step_models(handle: HeadsUpModel) -> None:
    painter = handle.painter
    assert isinstance(painter, IDFSRPainter)
    face = aligned_face(64)  # eyes 15.7 px apart
    assert painter.wants(face, 4)
    assert not painter.wants(face, 1)  # it is as large in the input
    assert not painter.wants(aligned_face(256), 16)  # four times as fine as the model


def test_the_command_line_paints_an_aligned_face(
    handle: HeadsUpModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("headsup_core.commands.upscaling.restoring.load_model", lambda *args, **options: handle)
    monkeypatch.setattr(
        "headsup_core.commands.identifying.people_arguments.people_of", lambda args, analyzer: [somebody()]
    )
    pixels = (torch.rand(16, 16, 3, generator=torch.Generator().manual_seed(1)) * 255).byte().numpy()
    Image.fromarray(pixels).save(tmp_path / "face.png")
    command = ["upscale", str(tmp_path / "face.png"), "--output", str(tmp_path / "out"), "--model", "idfsr-tiny"]
    command += ["--aligned", "--reference", "ann.png", "--identity-gate", "off", "--device", "cpu"]
    assert main(command) == 0
    (result,) = (tmp_path / "out").glob("*.png")
    with Image.open(result) as picture:
        assert picture.size == (64, 64)  # the model's faces
    Image.fromarray(pixels[:, :10]).save(tmp_path / "face.png")
    assert main(command) == 2
    assert "10x16" in capsys.readouterr().err


def test_a_face_that_is_not_square_is_refused() -> None:
    with raises_naming(InputError, "20x16"):
        faces_of_aligned(16, 20, 1, None)
