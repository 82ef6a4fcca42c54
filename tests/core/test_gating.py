"""The identity gate: its decision on pictures whose embeddings can be computed by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from harness.faces import face_at
from typing_extensions import override

from headsup_core.faces.analyzer import AnalyzerBase, DetectionOptions, Licence
from headsup_core.faces.face import Face
from headsup_core.faces.reference import face_location
from headsup_core.identity.equal_quality.face_quality import Quality
from headsup_core.identity.equal_quality.photo_score import GUESSED, TOLD, Evidence, least_score, photo_score
from headsup_core.identity.similarity import ASSUMED, calibration_of
from headsup_core.restoring.people.composing import FEATHER, region
from headsup_core.restoring.people.gate import Candidates, GateMode, Known, gate, scored_after
from headsup_core.restoring.people.identity_score import IdentityScore, scores_of

HEIGHT, WIDTH, EYES = 160, 320, 24.0
LEFT = replace(face_at(80, 80, EYES), identity="Ada")
RIGHT = replace(face_at(240, 80, EYES), identity="Bob")
NEIGHBOUR = replace(face_at(130, 80, EYES), identity="Bob")
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


def person(degrees: float) -> Known:
    """Somebody whose photo is as many degrees red."""
    photo = torch.zeros(1, 3, 64, 64)
    photo[:, 0] = degrees / 180
    return Known(direction(degrees), photo)


ADA, BOB = person(0), person(0)
PEOPLE = (ADA, BOB)


def judged(
    before: torch.Tensor,
    plain: torch.Tensor,
    injected: torch.Tensor | None,
    faces: tuple[Face, ...] = (LEFT,),
    mode: GateMode = "on",
    people: Sequence[Known] = PEOPLE,
) -> tuple[torch.Tensor, tuple[IdentityScore, ...]]:
    candidates = Candidates(before[..., ::4, ::4], before, plain, injected, faces)
    picture, judged_faces = gate(candidates, dict(enumerate(people)), AngleAnalyzer(), mode)
    return picture, tuple(scores for face in judged_faces if (scores := scores_of(face)) is not None)


def red_at(picture: torch.Tensor, face: Face) -> float:
    """Degrees at the middle of a face."""
    x, y = face.landmarks.mean(0).round().long().tolist()
    return round(float(picture[0, 0, y, x]) * 180, 3)


def test_photo_that_is_like_the_face_at_its_quality_is_used() -> None:
    injected = shot(20)

    picture, (score,) = judged(shot(30), shot(50), injected)

    assert torch.equal(picture, injected)
    assert score.outcome == "injected"
    assert score.reason == ""
    assert score.before == pytest.approx(alike(30))
    assert score.uninjected == pytest.approx(alike(50))
    assert score.injected == pytest.approx(alike(20))
    assert score.evidence is not None
    assert score.evidence.cosine == pytest.approx(alike(30) * ASSUMED.same, abs=1e-3)
    assert score.evidence.quality.eyes == pytest.approx(EYES / 4)
    assert score.evidence.quality.noise == pytest.approx(0, abs=1e-3)
    assert score.sure == pytest.approx(photo_score(score.evidence, "angle"))


def test_restored_without_it_may_be_unlike_the_person() -> None:
    """The face restored without a photo is the one that is wrong: nothing is asked of it."""
    _, (score,) = judged(shot(40), shot(160), shot(5))

    assert score.outcome == "injected"


def test_photo_of_somebody_else_is_sent_back_and_it_is_said_how_to_insist() -> None:
    picture, (score,) = judged(shot(100), shot(80), shot(5))

    assert score.outcome == "uninjected"
    assert score.sure is not None
    assert score.sure < TOLD
    assert "somebody else" in score.reason
    assert "identity gate off or report" in score.reason
    assert red_at(picture, LEFT) == 80


def test_guessed_needs_evidence_for_told_only_none_against() -> None:
    """At 75 degrees it could be either."""
    guessed = replace(LEFT, guessed=True)

    _, (told_score,) = judged(shot(75), shot(75), shot(20))
    _, (guessed_score,) = judged(shot(75), shot(75), shot(20), (guessed,))

    assert told_score.sure == guessed_score.sure
    assert TOLD <= (told_score.sure or 0) < GUESSED
    assert (told_score.outcome, guessed_score.outcome) == ("injected", "uninjected")


def test_a_guess_needs_more_the_smaller_the_face_is() -> None:
    needed = [least_score(True, eyes) for eyes in (20.0, 8.0, 7.9, 5.0, 4.9)]
    assert needed == sorted(needed)
    assert needed[0] == needed[1] == GUESSED < needed[2] == needed[3] < needed[4] < 1
    assert least_score(False, 3.0) == least_score(False, 20.0) == TOLD


def test_the_reason_says_that_the_face_is_small() -> None:
    small = replace(face_at(80, 80, 4 * 4.0), identity="Ada", guessed=True)  # 4 px in the input

    _, (score,) = judged(shot(75), shot(75), shot(20), (small,))

    assert score.outcome == "uninjected"
    assert "eyes are 4 px apart" in score.reason


@pytest.mark.parametrize("embedder", ["angle", "dlib_resnet_v1"])
def test_score_rises_with_each_evidence(embedder: str) -> None:
    quality = Quality(12.0, 0.02)
    cosines = [calibration_of(embedder).different, calibration_of(embedder).same]
    alike = [photo_score(Evidence(value, 0.0, quality), embedder) for value in (-1.0, *cosines, 1.0)]
    explained = [photo_score(Evidence(cosines[0], value, quality), embedder) for value in (-0.2, -0.02, 0.0, 0.02)]

    assert alike == sorted(alike)
    assert explained == sorted(explained)
    assert all(0 <= each <= 1 for each in (*alike, *explained))
    assert alike[1] < TOLD < GUESSED < alike[2]


def test_result_that_does_not_explain_the_input_speaks_against_the_photo() -> None:
    """The same likeness; the injected picture has its stripes the other way round, which a guess does not survive."""
    faces = (replace(LEFT, guessed=True),)
    columns = torch.arange(WIDTH) // 24 % 2
    stripes = shot(66) + 0.1 * torch.stack([torch.zeros(WIDTH), columns, columns])[:, None]

    _, (same,) = judged(stripes, stripes, stripes, faces)
    _, (other,) = judged(stripes, stripes, shot(66) + 0.1 - (stripes - shot(66)), faces)

    assert same.evidence is not None
    assert other.evidence is not None
    assert same.evidence.explained == pytest.approx(0, abs=1e-6)
    assert other.evidence.explained < -0.5
    assert (same.outcome, other.outcome) == ("injected", "uninjected")


def test_face_that_the_recogniser_makes_nothing_of() -> None:
    """Told, the photo is used."""
    unseen = shot(30, unseen=True)

    _, (told,) = judged(unseen, shot(31), shot(32))

    assert told.evidence is not None
    assert told.evidence.cosine is None
    assert told.before is None
    assert told.change == "? -> ?"
    assert told.outcome == "injected"
    assert told.sure is not None
    assert told.sure >= TOLD


def test_model_or_person_without_a_photo_is_only_scored() -> None:
    _, (nothing_injected,) = judged(shot(30), shot(50), None)
    _, (no_photo,) = judged(shot(30), shot(50), shot(20), people=[Known(direction(0))])

    for score in (nothing_injected, no_photo):
        assert score.outcome == "uninjected"
        assert score.reason == ""
        assert score.sure is None


def test_one_face_falls_back_and_the_other_stays() -> None:
    injected = shot(5, 10)

    picture, (left, right) = judged(shot(100, 30), shot(80, 20), injected, (LEFT, RIGHT))

    assert (left.outcome, right.outcome) == ("uninjected", "injected")
    assert red_at(picture, LEFT) == 80
    assert red_at(picture, RIGHT) == 10
    outside = region(LEFT, *ALL) == 0
    assert torch.equal(torch.where(outside, picture, 0), torch.where(outside, injected, 0))


def test_neighbours_share_the_pixels_between_them() -> None:
    """The one that falls back does not take the middle of the other along."""
    two = (LEFT, NEIGHBOUR)
    picture, (left, right) = judged(shot(100, 85), shot(80, 80), shot(5, 5), two, people=[ADA, person(80)])

    assert (left.outcome, right.outcome) == ("uninjected", "injected")
    assert red_at(picture, LEFT) > 70
    assert red_at(picture, NEIGHBOUR) < 15


@pytest.mark.parametrize("faces", [(LEFT,), (LEFT, NEIGHBOUR)])
def test_seam_is_smooth(faces: tuple[Face, ...]) -> None:
    """From the uninjected to the injected picture, 75 degrees apart, no two neighbours differ by more than the ramp."""
    picture, scores = judged(shot(100, 85), shot(80, 80), shot(5, 5), faces)

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

    picture, (score,) = judged(shot(100), shot(80), injected, mode="report")
    _, (good,) = judged(shot(30), shot(50), shot(20), mode="report")

    assert torch.equal(picture, injected)
    assert score.outcome == "injected"
    assert "set to report, changed nothing" in score.reason
    assert good.reason == ""


def test_off_scores_nothing() -> None:
    injected = shot(5)

    picture, scores = judged(shot(80), shot(80), injected, mode="off")

    assert picture is injected
    assert scores == ()


def test_faces_of_nobody_known_are_left_alone() -> None:
    injected = shot(5, 5)

    picture, scores = judged(shot(80, 80), shot(80, 80), injected, (LEFT, RIGHT), people=())

    assert picture is injected
    assert scores == ()


def test_final_score_is_of_the_final_picture_and_shown_from_0_to_1() -> None:
    """`alike(25)` is 1.39 on the scale."""
    before = shot(60)
    candidates = Candidates(before[..., ::4, ::4], before, shot(50), shot(20), (LEFT, RIGHT))
    people = {0: ADA}
    _, faces = gate(candidates, people, AngleAnalyzer())
    final = torch.nn.functional.interpolate(shot(25), scale_factor=2)
    larger = [face.scaled(2, 2) for face in faces]

    known, nobody = scored_after(final, larger, people, AngleAnalyzer())

    scores = scores_of(known)
    assert scores is not None
    assert scores.after == pytest.approx(alike(25))
    assert scores.change == f"{alike(60):.2f} -> 1.00"
    assert str(scores).startswith(f"identity {alike(60):.2f} -> 1.00, without the reference {alike(50):.2f}, photo ")
    assert str(scores).endswith(": restored with the reference")
    assert scores_of(nobody) is None
