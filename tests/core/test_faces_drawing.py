"""Pictures that show what was found: where something is drawn, and that words are there and fit."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from headsup_core.faces import NOBODY, Face, IdentityScore
from headsup_core.faces.drawing import COLOURS, MARKS, TILE, Card, annotate, comparison, contact_sheet, score_label

POINTS = torch.tensor([[90.0, 80.0], [130.0, 80.0], [110.0, 100.0], [95.0, 120.0], [125.0, 120.0]])
FACE = Face((70.0, 50.0, 150.0, 150.0), POINTS, 0.87)


def coloured(image: torch.Tensor, colour: tuple[int, int, int]) -> torch.Tensor:
    """Where an image `[1,3,H,W]` has exactly a colour."""
    wanted = torch.tensor(colour).view(3, 1, 1)
    return ((image[0] * 255).round() == wanted).all(0)


def test_face_is_outlined_in_place() -> None:
    picture = torch.full((1, 3, 400, 500), 0.5)

    drawn = annotate(picture, [FACE])

    found = coloured(drawn, COLOURS[0])
    assert drawn.shape == picture.shape
    assert found[50:151, 70].float().mean() > 0.9  # the left side of the box
    assert found[150, 70:151].float().mean() > 0.9
    assert all(found[int(y), int(x)] for x, y in POINTS)
    changed = (drawn - picture).abs().amax((0, 1)) > 0.01  # more than 8 bits round off
    assert not changed[200:].any()
    assert changed[:50].any()  # the label, above the box
    assert torch.equal(picture, torch.full((1, 3, 400, 500), 0.5))


def test_no_face_changes_nothing() -> None:
    picture = torch.rand(1, 3, 400, 500).mul(255).round() / 255

    torch.testing.assert_close(annotate(picture, []), picture, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("size", "enlarged"), [((1, 1), (384, 384)), ((100, 50), (400, 200)), ((400, 2), (400, 2))])
def test_tiny_pictures_are_enlarged(size: tuple[int, int], enlarged: tuple[int, int]) -> None:
    assert annotate(torch.zeros(1, 3, *size), [FACE]).shape[-2:] == enlarged


def test_labels_of_neighbours_do_not_cover_each_other() -> None:
    """Five faces in a row: of each as much label is seen."""
    left = [40.0 + 90 * number for number in range(5)]
    row = [Face((x, 150, x + 80, 250), POINTS + torch.tensor([x - 70, 100]), 0.9) for x in left]

    drawn = annotate(torch.zeros(1, 3, 400, 520), row)

    seen = [int(coloured(drawn, COLOURS[index]).sum()) for index in range(len(row))]
    assert min(seen) > 0.8 * max(seen)


def test_name_and_scores_are_written() -> None:
    score = IdentityScore(0.62, 0.7, 0.75, 0.9, 0.744, "injected")
    known = replace(FACE, identity="Ada", scores=score)
    lost = IdentityScore(None, None, None, None, None, "unscored", "too small")

    assert score_label(3, known) == "3: Ada\n0.62 -> 0.74\nwith reference"
    assert score_label(0, replace(known, scores=replace(score, outcome="enlarged"))).endswith("only enlarged")
    assert score_label(0, replace(known, scores=lost)) == "0: Ada\nnot scored"
    assert score_label(0, replace(FACE, identity="A" * 20)) == f"0: {'A' * 14}..."
    assert score_label(1, FACE) == "1: unknown"
    assert score_label(1, replace(FACE, identity=NOBODY)) == "1: nobody"


def test_label_is_drawn_in_any_letters() -> None:
    blank = torch.zeros(1, 3, 400, 500)

    drawn = [annotate(blank, [FACE], [label]) for label in ("0: Ada\n0.62 -> 0.74", "0: Ādä\n0.62 -> 0.74", "0: Ada")]

    assert not torch.equal(drawn[0], drawn[1])
    labels = [int(coloured(image, COLOURS[0])[:, 152:].sum()) for image in drawn]
    assert labels[0] > 1.5 * labels[2]  # two lines are higher than one


def test_sheet_has_a_tile_for_each_card() -> None:
    cards = [Card(torch.full((1, 3, 30, 20), 0.25), f"card {n}", "used", "good") for n in range(5)]

    sheet = contact_sheet(cards, columns=2)

    _, _, height, width = sheet.shape
    assert 2 * TILE < width < 2 * TILE + 60
    assert height > 3 * TILE
    assert coloured(sheet, (64, 64, 64)).sum() > 5 * 0.6 * TILE**2
    assert contact_sheet([]).shape[-1] > TILE


def test_long_words_make_the_sheet_higher_not_wider() -> None:
    short = contact_sheet([Card(None, "a", "few words")])
    long = contact_sheet([Card(None, "a" * 100, "many words " * 30 + "b" * 200)])

    assert long.shape[-1] == short.shape[-1]
    assert long.shape[-2] > short.shape[-2] + 100
    background = long[..., 0, 0]
    assert (long[:, :, 6:, -2:] == background[..., None, None]).all()  # no letter reaches the border


def test_names_in_other_letters_are_drawn() -> None:
    blank = contact_sheet([Card(None, "")])

    named = contact_sheet([Card(None, "Ümläut 陈")])

    assert not torch.equal(named, blank)


def test_verdict_has_its_colour() -> None:
    sheet = comparison(Card(None, "a"), Card(None, "b"), "different people", "bad")

    assert coloured(sheet, MARKS["bad"]).sum() > 100
    assert not coloured(sheet, MARKS["good"]).any()
