"""Pictures that show what was found: where something is drawn, and that words are there and fit."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from harness.faces import face_at

from headsup_core.faces import NOBODY, Face
from headsup_core.faces.drawing import (
    COLOURS,
    MARKS,
    TILE,
    Card,
    annotate,
    comparison,
    contact_sheet,
    found_label,
)
from headsup_core.faces.labels import lay_out
from headsup_core.imaging.resizing import resize
from headsup_core.restoring.people.identity_score import IdentityScore, score_label, with_scores

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


def at_node_size(drawn: torch.Tensor, width: int = 300) -> torch.Tensor:
    """As a node shows it."""
    return resize(drawn, round(drawn.shape[-2] * width / drawn.shape[-1]), width, "area")


def height_of_words(place: torch.Tensor) -> int:
    """Rows of a label's ground `[3,h,w]` that hold dark letters."""
    return int((place.amax(0) < 0.6).any(1).sum())


@pytest.mark.parametrize("side", [512, 2048, 4096])
def test_label_can_be_read_at_node_size(side: int) -> None:
    """A capital letter is 9 px high or more, and the frame is 1 px wide or more, whatever the picture's size."""
    face = face_at(side / 2, side * 0.6, side / 12)

    drawn = at_node_size(annotate(torch.full((1, 3, side, side), 0.5), [face], ["H"]))

    middle = drawn[0, :, :, 300 // 2 - 60 : 300 // 2 + 60]
    yellow = (middle - torch.tensor(COLOURS[0]).view(3, 1, 1) / 255).abs().amax(0) < 0.15
    rows = yellow.sum(1)
    label_top = int(rows.nonzero()[0])
    label_bottom = int(min(row for row in range(label_top, 300) if rows[row] == 0 or rows[row] > 45))
    letters = middle[:, label_top:label_bottom]
    columns = yellow[label_top:label_bottom].any(0).nonzero()
    assert height_of_words(letters[:, 2:-2, int(columns[0]) + 2 : int(columns[-1]) - 1]) >= 9
    assert rows.max() > 45, "the frame's upper side"


@pytest.mark.parametrize("ground", [(0, 0, 0), (128, 128, 128), (255, 255, 255), COLOURS[0]])
def test_frame_shows_on_any_ground(ground: tuple[int, int, int]) -> None:
    """The frame has a dark and a bright line side by side."""
    drawn = annotate(torch.tensor(ground).view(1, 3, 1, 1).expand(1, 3, 400, 500) / 255, [FACE])

    left = drawn[0, :, 100, 60:75].mean(0)
    assert left.max() - left.min() > 0.4


def crowd(columns: int, rows: int, step: float, eyes: float) -> list[Face]:
    """Faces in rows, 2048 px wide."""
    return [
        face_at(150 + column * step, 150 + row * step, eyes * (1 + 0.2 * ((column + row) % 3 - 1)))
        for row in range(rows)
        for column in range(columns)
    ]


def test_forty_small_faces_stay_visible() -> None:
    """Each has its index, readable at node size, and no label hides more than a fifth of a face."""
    faces = crowd(8, 5, 245, 50)
    picture = torch.full((1, 3, 1300, 2048), 0.5)

    drawn = annotate(picture, faces)

    for index, face in enumerate(faces):
        x0, y0, x1, y1 = map(int, face.box)
        inner = coloured(drawn[..., y0 + 12 : y1 - 12, x0 + 12 : x1 - 12], (128, 128, 128))
        assert inner.float().mean() > 0.75, index  # the rest: labels and the dots on the landmarks


def test_labels_say_as_much_as_there_is_room_for() -> None:
    texts = [f"{n}: Ada Lovelace\nsame person" for n in range(16)]
    full = [(101.0 * (n % 4), 101.0 * (n // 4), 101.0 * (n % 4) + 100, 101.0 * (n // 4) + 100) for n in range(16)]

    wide = lay_out(texts[:2], [(100, 400, 300, 600), (1500, 400, 1700, 600)], (2048, 1300), 8, letters_of)
    tight = lay_out(texts, full, (404, 404), 4, letters_of)

    assert [label.text for label in wide] == texts[:2]
    assert [label.text for label in tight] == [str(n) for n in range(16)]


def letters_of(text: str, size: int) -> tuple[None, str, tuple[float, float, float, float]]:
    """As a font of equally wide letters measures."""
    lines = text.splitlines()
    return None, text, (0.0, 0.0, 0.6 * size * max(map(len, lines)), 1.2 * size * len(lines))


@pytest.mark.parametrize(("score", "word"), [(0.5, "doubtful"), (0.7, "likely"), (0.9, "sure"), (1.0, "sure")])
def test_detector_score_has_a_word(score: float, word: str) -> None:
    assert found_label(2, replace(FACE, score=score)) == f"2: {word} {score:.2f}\neyes 40 px"


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (0.5, 0.56, "more alike"),
        (0.5, 0.54, "as alike as before"),
        (0.5, 0.44, "less alike"),
        (None, 0.4, "not comparable"),
    ],
)
def test_change_of_identity_has_words(before: float | None, after: float, words: str) -> None:
    assert IdentityScore(before, None, None, after, "injected").change_in_words == words


def test_name_and_scores_are_written() -> None:
    score = IdentityScore(0.62, 0.7, 0.75, 0.744, "injected")
    known = with_scores(replace(FACE, identity="Ada"), score)
    lost = IdentityScore(None, None, None, None, "unscored", "too small")

    assert score_label(3, known) == "3: Ada\n0.62 -> 0.74\nmore alike\nwith reference"
    assert score_label(0, with_scores(known, replace(score, outcome="uninjected"))).endswith("no reference")
    assert score_label(0, with_scores(known, lost)) == "0: Ada\nnot scored"
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
