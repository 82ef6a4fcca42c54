"""A batch is restored picture by picture; one that fails does not take the others with it."""

from __future__ import annotations

import gc
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from comfyui_headsup.headsup_core import (
    HeadsUpError,
    HeadsUpModel,
    InputError,
    PlainHost,
    RestoreOptions,
    RestoreResult,
    restore,
)
from comfyui_headsup.headsup_core.faces import Face, Faces
from comfyui_headsup.headsup_core.imaging.resizing import resize
from comfyui_headsup.headsup_core.models.building import build_model
from comfyui_headsup.headsup_core.models.prediction import LatentResidual
from comfyui_headsup.headsup_core.models.record import Architecture, ModelCard, ModelRecord
from comfyui_headsup.headsup_core.restoring.people.tracking import FaceTracker
from comfyui_headsup.headsup_core.restoring.session import Session
from comfyui_headsup.headsup_core.restoring.several_models import restore_by_several
from comfyui_headsup.nodes.upscaling.restoring import BatchReport, check_options_fit, restore_batch
from harness.refusals import raises_naming
from torch import nn

OPTIONS = RestoreOptions(scale=2, tile=32, overlap=8, tile_batch=1, color_fix="none", seed=3)


class Host(PlainHost):
    """Counts how often networks were asked for, and the places in the batch."""

    def __init__(self) -> None:
        super().__init__("cpu", quiet=True)
        self.loads = 0
        self.places: list[tuple[int, int]] = []

    def for_picture(self, picture: int, pictures: int) -> Host:
        self.places.append((picture, pictures))
        return self

    def load(self, modules: Sequence[nn.Module], bytes_needed: int) -> None:
        self.loads += 1
        super().load(modules, bytes_needed)


class _Watching(Host):
    """Looks at what tensors hold when so many pictures are done."""

    def __init__(self, *looks: int) -> None:
        super().__init__()
        self.looks, self.held = looks, list[int]()

    def for_picture(self, picture: int, pictures: int) -> Host:
        if picture in self.looks:
            gc.collect()
            tensors = [one for one in gc.get_objects() if type(one) is torch.Tensor]
            stores = {one.untyped_storage().data_ptr(): one.untyped_storage().nbytes() for one in tensors}
            self.held.append(sum(stores.values()))
        return super().for_picture(picture, pictures)


@pytest.fixture(scope="module")
def model() -> HeadsUpModel:
    """A narrow network with random weights of the kind that headsup-tiny is."""
    architecture = Architecture(
        codec_class="AutoencoderTiny",
        codec={
            "encoder_block_out_channels": [8, 8],
            "decoder_block_out_channels": [8, 8],
            "num_encoder_blocks": [0, 1],
            "num_decoder_blocks": [1, 0],
            "latent_channels": 4,
        },
        unet={
            "in_channels": 4,
            "out_channels": 4,
            "block_out_channels": [8, 8],
            "layers_per_block": 1,
            "down_block_types": ["DownBlock2D", "DownBlock2D"],
            "mid_block_type": None,
            "up_block_types": ["UpBlock2D", "UpBlock2D"],
            "norm_num_groups": 4,
            "cross_attention_dim": 8,
        },
    )
    record = ModelRecord(ModelCard("narrow", "MIT"), LatentResidual(), architecture)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return HeadsUpModel(build_model(record))


def run(
    image: torch.Tensor, model: HeadsUpModel, host: Host | None = None, *, keep_going: bool = True, **options: Any
) -> tuple[torch.Tensor, torch.Tensor, str]:
    faces = options.pop("faces", None)
    host_like: Any = host or Host()
    session = Session(model, replace(OPTIONS, **options))
    done = restore_batch(image, session, host_like, faces, keep_going=keep_going)
    return done.after, done.before, done.report


def test_batch_is_what_the_core_makes_of_each_picture(model: HeadsUpModel) -> None:
    image = torch.rand(3, 9, 14, 3)
    host = Host()

    after, before, report = run(image, model, host)

    for index in range(3):
        picture = image[index : index + 1].permute(0, 3, 1, 2)
        expected = restore(picture, model, scale=2, tile=32, overlap=8, tile_batch=1, color_fix="none", host=host)
        assert torch.equal(after[index], expected.image[0].permute(1, 2, 0))
        assert torch.equal(before[index], expected.before[0].permute(1, 2, 0))
    assert not torch.equal(after, before)
    assert host.places == [(0, 3), (1, 3), (2, 3)]
    assert "picture 3 of 3" in report


