from __future__ import annotations

import csv
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from harness.records import with_unet
from harness.refusals import raises_naming
from harness.training import CONFIGS, killed_after_a_checkpoint
from PIL import Image
from safetensors.torch import save_file

from headsup_core.errors import InputError, ModelFileError
from headsup_core.models.building import build_model
from headsup_core.models.file_formats.headsup_file import save_headsup
from headsup_core.models.record import ModelRecord
from headsup_core.training.data import degradation
from headsup_core.training.data.blur_kernels import random_blur_kernel, sinc_kernel
from headsup_core.training.data.degradation import DEGRADATIONS, BlindFace, OldScan, SecondOrder, degrade, jpeg
from headsup_core.training.data.people_by_name import person_of, split_by_person
from headsup_core.training.losses.loss_terms import periodic_texture, spectrum_distance
from headsup_core.training.losses.perceptual import load_lpips, squeeze_lpips
from headsup_core.training.restorer.restorer_config import LossWeights, RestorerConfig, read_config
from headsup_core.training.restorer.restorer_samples import CropSource, RestorationDataset, SourceConfig
from headsup_core.training.restorer.restorer_subject import RestorerSubject
from headsup_core.training.run_config import parse_yaml
from headsup_core.training.run_folder import RunFolder
from headsup_core.training.schedule import learning_rate
from headsup_core.training.trainer import Trainer


def _picture(size: int = 64) -> torch.Tensor:
    smooth = torch.nn.functional.interpolate(
        torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0)), size=(size, size), mode="bicubic"
    )
    return smooth.clamp(0, 1)


