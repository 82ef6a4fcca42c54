"""Who is who: the optimal assignment, what wins over it, and what it says."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import cast

import pytest
import torch
from harness.faces import face_at
from harness.people_stubs import BLUE, GREEN, RED, ColourAnalyzer, faces_of, paint, person
from harness.refusals import raises_naming

import headsup_core as hu
from headsup_core.faces import NOBODY, Face, Faces
from headsup_core.identity.assignment import assign, default_threshold, match, similarities
from headsup_core.identity.equal_quality.photo_score import ASSUMED, WEIGHTS, Weights, too_close
from headsup_core.identity.overrides import with_overrides

LEFT, RIGHT = face_at(20, 24, 10), face_at(60, 24, 10)
PEOPLE = (person("Ada", RED), person("Grace", GREEN))
GREY = torch.full((1, 3, 48, 80), 0.5)


def painted(left: tuple[float, ...], right: tuple[float, ...]) -> torch.Tensor:
    return paint(paint(GREY, LEFT, left), RIGHT, right)


def best_by_trying(scores: torch.Tensor, threshold: float) -> float:
    """The largest sum of (score - threshold) over all one-to-one assignments, each face alone or with one person."""
    faces, people = scores.shape
    best = 0.0
    for choice in itertools.product([None, *range(people)], repeat=faces):
        taken = [who for who in choice if who is not None]
        if len(set(taken)) < len(taken):
            continue
        pairs = [float(scores[face, who]) - threshold for face, who in enumerate(choice) if who is not None]
        if all(gain >= 0 for gain in pairs):
            best = max(best, sum(pairs))
    return best


@pytest.mark.parametrize("seed", range(12))
def test_match_is_the_best_of_all_assignments(seed: int) -> None:
    random = torch.Generator().manual_seed(seed)
    faces, people = 1 + seed % 4, 1 + (seed // 3) % 4
    scores = torch.rand(faces, people, generator=random)
    found = match(scores, 0.4)
    taken = [who for who in found if who is not None]
    assert len(set(taken)) == len(taken)
    gains = [float(scores[face, who]) - 0.4 for face, who in enumerate(found) if who is not None]
    assert min(gains, default=0) >= 0
    assert sum(gains) == pytest.approx(best_by_trying(scores, 0.4))


def test_greedy_would_be_wrong() -> None:
    """The most alike pair is (0, 0), but then face 1 has nobody."""
    scores = torch.tensor([[0.9, 0.8], [0.85, 0.1]])
    assert match(scores, 0.4) == [1, 0]
    assert match(scores, 0.88) == [0, None]
    assert match(scores - 1, 0.4) == [None, None]


def test_better_view_counts_for_each_pair() -> None:
    def seen(*vectors: tuple[float, ...]) -> list[Face]:
        return [replace(LEFT, embedding=torch.nn.functional.normalize(torch.tensor(v), dim=0)) for v in vectors]

    people = [torch.tensor(RED), torch.tensor(GREEN)]
    scores = similarities([seen((1.0, 0.0, 0.0)), seen((0.6, 0.8, 0.0))], people, "colour")
    assert torch.allclose(scores, torch.tensor([[1.0 / 0.65, 0.8 / 0.65]]).double())


def test_each_face_gets_its_person_in_every_picture_of_a_batch() -> None:
    batch = torch.cat([painted(RED, GREEN), painted(GREEN, RED), painted(BLUE, RED)])
    named, decided = assign(batch, Faces(((LEFT, RIGHT),) * 3, 48, 80), PEOPLE, ColourAnalyzer())
    assert [[face.identity for face in found] for found in named] == [
        ["Ada", "Grace"],
        ["Grace", "Ada"],
        [None, "Ada"],
    ]
    assert decided[0][0].score == pytest.approx(1 / 0.65, abs=1e-4)
    assert named[0][0].identity_score == decided[0][0].score
    assert str(decided[2][0]) == "face 0: nobody, most like Ada 0.00"
    assert str(decided[0][1]).startswith("face 1: Grace (score 1.00, 1 = two good photos), next Ada 0.00")
    assert default_threshold("colour") == 0.4


def test_one_face_and_one_person_are_told_and_what_was_found_stays_guessed() -> None:
    """The only face is the only person's, though nobody is alike; one of two has to be recognised."""
    picture = paint(GREY, LEFT, GREEN)
    ada = PEOPLE[:1]

    alone, (only,) = assign(picture, faces_of(picture, LEFT), ada, ColourAnalyzer())
    among, (found,) = assign(paint(picture, RIGHT, RED), faces_of(picture, LEFT, RIGHT), ada, ColourAnalyzer())
    again, _ = assign(paint(picture, RIGHT, RED), among, ada, ColourAnalyzer())
    forbidden = faces_of(picture, replace(LEFT, identity=NOBODY))
    corrected = with_overrides(among, "1=Ada", ["Ada"])

    assert (alone[0][0].identity, alone[0][0].guessed, only[0].only) == ("Ada", False, True)
    assert "the only face and the only person" in str(only[0])
    assert [face.identity for face in among[0]] == [None, "Ada"]
    assert (among[0][1].guessed, found[1].only, again[0][1].guessed) == (True, False, True)
    assert not corrected[0][1].guessed
    assert assign(picture, forbidden, ada, ColourAnalyzer())[0][0][0].identity == NOBODY