def test_pictures_of_a_batch_share_encoded_references(model: HeadsUpModel, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Any] = []

    def spy(image: torch.Tensor, sessions: Sequence[Session], faces: Faces | None = None) -> RestoreResult:
        given.append(sessions[0].references)
        return restore_by_several(image, sessions, faces)

    monkeypatch.setattr("comfyui_headsup.nodes.upscaling.restoring.restore_by_several", spy)
    for _ in range(2):
        run(torch.rand(2, 8, 8, 3), model)
    first, second, third, fourth = given
    assert first is second
    assert third is fourth
    assert first is not third, "another execution may have other people"


def test_bad_picture_leaves_the_others_alone(model: HeadsUpModel) -> None:
    image = torch.rand(3, 8, 8, 3)
    bad = image.clone()
    bad[1, :4] = float("nan")

    after, before, report = run(bad, model)

    good, _, _ = run(image, model)
    assert torch.equal(after[[0, 2]], good[[0, 2]])
    black = torch.where(bad[1:2].isnan(), 0.0, image[1:2]).permute(0, 3, 1, 2)
    plain = resize(black, 16, 16)[0].permute(1, 2, 0)
    assert torch.equal(after[1], plain)
    assert torch.equal(before[1], plain)
    assert "picture 2 of 3: not restored" in report
    assert "NaN" in report


def test_bad_picture_stops_when_asked_to(model: HeadsUpModel) -> None:
    image = torch.rand(2, 8, 8, 3)
    image[1, 0, 0, 0] = float("inf")

    with raises_naming(InputError, "picture 2 of 2", "NaN"):
        run(image, model, keep_going=False)


def test_failing_network_is_a_failed_picture(model: HeadsUpModel) -> None:
    class BrokenHost(Host):
        def load(self, modules: Sequence[nn.Module], bytes_needed: int) -> None:
            raise HeadsUpError("the network is ill")

    after, before, report = run(torch.rand(1, 8, 8, 3), model, BrokenHost())

    assert torch.equal(after, before)
    assert report == "not restored, plainly enlarged instead: the network is ill"
    with raises_naming(HeadsUpError, "the network is ill"):
        run(torch.rand(1, 8, 8, 3), model, BrokenHost(), keep_going=False)


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_cancelling_and_bugs_are_not_swallowed(model: HeadsUpModel, error: type[BaseException]) -> None:
    class CancelledHost(Host):
        def check_cancelled(self) -> None:
            raise error

    with pytest.raises(error):
        run(torch.rand(1, 8, 8, 3), model, CancelledHost())


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"overlap": 32}, ("tile", "overlap", 32)),
        ({"scale": -1.0}, ("scale", -1)),
        ({"strength": 1.5}, ("strength", 1.5)),
        ({"strength": float("nan")}, ("strength", math.nan)),
        ({"color_fix": "rainbow"}, ("'rainbow'",)),
        ({"tile": 1}, ("tile", 1)),
        ({"long_edge": 100_000, "scale": None}, ("long edge", 100_000)),
    ],
)
def test_option_that_fits_no_picture_stops_even_when_keeping_going(
    model: HeadsUpModel, options: dict[str, Any], named: tuple[object, ...]
) -> None:
    host = Host()

    with raises_naming(InputError, *named):
        run(torch.rand(2, 8, 8, 3), model, host, **options)

    assert host.loads == 0


def test_checking_the_options_runs_no_network(model: HeadsUpModel) -> None:
    host = Host()

    check_options_fit(Session(model, OPTIONS, host))

    assert host.loads == 0


def test_result_that_is_too_large_keeps_the_picture(model: HeadsUpModel) -> None:
    image = torch.rand(1, 1, 20_000, 3)

    after, before, report = run(image, model, scale=16)

    assert torch.equal(after, image)
    assert torch.equal(before, image)
    assert report.startswith("not enlarged, the picture is as it was: 20000x1 px would become 320000x16")
    with raises_naming(InputError, "320000x16"):
        run(image, model, scale=16, keep_going=False)