@pytest.mark.parametrize("name", list(DEGRADATIONS))
def test_degradation_is_deterministic_and_of_the_right_size(name: str) -> None:
    image, scale = _picture(), DEGRADATIONS[name].scale
    state = torch.random.get_rng_state()
    small = degrade(image, name, seed=5)
    assert small.shape == (2, 3, 64 // scale, 64 // scale)
    assert 0 <= small.min() <= small.max() <= 1
    assert torch.equal(small, degrade(image, name, seed=5))
    assert torch.equal(torch.random.get_rng_state(), state)
    if name not in ("x4-mild", "idfsr-x8", "idfsr-x16"):  # nothing in them is drawn
        assert not torch.equal(small, degrade(image, name, seed=6))


def test_degradation_survives_many_seeds() -> None:
    for seed in range(150):
        assert torch.isfinite(degrade(_picture(32), "realesrgan", seed)).all()


def test_mild_degradation_is_bicubic_then_jpeg() -> None:
    image = _picture()
    small = torch.nn.functional.interpolate(image, size=(16, 16), mode="bicubic", antialias=True).clamp(0, 1)
    expected = torch.cat([jpeg(one[None], 75) for one in small])
    assert torch.equal(degrade(image, "x4-mild", 0), expected)


def test_blind_face_degradation_against_its_steps() -> None:
    """With every range a point: blur, reduction, noise, JPEG, back to the size."""
    image = _picture()[:1]
    fixed = BlindFace((2, 2), (4, 4), (0, 0), (90, 90))
    axis = torch.arange(41.0) - 20
    weights = torch.exp(-(axis**2) / 8)
    blur = torch.outer(weights, weights) / weights.sum() ** 2  # isotropic or not: both deviations are 2
    padded = torch.nn.functional.pad(image, (20,) * 4, mode="reflect")
    blurred = torch.nn.functional.conv2d(padded, blur.expand(3, 1, 41, 41), groups=3)
    small = torch.nn.functional.interpolate(blurred, size=(16, 16), mode="bilinear", align_corners=False)
    expected = torch.nn.functional.interpolate(jpeg(small, 90), size=(64, 64), mode="bilinear", align_corners=False)
    found = degrade(image, fixed, 3)
    assert found.shape == image.shape
    assert (found - expected).abs().mean() < 2 / 255  # the JPEG rounds what differs in the last bit


def test_published_sets_have_the_published_numbers() -> None:
    second = DEGRADATIONS["osediff"]
    assert second == DEGRADATIONS["realesrgan"]
    assert isinstance(second, SecondOrder)
    assert second.first.resize_range == (0.15, 1.5)
    assert (second.first.noise_range, second.second.noise_range) == ((1, 30), (1, 25))
    assert (second.first.poisson_scale, second.second.poisson_scale) == ((0.05, 3.0), (0.05, 2.5))
    assert (second.first.blur_prob, second.second.blur_prob) == (1.0, 0.8)
    assert (second.first.blur_sigma, second.second.blur_sigma) == ((0.2, 3.0), (0.2, 1.5))
    face = DEGRADATIONS["osediff-face"]
    assert face == BlindFace((1, 15), (1, 30), (0, 20), (30, 100), kernel_size=41)


def test_degradation_refuses_odd_sizes_and_unknown_names() -> None:
    with raises_naming(ValueError, "30x30", 4):
        degrade(torch.zeros(1, 3, 30, 30), "realesrgan", 0)
    with raises_naming(ValueError, "'heavy'", "realesrgan"):
        degrade(torch.zeros(1, 3, 32, 32), "heavy", 0)


def test_kernels_sum_to_one_and_are_symmetric() -> None:
    rng = np.random.default_rng(0)
    for _ in range(100):
        for kernel in (random_blur_kernel(rng, (0.2, 3.0), 0.1), sinc_kernel(rng)):
            assert kernel.sum().item() == pytest.approx(1, abs=1e-5)
            assert torch.allclose(kernel, kernel.flip(0, 1), atol=1e-6)
            assert kernel.shape[0] % 2 == 1


def test_gaussian_kernel_has_the_asked_sigma() -> None:
    class Fixed:
        """Every choice fixed: size 21, isotropic Gaussian of sigma 2."""

        def choice(self, options: object, p: object = None) -> object:
            return "iso" if p is not None else 21

        def random(self) -> float:
            return 1.0

        def uniform(self, low: float, high: float) -> float:
            return 2.0

    kernel = random_blur_kernel(Fixed(), (0.2, 3.0), 0.1)  # type: ignore[arg-type]
    axis = torch.arange(21.0) - 10
    expected = torch.exp(-(axis[:, None] ** 2 + axis**2) / (2 * 2.0**2))
    assert torch.allclose(kernel, expected / expected.sum(), atol=1e-7)


def test_split_is_by_person() -> None:
    files = [Path(f"{person:03d}_{photo}.jpg") for person in range(10) for photo in ("03", "08")]
    train, held = split_by_person(files, 5)
    assert {person_of(file) for file in held} == {"000", "005"}
    assert len(held) == 4
    assert not {person_of(file) for file in train} & {person_of(file) for file in held}
    assert split_by_person(files, 0) == (files, [])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for index in range(3):
        array = (_picture(70)[0].permute(1, 2, 0).numpy() * 255).astype(np.uint8)
        Image.fromarray(np.roll(array, 20 * index, axis=1)).save(folder / f"{index}_a.png")
    return folder


def test_samples_depend_on_the_index_alone(folder: Path) -> None:
    source = CropSource(SourceConfig(str(folder), 1.0, centre=0.2, hold_out=3))
    dataset = RestorationDataset([source], {"realesrgan": 0.5, "x8": 0.5}, 48, 20, seed=1)
    again = RestorationDataset([source], {"realesrgan": 0.5, "x8": 0.5}, 48, 20, seed=1)
    for index in (7, 3):
        sample = dataset[index]
        assert sample["bad"].shape == sample["good"].shape == (3, 48, 48)
        assert torch.equal(sample["bad"], again[index]["bad"])
        assert not sample["has_face"]
        assert not sample["has_reference"]
    assert not torch.equal(dataset[7]["good"], dataset[3]["good"])
    with raises_naming(InputError, folder.parent):
        CropSource(SourceConfig(str(folder.parent), 1.0))


def test_ncnn_backbone_equals_the_torch_one(backbone: Path, tmp_path: Path) -> None:
    state = torch.load(backbone, weights_only=True)
    lines, blob = ["7767517", "1 1"], b""
    fires = [3, 4, 6, 7, 9, 10, 11, 12]
    names = ["features.0"]
    for index in fires:  # ncnn may write expand3x3 before expand1x1
        names += [f"features.{index}.{part}" for part in ("squeeze", "expand3x3", "expand1x1")]
    for name in names:
        weight, bias = state[name + ".weight"].half(), state[name + ".bias"]
        state[name + ".weight"] = weight.float()
        count = weight.numel()
        lines.append(f"Convolution {name} 1 1 a b 0={weight.shape[0]} 1={weight.shape[-1]} 6={count}")
        blob += (0x01306B47).to_bytes(4, "little") + weight.numpy().tobytes() + b"\0" * (count * 2 % 4)
        blob += bias.numpy().tobytes()
    (tmp_path / "net.param").write_text("\n".join(lines))
    (tmp_path / "net.bin").write_bytes(blob)
    rounded = tmp_path / "rounded.pth"
    torch.save(state, rounded)
    first, second = _picture().split(1)
    expected = squeeze_lpips(rounded)(first, second, normalize=True)
    assert torch.equal(squeeze_lpips(tmp_path / "net.bin")(first, second, normalize=True), expected)
    assert expected.item() > 0
    with raises_naming(ModelFileError, "nothing.pth"):
        squeeze_lpips(tmp_path / "nothing.pth")


def test_lpips_takes_other_backbones_from_files(tmp_path: Path) -> None:
    from torchvision.models import alexnet

    torch.manual_seed(0)
    layers = alexnet(weights=None).features.state_dict()
    path = tmp_path / "alexnet.pth"
    torch.save({f"features.{name}": tensor for name, tensor in layers.items()}, path)
    metric = load_lpips(path, "alex")
    assert torch.equal(metric.net.slice2.get_parameter("3.weight"), layers["3.weight"])  # type: ignore[union-attr]
    first, second = _picture().split(1)
    assert metric(first, second, normalize=True).item() > 0
    with raises_naming(ModelFileError, "alexnet.pth", "vgg16"):
        load_lpips(path, "vgg")
    with raises_naming(InputError, "'resnet'", "squeeze", "vgg", "alex"):
        load_lpips(path, "resnet")  # type: ignore[arg-type]


def test_learning_rate_warms_up_and_decays(toy_record: ModelRecord) -> None:
    config = RestorerConfig(toy_record, (), {}, "", steps=100, warmup_steps=10, decay_steps=20, learning_rate=1.0)
    rates = [learning_rate(config, step) for step in range(100)]
    assert rates[:2] == [0.1, 0.2]
    assert set(rates[9:81]) == {1.0}
    assert rates[-1] == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("name", "value", "named"),
    [
        ("degradations", {"realersgan": 1.0}, ("'realersgan'", "realesrgan")),
        ("degradations", {"x8": 0.5, "x16": 0.5}, ("crop 200", 16)),
        ("sources", [{"folder": ".", "ratio": 1.0, "references": "other_photos"}], ("'other_photos'", "other_photo")),
    ],
)
def test_what_samples_cannot_be_made_of_is_refused_at_once(name: str, value: object, named: tuple[str | int]) -> None:
    with raises_naming(InputError, *named):
        read_config(CONFIGS / "headsup-tiny.yaml", {"crop": 200, name: value})


