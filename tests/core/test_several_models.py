"""Several models over one picture: whose face is taken, and what happens when one of them fails or is stopped."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from harness.cancelling import CancellingHost
from harness.faces import face_at
from harness.people_stubs import BLUE, GREEN, RED, ColourAnalyzer, faces_of, person
from harness.records import with_record
from torch import nn

import headsup_core as hu
from headsup_core.cli import main
from headsup_core.errors import HeadsUpError
from headsup_core.faces import Face
from headsup_core.image_files import read_picture, write_picture
from headsup_core.models.record import ModelCard
from headsup_core.restoring.people.contest import SLACK, Candidate, Contest
from headsup_core.restoring.session import Session
from headsup_core.restoring.several_models import restore_by_several

HOST = hu.PlainHost("cpu", quiet=True)
ANALYZER = ColourAnalyzer()
LEFT, RIGHT = face_at(48, 48, 16), face_at(144, 48, 16)
ADA, BOB = person("Ada", RED), person("Bob", GREEN)
MIDDLES = {"left": (48, 48), "right": (144, 48)}


def photo() -> torch.Tensor:
    """Structure everywhere, in colours that come to grey: a grey picture would stay one, whatever is painted."""
    return torch.rand(1, 3, 96, 192, generator=torch.Generator().manual_seed(3)) * 0.4 + 0.3


def named(model: hu.HeadsUpModel, name: str, forward: Any = None) -> hu.HeadsUpModel:
    """An identity restorer of that name, or one whose network is `forward`."""
    one = with_record(model.one_step, card=ModelCard(name, "MIT"))
    if forward is not None:
        one.unet.forward = forward
    return replace(model, one_step=one)


@pytest.fixture
def painter(make_model: Any) -> Any:
    """Makes restorers that mix everything with a colour; at a share of 1 nothing of the picture is left."""

    def make(name: str, colour: Sequence[float], share: float = 0.5) -> hu.HeadsUpModel:
        paint = torch.tensor(colour).repeat_interleave(16).view(1, 48, 1, 1)  # pixels of 4x4 are channels

        def forward(sample: torch.Tensor, *_: object, **__: object) -> tuple[torch.Tensor]:
            return (share * (sample - paint),)  # x0 = z - f(z)

        return named(make_model(), name, forward)

    return make


@pytest.fixture
def broken(make_model: Any) -> Any:
    """Makes restorers whose network raises an error."""

    def make(name: str, error: BaseException) -> hu.HeadsUpModel:
        def forward(*_: object, **__: object) -> tuple[torch.Tensor]:
            raise error

        return named(make_model(), name, forward)

    return make


def restored(models: Sequence[hu.HeadsUpModel], *faces: Face, **more: Any) -> hu.RestoreResult:
    options: dict[str, Any] = {"scale": 1, "people": (ADA, BOB), "analyzer": ANALYZER, "host": HOST, **more}
    return hu.restore(photo(), models, faces=faces_of(photo(), *faces), **options)


def colour_at(result: hu.RestoreResult, place: str) -> list[float]:
    x, y = MIDDLES[place]
    means = result.image[0, :, y - 8 : y + 9, x - 8 : x + 9].mean((1, 2))
    return (means - photo()[0, :, y - 8 : y + 9, x - 8 : x + 9].mean((1, 2))).tolist()


def test_each_face_comes_from_the_model_that_is_most_like_its_person(painter: Any, make_model: Any) -> None:
    models = [named(make_model(), "plain"), painter("green", GREEN), painter("red", RED), painter("blue", BLUE)]
    result = restored(models, replace(LEFT, identity="Ada"), replace(RIGHT, identity="Bob"))
    alone = {model.card.name: restored([model], replace(LEFT, identity="Ada")).image for model in models}
    for place, winner in (("left", "red"), ("right", "green")):
        x, y = MIDDLES[place]
        inside = (..., slice(y - 8, y + 9), slice(x - 8, x + 9))
        assert (result.image[inside] - alone[winner][inside]).abs().max() < 1e-6
    assert torch.equal(result.image[..., 86:, :], alone["plain"][..., 86:, :])
    assert torch.equal(result.image[..., 93:99], alone["plain"][..., 93:99])
    red, green = result.report.chosen
    assert "Ada: from red" in red
    assert "Bob: from green" in green
    assert red in result.report.text()
    numbers = result.report.to_json()["candidates"]
    assert [one["model"] for one in numbers] == ["red", "green"]
    alike = {one["model"]: one["alike"] for one in numbers[0]["candidates"]}
    assert max(alike, key=lambda name: alike[name]) == "red"
    assert len(alike) == 4


def test_the_edge_of_a_face_that_was_laid_in_is_soft(painter: Any, make_model: Any) -> None:
    """Red is half of what differs, and fades within 0.3 eye distances: at most 1.5 / (0.3 * 16) of it from pixel to
    pixel, as for faces that the gate takes back."""
    result = restored([named(make_model(), "plain"), painter("red", RED)], replace(LEFT, identity="Ada"))
    added = (result.image - photo())[0, 1]  # green is halved where the face is red
    expected = -0.5 * photo()[0, 1]
    share = (added / expected).clamp(0, 1)
    for step in (share.diff(dim=0), share.diff(dim=1)):
        assert step.abs().max() < 1.5 / (0.3 * 16) + 0.02
    assert share.max() > 0.99


def test_what_does_not_explain_the_picture_is_not_taken(painter: Any, make_model: Any) -> None:
    """A plain red square is the most like Ada, and nothing of the picture is in it."""
    models = [named(make_model(), "plain"), painter("square", RED, 1.0), painter("reddish", RED, 0.2)]
    result = restored(models, replace(LEFT, identity="Ada"))
    (line,) = result.report.chosen
    assert "from reddish" in line
    assert "square" in line
    red, green, _ = colour_at(result, "left")
    assert red == pytest.approx(0.1, abs=0.02)
    assert green == pytest.approx(-0.1, abs=0.02)


def test_of_nobody_known_the_first_that_explains_is_taken(painter: Any, make_model: Any) -> None:
    unknown = replace(LEFT, identity="")
    result = restored([painter("green", GREEN), named(make_model(), "plain"), painter("red", RED)], unknown)
    assert "from green, the first" in result.report.chosen[0]
    result = restored([painter("square", GREEN, 1.0), named(make_model(), "plain"), painter("red", RED)], unknown)
    assert "from plain, the first" in result.report.chosen[0]
    assert colour_at(result, "left") == pytest.approx([0, 0, 0], abs=1e-6)


@pytest.mark.parametrize("error", [HeadsUpError("bad weights"), RuntimeError("no kernel"), MemoryError()])
@pytest.mark.parametrize("position", [0, 1, 2])
def test_a_model_that_fails_does_not_lose_the_others(
    painter: Any, broken: Any, error: Exception, position: int
) -> None:
    models = [painter("green", GREEN), painter("red", RED)]
    models.insert(position, broken("broken", error))
    result = restored(models, replace(LEFT, identity="Ada"))
    without = restored([painter("green", GREEN), painter("red", RED)], replace(LEFT, identity="Ada"))
    assert torch.equal(result.image, without.image)
    (said,) = result.report.failed_models
    assert "broken" in said
    assert said in result.report.text()


def test_when_all_fail_the_first_error_is_raised(broken: Any) -> None:
    with pytest.raises(HeadsUpError, match="first reason"):
        restored([broken("a", HeadsUpError("first reason")), broken("b", RuntimeError("second"))], LEFT)


class CancelledError(Exception):
    """As ComfyUI's: none of the core's."""


def test_cancelling_stops_at_every_model(painter: Any) -> None:
    """At each question, of whichever model, the host's own exception comes out."""
    counting = CancellingHost(10_000, CancelledError)
    faces = faces_of(photo(), LEFT)
    restored([painter("green", GREEN), painter("red", RED)], LEFT, host=counting)
    assert counting.asked > 4
    for at in range(1, counting.asked + 1):
        with pytest.raises(CancelledError):
            hu.restore(
                photo(), [painter("green", GREEN), painter("red", RED)], scale=1, faces=faces, analyzer=ANALYZER,
                host=CancellingHost(at, CancelledError),
            )  # fmt: skip


