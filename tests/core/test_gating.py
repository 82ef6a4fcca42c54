"""The identity gate: each rule on pictures whose embeddings can be computed by hand."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest
import torch
from harness.faces import face_at
from typing_extensions import override

from headsup_core.faces.analyzer import AnalyzerBase, DetectionOptions, Licence
from headsup_core.faces.face import Face
from headsup_core.faces.reference import face_location
from headsup_core.identity.similarity import ASSUMED
from headsup_core.restoring.people.gate import FEATHER, Candidates, GateMode, GateRules, gate, region, scored_after
from headsup_core.restoring.people.identity_score import IdentityScore, scores_of

HEIGHT, WIDTH, EYES = 160, 320, 24.0
LEFT = replace(face_at(80, 80, EYES), identity="Ada")
RIGHT = replace(face_at(240, 80, EYES), identity="Bob")
NEIGHBOUR = replace(face_at(130, 80, EYES), identity="Bob")
RULES = GateRules(fall=0.05, worse=0.15)
ALL = slice(0, HEIGHT), slice(0, WIDTH)
UNSEEN = 1.0
"""How much green makes a face unrecognisable."""


class AngleAnalyzer(AnalyzerBase):
    """The embedding is (cos, sin) of the red at the middle of the face, in half turns."""

    name = "angle"
    licence = Licence("none", True)
    embedder_id = "angle"
    needs = ""

    @override
    def _find(self, picture: torch.Tensor, options: DetectionOptions) -> Sequence[Face]:
        raise AssertionError("faces are given")

    @override
    def _embed(self, picture: torch.Tensor, faces: Sequence[Face]) -> Sequence[torch.Tensor]:
        return [self._one(picture, *face.landmarks.mean(0).round().long().tolist()) for face in faces]

    def _one(self, picture: torch.Tensor, x: int, y: int) -> torch.Tensor:
        red, green, _ = picture[0, :, y, x].tolist()
        return torch.zeros(2) if green == UNSEEN else direction(180 * red)


def direction(degrees: float) -> torch.Tensor:
    return torch.tensor([math.cos(math.radians(degrees)), math.sin(math.radians(degrees))])


def alike(degrees: float) -> float:
    """The calibrated score of two embeddings that far apart."""
    return math.cos(math.radians(degrees)) / ASSUMED.same


def shot(left: float, right: float = 0.0, unseen: bool = False) -> torch.Tensor:
    """A picture whose left half shows a face at `left` degrees, the right half one at `right`."""
    picture = torch.zeros(1, 3, HEIGHT, WIDTH)
    picture[:, 0, :, : WIDTH // 2] = left / 180
    picture[:, 0, :, WIDTH // 2 :] = right / 180
    picture[:, 1, :, : WIDTH // 2] = UNSEEN if unseen else 0.0
    return picture


ADA, BOB = direction(0), direction(0)
PEOPLE = {"Ada": ADA, "Bob": BOB}


def judged(
    before: torch.Tensor,
    plain: torch.Tensor,
    injected: torch.Tensor | None,
    faces: tuple[Face, ...] = (LEFT,),
    mode: GateMode = "on",
    rules: GateRules = RULES,
    people: Mapping[str, torch.Tensor] = PEOPLE,
) -> tuple[torch.Tensor, tuple[IdentityScore, ...]]:
    candidates = Candidates(before, plain, injected, faces, scale=4.0)
    picture, judged_faces = gate(candidates, people, AngleAnalyzer(), mode, rules)
    return picture, tuple(scores for face in judged_faces if (scores := scores_of(face)) is not None)


def red_at(picture: torch.Tensor, face: Face) -> float:
    """Degrees at the middle of a face."""
    x, y = face.landmarks.mean(0).round().long().tolist()
    return round(float(picture[0, 0, y, x]) * 180, 3)


def test_injected_face_that_is_more_alike_stays() -> None:
    injected = shot(20)

    picture, (score,) = judged(shot(60), shot(50), injected)

    assert torch.equal(picture, injected)
    assert score.outcome == "injected"
    assert score.reason == ""
    assert score.before == pytest.approx(alike(60))
    assert score.uninjected == pytest.approx(alike(50))
    assert score.injected == pytest.approx(alike(20))
    assert score.kept == pytest.approx(alike(30))


def test_less_alike_with_the_reference_than_without() -> None:
    """Allowed: 0.05 on the scale, from 40 degrees (1.179) to 43.6 (1.115) are 0.064."""
    picture, (score,) = judged(shot(42), shot(40), shot(43.6))
    within, (kept,) = judged(shot(42), shot(40), shot(42.4))

    assert score.outcome == "uninjected"
    assert "1.11 with, 1.18 without, at most 0.05 less" in score.reason
    assert red_at(picture, LEFT) == 40
    assert kept.outcome == "injected"
    assert red_at(within, LEFT) == 42.4


def test_wrong_photo_cannot_turn_the_face_into_somebody_else() -> None:
    """It is more like its person, Ada at 0 degrees, but the face was another one: 75 degrees apart are 0.40."""
    picture, (score,) = judged(shot(80), shot(80), shot(5))
    lenient, (passed,) = judged(shot(80), shot(80), shot(5), rules=replace(RULES, keep=0.3))

    assert score.injected is not None
    assert score.uninjected is not None
    assert score.injected > score.uninjected
    assert score.outcome == "uninjected"
    assert "0.40 like the one restored without, at least 0.60" in score.reason
    assert red_at(picture, LEFT) == 80
    assert passed.outcome == "injected"
    assert red_at(lenient, LEFT) == 5


def test_input_that_is_the_person_speaks_for_a_reference_where_restoring_lost_the_person() -> None:
    """40 degrees are 1.18: the input is the person's. Restored without (75, 0.40) it is another's, with (5) the
    person's: 35 degrees from the input (1.26) but 70 from the one without (0.53)."""
    picture, (kept,) = judged(shot(40), shot(75), shot(5))

    assert kept.outcome == "injected"
    assert kept.kept is not None
    assert kept.kept < 0.6
    assert red_at(picture, LEFT) == 5