@pytest.mark.parametrize(
    ("setting", "named"),
    [
        ("learning_rate: fast", ("learning_rate", "'fast'", "a number")),
        ("learning_rate: -1e-4", ("learning_rate", "at least 0")),
        ("batch: 2.5", ("batch", "2.5", "a whole number")),
        ("ema: 2", ("ema", "from 0 to 1")),
        ("crop: 0", ("crop", "at least 32")),
        ("precision: fp8", ("precision", "'fp8'", '""', "bf16")),
        ("gradient_checkpointing: maybe", ("gradient_checkpointing", "true or false")),
        ("loss.l1: x", ("loss.l1", "'x'")),
        ("loss: 5", ("loss", "a mapping")),
        ("degradations: 3", ("degradations", "a mapping")),
        ("degradations: {realesrgan: x}", ("degradations.realesrgan", "'x'")),
        ("sources: 3", ("sources", "a list")),
        ("sources: [{folder: a, ratio: much}]", ("source", "ratio", "'much'")),
        ("teacher: 5", ("teacher", "a text")),
    ],
)
def test_a_value_of_another_kind_is_refused_by_its_name(setting: str, named: tuple[str]) -> None:
    with raises_naming(InputError, *named):
        read_config(CONFIGS / "headsup-tiny.yaml", parse_yaml(setting))


def test_a_small_number_may_be_written_without_a_point() -> None:
    config = read_config(CONFIGS / "headsup-tiny.yaml", parse_yaml("{learning_rate: 5e-5, loss.l1: 1}"))
    assert config.learning_rate == 5e-5
    assert config.loss.l1 == 1.0
    assert isinstance(config.loss.l1, float)