def test_networks_are_wanted_one_model_after_the_other(painter: Any) -> None:
    models = [painter(name, RED) for name in ("a", "b", "c")]
    wanted: list[int] = []

    class Watching(hu.PlainHost):
        def load(self, modules: Sequence[nn.Module], bytes_needed: int) -> None:
            for number, model in enumerate(models):
                if any(module is network for module in modules for network in model.one_step.networks):
                    wanted.append(number)
            super().load(modules, bytes_needed)

    restored(models, LEFT, host=Watching("cpu", quiet=True))
    assert wanted == sorted(wanted)
    assert set(wanted) == {0, 1, 2}


class Weights(nn.Module):
    """Remembers where it was sent."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(256))
        self.sent: list[str] = []

    def to(self, *places: Any, **_: Any) -> Any:
        self.sent.append(str(places[0]))
        return self


def test_a_short_device_gets_rid_of_what_was_loaded_longest_ago() -> None:
    """A kilobyte a network, room for one and a half; the one that is asked for again stays."""

    class Short(hu.PlainHost):
        def free_memory(self) -> int:
            held = sum(one.sent[-1:] == ["meta"] for one in networks)
            return 2560 - 1024 * held

    networks = [Weights() for _ in range(3)]
    host = Short("meta", quiet=True)
    for one in networks:
        host.load([one], 512)
    assert [one.sent for one in networks] == [["meta", "cpu"], ["meta"], ["meta"]]
    host.load([networks[1]], 0)
    assert networks[1].sent == ["meta", "meta"]


def candidate(model: int, alike: float | None, explains: float) -> Candidate:
    return Candidate(model, LEFT, alike, explains, torch.zeros(1, 3, 4, 4))


def test_no_more_pixels_are_kept_than_can_still_win() -> None:
    contest = Contest()
    contest.add(candidate(0, 0.5, 0.70))
    contest.add(candidate(1, 0.4, 0.60))  # less alike, and explains less
    contest.add(candidate(2, 0.3, 0.75))  # explains more: may win if more is asked of the first
    assert [one.pixels is not None for one in contest.candidates] == [True, False, True]
    assert contest.winner.model == 0
    contest.add(candidate(3, 0.1, 0.70 + SLACK + 0.01))
    assert [one.pixels is not None for one in contest.candidates] == [False, False, True, True]
    assert contest.winner.model == 2
    contest.add(candidate(4, None, 0.9))  # in which nobody was recognised: it may only come last
    assert contest.winner.model == 3
    assert math.isclose(contest.least, 0.9 - SLACK)


def test_people_and_the_scale_are_those_of_the_first(painter: Any, make_model: Any) -> None:
    first = named(make_model(), "plain").with_identities((ADA,), 0.5)
    second = painter("red", RED)
    small = replace(second, one_step=with_record(second.one_step, scale=2))
    sessions = [Session(model, hu.RestoreOptions(), HOST, ANALYZER) for model in (first, small)]
    result = restore_by_several(photo()[..., :96], sessions, faces_of(photo()[..., :96], replace(LEFT, identity="Ada")))
    assert result.image.shape == (1, 3, 384, 384)  # a stand-in's own scale is 4
    assert "Ada: from red" in result.report.chosen[0]


def test_a_strength_of_0_and_one_model_run_no_contest(painter: Any) -> None:
    result = restored([painter("green", GREEN), painter("red", RED)], LEFT, strength=0.0)
    assert torch.equal(result.image, photo())
    assert result.report.chosen == []
    assert torch.equal(restored([painter("red", RED)], LEFT).image, restored(painter("red", RED), LEFT).image)
    with pytest.raises(hu.InputError):
        restored([], LEFT)
    with pytest.raises(hu.InputError, match="published"):
        restored([painter("green", GREEN), painter("red", RED)], LEFT, sizing="published")


def test_models_of_one_name_are_told_apart(painter: Any) -> None:
    report = restored([painter("CodeFormer", GREEN), painter("CodeFormer", RED)], replace(LEFT, identity="Ada")).report
    assert "Ada: from CodeFormer (model 2)" in report.chosen[0]
    assert report.model == "CodeFormer (model 1), CodeFormer (model 2)"


def test_the_command_takes_candidates(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody is found in noise, so that it is the first model's; the other is said and recorded."""
    source = tmp_path / "a.png"
    write_picture(source, torch.rand(1, 3, 40, 48, generator=torch.Generator().manual_seed(1)))
    base = ["upscale", str(source), "--quiet", "--device", "cpu", "--scale", "2", "--output"]
    assert main([*base, str(tmp_path / "one")]) == 0
    assert main([*base, str(tmp_path / "two"), "--candidate", "headsup-tiny", "--json"]) == 0
    assert '"chosen": []' in capsys.readouterr().out
    one, two = (read_picture(tmp_path / name / "a.png").rgb for name in ("one", "two"))
    assert torch.equal(one, two)
    for wrong in (["--candidate", "headsup-tiny:tile=64"], ["--candidate", "headsup-tiny", "--aligned"]):
        assert main([*base, str(tmp_path / "three"), *wrong]) == 2
    assert main([*base, str(tmp_path / "three"), "--candidate", "nowhere.pth"]) == 2