@pytest.mark.parametrize(
    ("ada", "before", "plain", "injected", "why"),
    [
        (0, 72, 90, 5, "0.48: the input is nobody's that we know"),
        (0, 70, 74, 0, "0.53: a look-alike's photo copied whole; restoring lost nobody (0.42)"),
        (60, 120, 150, 30, "0.77: the input may be the person's, but the injected face is at right angles to it"),
    ],
)
def test_input_does_not_speak_for_every_reference(ada: int, before: int, plain: int, injected: int, why: str) -> None:
    _, (score,) = judged(shot(before), shot(plain), shot(injected), people={"Ada": direction(ada)})
    assert score.outcome != "injected", why
    assert "no longer the same face" in score.reason


def test_restored_face_that_is_not_the_inputs_is_only_enlarged_whoever_was_named() -> None:
    """85 degrees are 0.13, nobody's that we know; restored it is at 165, 80 degrees (0.27) from the input."""
    picture, (score,) = judged(shot(85), shot(165), shot(10))
    assert score.outcome == "enlarged"
    assert "not the face of the input any more: 0.27 like the enlargement" in score.reason
    assert red_at(picture, LEFT) == 85


def test_face_of_somebody_else_is_restored_though_it_moves_away_from_the_person() -> None:
    """80 degrees are 0.27: the enlargement is a stranger to the person already, restored (95) it is more so."""
    picture, (score,) = judged(shot(80), shot(95), shot(10))

    assert score.before is not None
    assert score.uninjected is not None
    assert score.uninjected < score.before - RULES.worse
    assert score.outcome == "uninjected"
    assert "less like the person than before" not in score.reason
    assert red_at(picture, LEFT) == 95


def test_face_that_restoring_made_worse_is_only_enlarged() -> None:
    """30 degrees are 1.33, 50 are 0.99: more than 0.15 less, with the reference as well as without."""
    picture, (score,) = judged(shot(30), shot(50), shot(49))
    without, (plain_only,) = judged(shot(30), shot(50), None)

    assert score.outcome == plain_only.outcome == "enlarged"
    assert "restored, it is less like the person than before: 0.99 after 1.33" in score.reason
    assert red_at(picture, LEFT) == red_at(without, LEFT) == 30
    assert plain_only.injected is None


def test_reference_that_makes_up_for_a_bad_restoration_stays() -> None:
    picture, (score,) = judged(shot(30), shot(50), shot(35))

    assert score.outcome == "injected"
    assert red_at(picture, LEFT) == 35


def test_face_that_cannot_be_recognised_any_more() -> None:
    _, (injected_lost,) = judged(shot(30), shot(30), shot(30, unseen=True))
    _, (plain_lost,) = judged(shot(30), shot(30, unseen=True), shot(30))
    picture, (both_lost,) = judged(shot(30), shot(31, unseen=True), shot(32, unseen=True))
    kept, (never,) = judged(shot(30, unseen=True), shot(31), shot(32))

    assert injected_lost.outcome == "uninjected"
    assert "with the reference the face cannot be recognised any more" in injected_lost.reason
    assert plain_lost.outcome == both_lost.outcome == "enlarged"
    assert red_at(picture, LEFT) == 30
    assert never.outcome == "unscored"
    assert "cannot recognise the face in the enlargement" in never.reason
    assert red_at(kept, LEFT) == 32


def test_too_small_faces_are_left_and_said_so() -> None:
    injected = shot(5)

    picture, (score,) = judged(shot(80), shot(80), injected, rules=replace(RULES, least_eyes=7))

    assert torch.equal(picture, injected)
    assert score.outcome == "unscored"
    assert "eyes 6.0 px apart in the input, at least 7" in score.reason
    assert score.change == "? -> ?"


