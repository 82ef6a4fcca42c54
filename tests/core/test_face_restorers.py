"""GFPGAN, CodeFormer, RestoreFormer and GPEN: their networks against spandrel's, and the path of aligned faces."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from harness.face_restorers import SIDE, gfpgan, restoreformer, saved, shrink, write_onnx
from harness.faces import face_at
from harness.people_stubs import ColourAnalyzer
from harness.refusals import raises_naming

import headsup_core as hu
from headsup_core.benchmark.comparing.system_names import make_systems
from headsup_core.errors import HeadsUpError
from headsup_core.faces import Faces
from headsup_core.faces.alignment import template
from headsup_core.imaging.resizing import resize
from headsup_core.models.face_restorers.known_restorers import FACE_RESTORERS, FaceRestorer
from headsup_core.models.face_restorers.through_spandrel import load_through_spandrel
from headsup_core.models.file_formats.weights_files import WeightsFile
from headsup_core.restoring.tiling.aligned_crops import soft_square

HOST = hu.PlainHost("cpu", quiet=True)


@pytest.fixture(autouse=True)
def small_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    shrink(monkeypatch)


def picture(height: int = SIDE, width: int = SIDE) -> torch.Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(4))


@torch.no_grad()
def test_restoreformer_gives_what_spandrel_gives(tmp_path: Path) -> None:
    import spandrel

    path = saved(restoreformer(), tmp_path / "RestoreFormer.pth", "params")
    model = hu.load_model(path)
    assert model.card.name == "RestoreFormer"
    assert model.one_step.aligned_face == SIDE
    expected = spandrel.ModelLoader().load_from_file(path)(picture())
    result = hu.restore(picture(), model, scale=1, host=HOST).image
    assert expected.std() > 0.01
    assert (result - expected).abs().max() < 1e-5


@torch.no_grad()
def test_gfpgan_gives_what_spandrel_gives_and_never_draws(tmp_path: Path) -> None:
    """spandrel's call, but with faces in -1..1 as in its authors' script; without its noise it is the same for both."""
    import spandrel

    network = gfpgan()
    model = hu.load_model(saved(network, tmp_path / "GFPGANv1.4.pth"))
    faces = picture() * 2 - 1
    before = torch.random.get_rng_state()
    found = model.one_step.unet.network(faces, randomize_noise=False)[0]
    result = hu.restore(picture(), model, scale=1, host=HOST).image
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(result, hu.restore(picture(), model, scale=1, host=HOST).image)
    assert (result - ((found + 1) / 2).clamp(0, 1)).abs().max() < 1e-5
    assert (network(faces)[0] - found).abs().max() > 1e-3  # the noise does something

    tensors = dict(network.state_dict())
    tensors.update({name: value * 0 for name, value in tensors.items() if value.numel() == 1 and "decoder" in name})
    known: Any = spandrel.MAIN_REGISTRY.get("GFPGAN")
    described = known.architecture.load(tensors)
    described.model.eval()
    torch.save({"params_ema": tensors}, tmp_path / "GFPGANv1.3.pth")
    silent = hu.load_model(tmp_path / "GFPGANv1.3.pth")
    expected = (described._call_fn(described.model, faces) + 1) / 2
    assert expected.std() > 0.01
    assert (hu.restore(picture(), silent, scale=1, host=HOST).image - expected.clamp(0, 1)).abs().max() < 1e-5


def _kind(system: str) -> FaceRestorer:
    return next(one for one in FACE_RESTORERS if one.id == system)


def _described_zeros(system: str) -> WeightsFile:
    """All tensors of the network at its full size, without weights: they are never computed with."""
    from spandrel_extra_arches.architectures.CodeFormer import CodeFormer

    assert system == "codeformer"
    with torch.device("meta"):
        network = CodeFormer()
    tensors = {name: torch.zeros(tensor.shape) for name, tensor in network.state_dict().items()}
    return WeightsFile(Path("codeformer-v0.1.0.pth"), {"params_ema": tensors})


def test_codeformer_is_called_with_its_fidelity(monkeypatch: pytest.MonkeyPatch) -> None:
    file = _described_zeros("codeformer")
    model = load_through_spandrel(file, _kind("codeformer"), "auto", {"fidelity": 0.3})
    seen: list[tuple[torch.Tensor, dict[str, Any]]] = []

    def forward(faces: torch.Tensor, **told: Any) -> tuple[torch.Tensor, None]:
        seen.append((faces, told))
        return -faces, None

    monkeypatch.setattr(model.unet.network, "forward", forward)
    restored = hu.restore(picture(), hu.HeadsUpModel(model), scale=1, host=HOST).image
    ((faces, told),) = seen
    assert told == {"weight": 0.3}
    assert torch.allclose(faces, picture() * 2 - 1, atol=1e-6)
    assert torch.allclose(restored, 1 - picture(), atol=1e-5)
    assert "NON-COMMERCIAL" in model.card.licence
    default = load_through_spandrel(file, _kind("codeformer"), "auto", {})
    monkeypatch.setattr(default.unet.network, "forward", forward)
    hu.restore(picture(), hu.HeadsUpModel(default), scale=1, host=HOST)
    assert seen[-1][1] == {"weight": 0.5}  # as in spandrel's own call
    for wrong in ({"fidelity": 1.2}, {"detail": 0.5}):
        with pytest.raises(hu.InputError):
            load_through_spandrel(file, _kind("codeformer"), "auto", wrong)


@pytest.mark.parametrize("weight", ["", "double", "float"])
def test_onnx_files_run_through_onnxruntime(tmp_path: Path, weight: str) -> None:
    if weight:
        path = write_onnx(tmp_path / "codeformer.onnx", weight=weight)
        model, factor = hu.load_model(path, fidelity=0.25), 0.25
    else:
        path = write_onnx(tmp_path / "GPEN-BFR-256.onnx")
        model, factor = hu.load_model(path), -0.5
    assert model.one_step.aligned_face == 256
    result = hu.restore(picture(256, 256), model, scale=1, host=HOST).image
    assert torch.allclose(result, (factor * (picture(256, 256) * 2 - 1) + 1) / 2, atol=1e-6)


def test_an_open_size_is_that_of_the_name(tmp_path: Path) -> None:
    assert hu.load_model(write_onnx(tmp_path / "GPEN-BFR-1024.onnx", "side")).one_step.aligned_face == 1024
    assert hu.load_model(write_onnx(tmp_path / "gfpgan_1.4.onnx", "side")).one_step.aligned_face == 512


def test_faces_of_a_picture_are_cut_restored_and_laid_back(tmp_path: Path) -> None:
    """An upright face whose crop lies on whole pixels: the crop alone, faded out at its border, and nothing else."""
    model = hu.load_model(saved(restoreformer(), tmp_path / "RestoreFormer.pth", ""))
    photo = picture(140, 200)
    face = face_at(0, 0, 16)
    corner = torch.tensor([41.0, 23.0])
    placed = hu.Face(face.box, template("ffhq", SIDE) + corner, 1.0)
    result = hu.restore(photo, model, scale=1, faces=Faces(((placed,),), 140, 200), host=HOST)
    cut = photo[..., 23 : 23 + SIDE, 41 : 41 + SIDE]
    alone = hu.restore(cut, model, scale=1, host=HOST).image
    expected = photo.clone()
    opacity = soft_square(SIDE)
    expected[..., 23 : 23 + SIDE, 41 : 41 + SIDE] = cut + opacity * (alone - cut)
    assert (result.image - expected).abs().max() < 1e-4
    assert (result.image - photo).abs().max() > 0.05


def test_a_group_photo_keeps_all_but_its_faces(tmp_path: Path) -> None:
    model = hu.load_model(saved(restoreformer(), tmp_path / "RestoreFormer.pth", ""))
    photo = picture(90, 240)
    faces = Faces((tuple(face_at(x, 45, 10) for x in (40.0, 120.0, 200.0)),), 90, 240)
    result = hu.restore(photo, model, scale=2, faces=faces, host=HOST)
    changed = (result.image - result.before).abs().amax(1)[0]
    for x in (80, 160 * 3 // 2, 400):
        assert changed[60:120, x - 15 : x + 15].mean() > 0.01
    assert changed[:10].max() == 0
    assert changed[:, 155:165].max() == 0  # between two of them
    assert result.image.shape == (1, 3, 180, 480)


def test_faces_are_looked_for_where_the_picture_is_none(tmp_path: Path) -> None:
    """A picture that is not square cannot be an aligned face; where nobody is found it stays the plain enlargement."""
    model = hu.load_model(saved(restoreformer(), tmp_path / "RestoreFormer.pth", ""))
    result = hu.restore(picture(70, 90), model, scale=1, host=HOST)
    assert torch.equal(result.image, result.before)
    assert "no face was found" in result.report.text()
    with pytest.raises(hu.InputError, match="90x70"):
        hu.restore(picture(70, 90), model, scale=1, sizing="published", host=HOST)


def test_names_are_found_in_the_folder_that_other_packs_use(tmp_path: Path) -> None:
    saved(restoreformer(), tmp_path / "facerestore_models" / "RestoreFormer.pth")
    host = hu.PlainHost("cpu", tmp_path, quiet=True)
    assert hu.load_model("RestoreFormer.pth", host=host).card.name == "RestoreFormer"
    with raises_naming(hu.ModelFileError, "missing.pth"):
        hu.load_model("missing.pth", host=host)


def test_what_is_not_installed_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(restoreformer(), tmp_path / "RestoreFormer.pth")
    file = _described_zeros("codeformer")
    for library in ("spandrel", "spandrel_extra_arches", "onnxruntime"):
        monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(hu.InputError, match="pip install spandrel"):
        hu.load_model(path)
    with pytest.raises(hu.InputError, match="pip install spandrel_extra_arches"):
        load_through_spandrel(file, _kind("codeformer"), "auto", {})
    with pytest.raises(hu.InputError, match="pip install onnxruntime"):
        hu.load_model(write_onnx(tmp_path / "GPEN-BFR-256.onnx"))


def _one_missing(tensors: dict[str, Any]) -> None:
    del tensors["quant_conv.bias"]


def _one_too_many(tensors: dict[str, Any]) -> None:
    tensors["loss.weight"] = torch.zeros(3)


def _other_shape(tensors: dict[str, Any]) -> None:
    tensors["decoder.conv_out.bias"] = torch.zeros(5)


def _huge(tensors: dict[str, Any]) -> None:
    """A header of a few bytes that claims a network of terabytes."""
    tensors["encoder.conv_in.weight"] = torch.zeros(1).expand(1_000_000, 3, 3, 3)


def _no_number(tensors: dict[str, Any]) -> None:
    tensors["decoder.conv_out.bias"] = torch.full((3,), float("nan"))


def _no_tensor(tensors: dict[str, Any]) -> None:
    tensors["epoch"] = 3


@pytest.mark.parametrize("damage", [_one_missing, _one_too_many, _other_shape, _huge, _no_number, _no_tensor])
def test_damaged_files_are_named(tmp_path: Path, damage: Any) -> None:
    path = tmp_path / "RestoreFormer.pth"
    tensors = dict(restoreformer().state_dict())
    damage(tensors)
    torch.save({"params": tensors}, path)
    with pytest.raises(hu.ModelFileError, match=r"RestoreFormer\.pth"):
        hu.load_model(path)


def test_files_that_are_no_restorers_are_named(tmp_path: Path) -> None:
    torch.save({"g_ema": {"ecd0.0.0.weight": torch.zeros(1), "generator.style.1.weight": torch.zeros(1)}},
               tmp_path / "GPEN-BFR-512.pth")  # fmt: skip
    with pytest.raises(hu.ModelFileError, match="onnx"):
        hu.load_model(tmp_path / "GPEN-BFR-512.pth")
    torch.save({"conv_first.weight": torch.zeros(1)}, tmp_path / "RealESRGAN_x4plus.pth")
    with pytest.raises(hu.ModelFileError, match="GFPGAN, CodeFormer, RestoreFormer"):
        hu.load_model(tmp_path / "RealESRGAN_x4plus.pth")
    (tmp_path / "gpen-512.onnx").write_bytes(b"no network")
    with pytest.raises(hu.ModelFileError, match=r"gpen-512\.onnx"):
        hu.load_model(tmp_path / "gpen-512.onnx")
    with raises_naming(hu.ModelFileError, "detector.onnx"):
        hu.load_model(write_onnx(tmp_path / "detector.onnx"))
    with pytest.raises(hu.ModelFileError, match="100 px"):
        hu.load_model(write_onnx(tmp_path / "gpen-100.onnx", 100))
    with raises_naming(hu.ModelFileError, "gpen-256.onnx"):
        hu.load_model(write_onnx(tmp_path / "gpen-256.onnx", weight="float"))
    (tmp_path / "gpen.onnx").mkdir()
    with raises_naming(hu.ModelFileError, "gpen.onnx"):
        hu.load_model(tmp_path / "gpen.onnx")


def test_precisions_that_overflow_are_refused(tmp_path: Path) -> None:
    path = saved(restoreformer(), tmp_path / "RestoreFormer.pth")
    with pytest.raises(hu.InputError, match="float16"):
        hu.load_model(path, dtype="float16")
    assert hu.load_model(path, dtype="bfloat16").one_step.dtype == torch.bfloat16
    with pytest.raises(hu.InputError, match="float16"):
        hu.load_model(write_onnx(tmp_path / "GPEN-BFR-256.onnx"), dtype="float16")


def test_a_tile_that_would_cut_the_face_is_refused(tmp_path: Path) -> None:
    model = hu.load_model(saved(restoreformer(), tmp_path / "RestoreFormer.pth"))
    with pytest.raises(hu.InputError, match=f"at least {SIDE}"):
        hu.restore(picture(), model, scale=1, tile=32, host=HOST)


def test_what_fails_within_onnxruntime_is_an_error_of_ours(tmp_path: Path) -> None:
    model = hu.load_model(write_onnx(tmp_path / "GPEN-BFR-256.onnx"))

    class Broken:
        def run(self, *_: object) -> None:
            raise ValueError("out of luck")

    network: Any = model.one_step.unet.network
    network._sessions = {"CPUExecutionProvider": Broken()}
    with pytest.raises(HeadsUpError, match="out of luck"):
        hu.restore(picture(256, 256), model, scale=1, host=HOST)


def test_the_benchmark_gives_each_a_row(tmp_path: Path) -> None:
    """Its faces are looked for, since it restores nothing else; an aligned face, in which none is found, is one."""
    path = write_onnx(tmp_path / "GPEN-BFR-256.onnx")
    photo = picture(70, 110)
    (system,) = make_systems([str(path)], HOST, ColourAnalyzer([face_at(55, 35, 12)]))
    result = system.upscale(photo, 140, 220)
    plain = resize(photo, 140, 220)
    assert system.name == "GPEN-BFR-256"
    assert (result - plain).abs()[..., 50:90, 90:130].mean() > 0.05
    assert torch.equal(result[..., :2], plain[..., :2])
    (blind,) = make_systems([str(path)], HOST, ColourAnalyzer())
    face = picture(256, 256)
    assert torch.allclose(blind.upscale(face, 256, 256), 0.75 - 0.5 * face, atol=1e-5)
    assert torch.equal(blind.upscale(photo, 140, 220), plain)