@pytest.mark.parametrize("library", ["lpips", "piq"])
def test_a_missing_library_is_named_before_the_first_step(
    library: str, toy_record: ModelRecord, backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    config = RestorerConfig(toy_record, (), {}, str(backbone), loss=LossWeights(ssim=0.1))
    with raises_naming(InputError, f"pip install {library}"):
        Trainer(RestorerSubject, config, tmp_path / "run", torch.device("cpu"))


def test_resumed_run_equals_an_unbroken_one(toy_record: ModelRecord, folder: Path, backbone: Path) -> None:
    config = RestorerConfig(
        architecture=toy_record,
        sources=(SourceConfig(str(folder), 1.0),),
        degradations={"realesrgan": 1.0},
        lpips_backbone=str(backbone),
        crop=48,
        batch=2,
        steps=6,
        codec_steps=2,
        lpips_from=4,
        warmup_steps=1,
        decay_steps=2,
        learning_rate=1e-3,
        workers=0,
        checkpoint_every=3,
        sample_every=6,
        loss=LossWeights(),
    )
    cpu = torch.device("cpu")
    whole = Trainer(RestorerSubject, config, folder.parent / "whole", cpu)
    start = {name: value.clone() for name, value in whole.networks.state_dict().items()}
    whole.train()
    broken = Trainer(RestorerSubject, config, folder.parent / "broken", cpu)
    with killed_after_a_checkpoint():
        broken.train()
    resumed = Trainer(RestorerSubject, config, folder.parent / "broken", cpu)
    assert resumed.step == 3
    resumed.train()
    expected = whole.networks.state_dict()
    for name, value in resumed.networks.state_dict().items():
        assert torch.equal(value, expected[name]), name
    averaged = whole.average.state_dict()
    assert all(torch.equal(value, averaged[name]) for name, value in resumed.average.state_dict().items())
    changed = [name for name, value in expected.items() if not torch.equal(value, start[name])]
    assert len(changed) > 0.9 * len(expected)
    assert (folder.parent / "whole" / "samples" / "000006.png").exists()
    log = (folder.parent / "broken" / "log.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in log] == ["step", "1", "2", "3", "4", "5", "6"]


def test_log_grows_columns(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    run.log({"step": 1, "l1": 0.5})
    run.log({"step": 2, "l1": 0.4, "face": 0.3})
    run.log({"step": 3, "face": 0.2})
    with (tmp_path / "run" / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [list(row.values()) for row in rows] == [["1", "0.5", ""], ["2", "0.4", "0.3"], ["3", "", "0.2"]]
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["log.csv"]


def test_run_starts_from_the_tensors_of_a_file_that_fit(
    toy_record: ModelRecord, folder: Path, backbone: Path
) -> None:
    old = build_model(toy_record)
    path = folder.parent / "old.safetensors"
    save_headsup(path, old, torch.float32)
    wider = with_unet(toy_record, block_out_channels=[8, 24])
    config = RestorerConfig(wider, (SourceConfig(str(folder), 1.0),), {"x8": 1.0}, str(backbone), init=str(path))
    trainer = Trainer(RestorerSubject, config, folder.parent / "run", torch.device("cpu"))
    own, given = trainer.networks.state_dict(), old.unet.state_dict()
    assert torch.equal(own["unet.conv_in.weight"], given["conv_in.weight"])
    assert torch.equal(own["codec.encoder.layers.0.weight"], old.codec.vae.state_dict()["encoder.layers.0.weight"])
    assert own["unet.mid_block.resnets.0.conv1.weight"].shape != given["mid_block.resnets.0.conv1.weight"].shape
    averaged = trainer.average.module.state_dict()
    assert torch.equal(averaged["unet.conv_in.weight"], given["conv_in.weight"])
    save_file({"other": torch.zeros(3)}, path)
    with raises_naming(ModelFileError, path.name):
        Trainer(RestorerSubject, config, folder.parent / "run", torch.device("cpu"))


def test_a_run_starts_from_a_file_with_a_level_less(toy_record: ModelRecord, folder: Path, backbone: Path) -> None:
    old = build_model(toy_record)
    path = folder.parent / "old.safetensors"
    save_headsup(path, old, torch.float32)
    deeper = with_unet(toy_record, 
        block_out_channels=[8, 16, 16],
        down_block_types=["DownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"],
        up_block_types=["UpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
    )
    sources = (SourceConfig(str(folder), 1.0),)
    config = RestorerConfig(deeper, sources, {"x8": 1.0}, str(backbone), init=str(path))
    own = Trainer(RestorerSubject, config, folder.parent / "run", torch.device("cpu")).networks.state_dict()
    given = old.unet.state_dict()
    moved = {name: name.replace("up_blocks.1", "up_blocks.2").replace("up_blocks.0", "up_blocks.1") for name in given}
    assert all(torch.equal(own["unet." + moved[name]], given[name]) for name in given)
    assert sum(name.startswith("unet.up_blocks.0.") for name in own) > 0


def test_old_scans_have_grain_without_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    clean = OldScan((0.2, 0.2), (8.0, 8.0), (0.5, 0.5), 0, (100, 100))
    monkeypatch.setattr(degradation, "jpeg", lambda image, quality: image)
    small = degrade(torch.full((1, 3, 256, 256), 0.5), clean, 3)
    assert small.shape == (1, 3, 64, 64)
    assert torch.allclose(small[:, 0], small[:, 1])
    assert small.std().item() * 255 == pytest.approx(8, rel=0.05)
    assert small.mean().item() == pytest.approx(0.5, abs=0.01)
    scratched = degrade(torch.full((1, 3, 256, 256), 0.5), replace(clean, grain=(0.0, 0.0), scratches=40), 3)
    assert (scratched - 0.5).abs().max() > 0.2


def test_some_samples_are_black_and_white_with_their_reference(folder: Path) -> None:
    dataset = RestorationDataset([CropSource(SourceConfig(str(folder), 1.0))], {"x8": 1.0}, 48, 200, seed=1)
    grey = [sample for sample in (dataset[index] for index in range(200)) if _is_grey(sample["good"])]
    assert 4 <= len(grey) <= 30  # 7 % of 200
    assert all(_is_grey(sample["reference"]) for sample in grey)


def _is_grey(picture: torch.Tensor) -> bool:
    return bool(torch.equal(picture[0], picture[1]) and torch.equal(picture[1], picture[2]))


@pytest.mark.parametrize(("name", "most_bytes"), [("headsup-tiny", 24e6), ("headsup-tiny-portraits", 40e6)])
def test_shipped_configuration_is_readable_and_small(name: str, most_bytes: float, tmp_path: Path) -> None:
    path = CONFIGS / f"{name}.yaml"
    config = read_config(path, {"steps": 7}, tmp_path)
    assert config.steps == 7
    assert Path(config.sources[0].folder).is_relative_to(tmp_path)
    with torch.device("meta"):
        model = build_model(config.architecture, torch.zeros(1, 1, 64))
    assert model.takes_reference
    assert sum(p.numel() for network in model.networks for p in network.parameters()) * 2 < most_bytes
    with raises_naming(InputError, "'stepz'"):
        read_config(path, {"stepz": 7})
    assert replace(config, steps=1).steps == 1


def test_one_field_of_a_field_is_replaced_and_the_others_stay() -> None:
    path = CONFIGS / "headsup-sd21-stage1.yaml"
    whole, changed = read_config(path), read_config(path, {"loss.distillation": 0.0, "distillation.guidance": 5.0})
    assert whole.loss.distillation == 1.0
    assert changed.loss == replace(whole.loss, distillation=0.0)
    assert changed.distillation == replace(whole.distillation, guidance=5.0)
    with raises_naming(InputError, "'distilation'"):
        read_config(path, {"loss.distilation": 0.0})
    with raises_naming(InputError, "sources"):
        read_config(path, {"sources.ratio": 1.0})


def test_periodic_texture_is_the_amplitude_of_a_fixed_pattern() -> None:
    noise = 0.1 * torch.randn(1, 3, 160, 160, generator=torch.Generator().manual_seed(0))
    ramp = torch.linspace(0, 1, 160).expand(1, 3, 160, 160) / 100
    assert periodic_texture(torch.full((1, 3, 80, 80), 0.3), 4).item() == pytest.approx(0, abs=1e-6)
    assert periodic_texture(ramp, 4).item() < 2e-4
    board = torch.zeros(1, 3, 160, 160)
    board[..., ::4, :] = 0.04
    # a quarter of the places is 0.03 above the mean, the others 0.01 below it
    amplitude = (0.25 * 0.03**2 + 0.75 * 0.01**2) ** 0.5
    assert periodic_texture(board, 4).item() == pytest.approx(amplitude, rel=0.07)
    # what has no pattern costs nothing, whatever there is of it, and hides none
    assert periodic_texture(noise, 4).item() < 2e-4
    assert periodic_texture(noise + board, 4).item() == pytest.approx(amplitude, rel=0.15)


def test_a_spectrum_is_compared_by_power_and_not_by_place() -> None:
    generator = torch.Generator().manual_seed(0)
    grain, other = (0.5 + 0.1 * torch.randn(1, 3, 160, 160, generator=generator) for _ in range(2))
    chance = spectrum_distance(other, grain).item()
    assert spectrum_distance(grain + 0.1, grain).item() == pytest.approx(0, abs=1e-3)  # the light is no texture
    assert spectrum_distance(0.5 + (grain - 0.5) / 2, grain).item() == pytest.approx(2 * np.log(2), rel=0.05)
    assert 0 < chance < 0.7
    soft = torch.nn.functional.avg_pool2d(other, 3, 1, 1)
    hatched = other.clone()
    hatched[..., ::4] += 0.2
    assert min(spectrum_distance(made, grain).item() for made in (soft, hatched)) > chance * 1.1