def test_one_face_falls_back_and_the_other_stays() -> None:
    injected = shot(5, 10)

    picture, (left, right) = judged(shot(80, 30), shot(80, 20), injected, (LEFT, RIGHT))

    assert (left.outcome, right.outcome) == ("uninjected", "injected")
    assert red_at(picture, LEFT) == 80
    assert red_at(picture, RIGHT) == 10
    outside = region(LEFT, *ALL) == 0
    assert torch.equal(torch.where(outside, picture, 0), torch.where(outside, injected, 0))


def test_neighbours_share_the_pixels_between_them() -> None:
    """The one that falls back does not take the middle of the other along."""
    people = {"Ada": direction(90), "Bob": direction(5)}  # as Ada the left one became much worse
    candidates = Candidates(shot(80, 80), shot(80, 80), shot(5, 5), (LEFT, NEIGHBOUR), 4.0)

    picture, faces = gate(candidates, people, AngleAnalyzer(), "on", replace(RULES, keep=0.3))

    assert [scores.outcome for face in faces if (scores := scores_of(face))] == ["uninjected", "injected"]
    assert red_at(picture, LEFT) > 70
    assert red_at(picture, NEIGHBOUR) < 15


@pytest.mark.parametrize("faces", [(LEFT,), (LEFT, NEIGHBOUR)])
def test_seam_is_smooth(faces: tuple[Face, ...]) -> None:
    """From the uninjected to the injected picture, 75 degrees apart, no two neighbours differ by more than the ramp."""
    flat = replace(RULES, keep=0.6)

    picture, scores = judged(shot(80, 80), shot(80, 80), shot(5, 5), faces, rules=flat)

    assert {score.outcome for score in scores} == {"uninjected"}
    degrees = picture[0, 0] * 180
    steepest = max(float(degrees.diff(dim=axis).abs().max()) for axis in (0, 1))
    assert 0 < steepest < 1.1 * 75 * 1.5 / (FEATHER * EYES)


def test_region_covers_all_that_the_condition_reached() -> None:
    for face in (LEFT, replace(LEFT, landmarks=LEFT.landmarks @ torch.tensor([[0.9, 0.44], [-0.44, 0.9]]))):
        reached = face_location(face, HEIGHT, WIDTH) > 0
        wide = torch.nn.functional.max_pool2d(reached.float(), 2 * 6 + 1, stride=1, padding=6) > 0  # 6 px around
        assert bool(reached.any())
        assert bool((region(face, *ALL)[reached] == 1).all())
        assert bool((region(face, *ALL, spill=6 * 2**0.5)[wide] == 1).all())
        assert not bool((region(face, *ALL)[wide] == 1).all())


def test_region_is_the_same_in_any_window() -> None:
    rows, columns = slice(13, 150), slice(7, 160)
    assert torch.allclose(region(LEFT, rows, columns), region(LEFT, *ALL)[..., rows, columns], atol=1e-5)


def test_report_scores_and_changes_nothing() -> None:
    injected = shot(5)

    picture, (score,) = judged(shot(80), shot(80), injected, mode="report")
    _, (good,) = judged(shot(60), shot(50), shot(20), mode="report")

    assert torch.equal(picture, injected)
    assert score.outcome == "injected"
    assert "set to report, changed nothing: with the reference it is no longer the same face" in score.reason
    assert good.reason == ""


def test_off_scores_nothing() -> None:
    injected = shot(5)

    picture, scores = judged(shot(80), shot(80), injected, mode="off")

    assert picture is injected
    assert scores == ()


def test_faces_of_nobody_known_are_left_alone() -> None:
    injected = shot(5, 5)
    faces = (replace(LEFT, identity=None), replace(RIGHT, identity="Eve"))

    picture, scores = judged(shot(80, 80), shot(80, 80), injected, faces)

    assert picture is injected
    assert scores == ()


def test_final_score_is_of_the_final_picture() -> None:
    candidates = Candidates(shot(60), shot(50), shot(20), (LEFT, replace(RIGHT, identity=None)), 4.0)
    _, faces = gate(candidates, PEOPLE, AngleAnalyzer())
    final = torch.nn.functional.interpolate(shot(25), scale_factor=2)
    larger = [face.scaled(2, 2) for face in faces]

    known, nobody = scored_after(final, larger, PEOPLE, AngleAnalyzer())

    scores = scores_of(known)
    assert scores is not None
    assert scores.after == pytest.approx(alike(25))
    assert scores.change == f"{alike(60):.2f} -> {alike(25):.2f}"
    assert str(scores) == (
        f"identity {alike(60):.2f} -> {alike(25):.2f}, without the reference {alike(50):.2f}: restored with the "
        "reference"
    )
    assert scores_of(nobody) is None