def test_given_names_win_and_nobody_holds() -> None:
    picture = painted(RED, RED)
    given = faces_of(picture, replace(LEFT, identity="Grace"), RIGHT)
    named, decided = assign(picture, given, PEOPLE, ColourAnalyzer())
    assert [face.identity for face in named[0]] == ["Grace", "Ada"]
    assert decided[0][0].given
    assert decided[0][0].score == pytest.approx(0, abs=1e-4)

    forbidden = faces_of(picture, replace(LEFT, identity=NOBODY), replace(RIGHT, identity="Somebody else"))
    named, decided = assign(picture, forbidden, PEOPLE, ColourAnalyzer())
    assert [face.identity for face in named[0]] == [NOBODY, "Somebody else"]
    assert str(decided[0][0]).startswith("face 0: nobody as given, most like Ada 1.00")
    assert forbidden[0][0].embedding is None, "the input is as it was"


def test_face_between_two_people_is_neither_unless_one_of_them_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Yellow is as far from red as from green; orange is nearer to red."""
    monkeypatch.setitem(cast("dict[str, Weights]", WEIGHTS), "colour", ASSUMED)
    yellow, orange = (1.0, 1.0, 0.0), (1.0, 0.6, 0.0)

    (torn,) = assign(*alone(yellow), PEOPLE, ColourAnalyzer())[1]
    (near,) = assign(*alone(orange), PEOPLE, ColourAnalyzer())[1]
    beside = painted(yellow, GREEN)
    named, _ = assign(beside, faces_of(beside, LEFT, RIGHT), PEOPLE, ColourAnalyzer())

    assert (torn[0].identity, torn[0].guessed, set(torn[0].torn)) == (None, False, {"Ada", "Grace"})
    assert set(torn[0].others) == {"Ada", "Grace"}
    assert all(name in str(torn[0]) for name in torn[0].torn)
    assert (near[0].identity, near[0].torn) == ("Ada", ())
    assert [face.identity for face in named[0]] == ["Ada", "Grace"]


def alone(colour: tuple[float, ...]) -> tuple[torch.Tensor, Faces]:
    """A picture with one face, and that face."""
    picture = paint(GREY, LEFT, colour)
    return picture, faces_of(picture, LEFT)


@pytest.mark.parametrize(("score", "following", "close"), [(0.5, 0.45, True), (0.5, 0.4, False), (0.9, 0.88, True)])
def test_odds_say_whether_two_scores_are_too_close(score: float, following: float, close: bool) -> None:
    """0.5 are odds of 1, 0.45 of 0.82, 0.4 of 0.67; 0.9 of 9 and 0.88 of 7.3: at least 1.3 times as many are needed."""
    assert too_close(score, following) is close


def test_without_people_or_faces_nothing_is_embedded() -> None:
    picture = painted(RED, GREEN)
    named, decided = assign(picture, faces_of(picture, LEFT), (), ColourAnalyzer())
    assert named[0][0].identity is None
    assert str(decided[0][0]) == "face 0: nobody"
    assert assign(picture, faces_of(picture), PEOPLE, ColourAnalyzer())[1] == ((),)


def test_the_enlargement_is_looked_at_too() -> None:
    """The small picture shows no colour; the large one does."""
    large = torch.nn.functional.interpolate(painted(RED, GREEN), scale_factor=2)
    small = faces_of(GREY, LEFT, RIGHT)
    assert [face.identity for face in assign(GREY, small, PEOPLE, ColourAnalyzer(), 0.95)[0][0]] == [None, None]
    named, _ = assign(GREY, small, PEOPLE, ColourAnalyzer(), 0.95, large)
    assert [face.identity for face in named[0]] == ["Ada", "Grace"]
    assert (named.height, named.width) == (48, 80)


def test_overrides() -> None:
    faces = Faces(((LEFT, RIGHT), (LEFT,)), 48, 80)
    changed = with_overrides(faces, " 0 = Ada; 1=nobody,", ["Ada", "Grace"])
    assert [[face.identity for face in found] for found in changed] == [["Ada", NOBODY], ["Ada"]]
    assert with_overrides(faces, " ", ["Ada"])[0][0].identity is None
    for text, named in (
        ("Ada", ("Ada", "index=name")),
        ("x=Ada", ("x=Ada",)),
        ("0=", ("0=",)),
        ("0=Bob", ("Bob", "Ada", "Grace")),
        ("0=Ada,1=Ada", ()),
        ("0=Ada,0=nobody", ()),
        ("2=Ada", ("2=Ada", 2, 0)),
    ):
        with raises_naming(hu.InputError, *named):
            with_overrides(faces, text, ["Ada", "Grace"])
    with pytest.raises(hu.InputError):
        with_overrides(faces_of(GREY), "0=Ada", ["Ada"])


def test_contradictions_are_refused() -> None:
    picture = painted(RED, GREEN)
    twice = faces_of(picture, replace(LEFT, identity="Ada"), replace(RIGHT, identity="Ada"))
    with raises_naming(hu.InputError, "Ada"):
        assign(picture, twice, PEOPLE, ColourAnalyzer())
    with raises_naming(hu.InputError, "Ada"):
        assign(picture, faces_of(picture, LEFT), (PEOPLE[0], PEOPLE[0]), ColourAnalyzer())
    with raises_naming(hu.InputError, 1, 2):
        assign(torch.cat([picture] * 2), faces_of(picture, LEFT), PEOPLE, ColourAnalyzer())