def test_cap_is_reported(model: HeadsUpModel) -> None:
    image = torch.rand(1, 20, 30, 3)

    after, _, report = run(image, model, max_megapixels=0.0006)

    assert after.shape == (1, 20, 30, 3)
    assert "capped at 0.0006 megapixels: 30x20 px instead of 60x40" in report
    assert "capped" not in run(image, model, max_megapixels=1.0)[2]


def test_mask_belongs_to_its_picture(model: HeadsUpModel) -> None:
    image = torch.rand(2, 8, 8, 3)
    mask = torch.zeros(2, 1, 16, 16)
    mask[1] = 1

    after, before, _ = run(image, model, mask=mask)

    assert torch.equal(after[0], before[0])
    assert torch.equal(after[1], run(image, model)[0][1])


def test_strength_zero_is_the_plain_enlargement(model: HeadsUpModel) -> None:
    host = Host()

    after, before, _ = run(torch.rand(1, 8, 8, 3), model, host, strength=0.0)

    assert torch.equal(after, before)
    assert host.loads == 0


def test_report_says_a_line_once() -> None:
    report = BatchReport(2)
    report.add(0, "first\nsame\n")
    report.add(1, "second\nsame\nother")

    assert report.text() == "picture 1 of 2: first\nsame\npicture 2 of 2: second\nother"


def test_faces_go_with_their_pictures(model: HeadsUpModel, monkeypatch: pytest.MonkeyPatch) -> None:
    faces = Faces(tuple((Face((0.0, 0.0, 4.0, 4.0), torch.zeros(5, 2), score),) for score in (0.1, 0.2)), 9, 14)
    seen: list[float] = []

    def spy(image: torch.Tensor, sessions: Sequence[Session], faces: Faces | None = None) -> RestoreResult:
        if faces is not None:
            seen.extend(face.score for face in faces[0])
        return restore_by_several(image, sessions, faces)

    monkeypatch.setattr("comfyui_headsup.nodes.upscaling.restoring.restore_by_several", spy)
    _, _, report = run(torch.rand(2, 9, 14, 3), model, faces=faces)
    assert seen == [0.1, 0.2]
    assert "tiles planned around 1 face" in report
    with raises_naming(InputError, 2, 1):
        run(torch.rand(1, 9, 14, 3), model, faces=faces)


def test_further_models_share_the_progress_and_say_what_failed(model: HeadsUpModel) -> None:
    """Two pictures and two models make four parts of the bar; a model that fails is said for each picture."""

    class Broken(nn.Module):
        config: Any = model.one_step.unet.config

        def forward(self, *_: object, **__: object) -> None:
            raise HeadsUpError("out of luck")

        def parameters(self, recurse: bool = True) -> Any:
            return model.one_step.unet.parameters(recurse)

    network: Any = Broken()
    other = replace(model, one_step=replace(model.one_step, unet=network))
    host, image = Host(), torch.rand(2, 24, 24, 3)
    session = Session(model, OPTIONS, host)
    faces = Faces(((), ()), 24, 24)
    alone = restore_batch(image, session, host, faces, keep_going=True)
    host.places.clear()
    done = restore_batch(image, session, host, faces, keep_going=True, others=[other])
    assert host.places == [(0, 4), (1, 4), (2, 4), (3, 4)]
    assert torch.equal(done.after, alone.after)
    assert len(done.sent_back) == 2
    assert all("out of luck" in line for line in done.sent_back)
    assert not done.failures


def test_sixty_frames_hold_no_more_memory_than_twenty(model: HeadsUpModel) -> None:
    """A latent of one would be 2 kB, its picture 7 kB; what is known of its face is less than 1 kB."""
    frames = torch.rand(60, 24, 24, 3)
    face = Face((6.0, 6.0, 18.0, 18.0), torch.tensor([[9.0, 10], [15, 10], [12, 13], [10, 16], [14, 16]]), 0.9)
    session = Session(model, replace(OPTIONS, frames=True), PlainHost("cpu", quiet=True), tracker=FaceTracker())
    host: Any = _Watching(20, 59)
    restore_batch(frames, session, host, Faces(((face,),) * 60, 24, 24), keep_going=False)
    early, late = host.held
    assert late - early < 39 * 1000
