"""Which of a person's photos is taken for a face."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from headsup_core.faces.alignment import FFHQ_512
from headsup_core.faces.face import Face
from headsup_core.identity import Identity
from headsup_core.identity.photo_choice import choose_photo, shape_of


def drawn(*, mouth: float = 0.3, glasses: bool = False, lit_from: str = "left") -> torch.Tensor:
    """An aligned face `[1,3,512,512]`: a lit oval, eyes, a mouth that is open by a share, perhaps spectacles."""
    x = torch.linspace(0, 1, 512)
    light = 0.35 + 0.4 * (1 - x if lit_from == "left" else x)
    grey = light.expand(512, 512).clone()
    for ex, ey in FFHQ_512[:2].round().long().tolist():
        grey[ey - 10 : ey + 10, ex - 22 : ex + 22] -= 0.3
        if glasses:
            grey[ey - 46 : ey - 34, ex - 60 : ex + 60] -= 0.35
            grey[ey + 34 : ey + 46, ex - 60 : ex + 60] -= 0.35
    height = round(10 + 60 * mouth)
    grey[380 - height // 2 : 380 + height // 2, 205:310] -= 0.3
    return grey.clamp(0, 1).expand(1, 3, 512, 512)


def turned(share: float) -> torch.Tensor:
    """Landmarks of a head that is turned: the nose moves to a side."""
    points = FFHQ_512.clone()
    points[2, 0] += share * 126
    return points


def in_picture(aligned: torch.Tensor, eyes: float, landmarks: torch.Tensor = FFHQ_512) -> tuple[torch.Tensor, Face]:
    """A degraded picture of the face with its eyes so many pixels apart, and the face in it."""
    side = round(512 * eyes / 126)
    small = F.interpolate(aligned, size=(side, side), mode="area")
    noise = 0.03 * torch.randn(small.shape, generator=torch.Generator().manual_seed(7))
    points = (landmarks + 0.5) * side / 512 - 0.5
    return (small + noise).clamp(0, 1), Face((0.0, 0.0, side - 1.0, side - 1.0), points, 1.0)


def person(*crops: torch.Tensor) -> Identity:
    return Identity("Ada", {}, torch.cat(crops))


def all_frontal(crops: torch.Tensor) -> torch.Tensor:
    return FFHQ_512.expand(len(crops), 5, 2)


PLAIN, OPEN, SPECTACLED, OTHER_LIGHT = drawn(), drawn(mouth=1.0), drawn(glasses=True), drawn(lit_from="right")


@pytest.mark.parametrize("eyes", [40.0, 9.0, 6.0])
@pytest.mark.parametrize(
    ("shown", "word"), [(OPEN, "expression"), (SPECTACLED, "glasses"), (OTHER_LIGHT, "light")], ids=["o", "g", "l"]
)
def test_the_photo_that_looks_like_the_face_is_taken(shown: torch.Tensor, word: str, eyes: float) -> None:
    picture, face = in_picture(shown, eyes)
    others = [each for each in (OPEN, SPECTACLED, OTHER_LIGHT) if each is not shown]
    choice = choose_photo(person(PLAIN, others[0], shown, others[1]), face, picture, all_frontal)
    assert choice.index == 2
    assert choice.reason.startswith("photo 3 of 4")
    assert word in choice.reason
    assert len(choice.differences) == 4


def test_the_photo_of_the_nearest_pose_is_taken() -> None:
    poses = [turned(0.0), turned(-0.3), turned(0.3)]
    picture, face = in_picture(PLAIN, 12.0, turned(0.25))
    choice = choose_photo(person(PLAIN, PLAIN, PLAIN), face, picture, lambda _: torch.stack(poses))
    assert choice.index == 2
    assert "pose" in choice.reason
    assert choice.differences[2][0] < choice.differences[0][0] < choice.differences[1][0]


def test_the_best_photo_stays_where_none_is_nearer() -> None:
    picture, face = in_picture(PLAIN, 9.0)
    choice = choose_photo(person(PLAIN, PLAIN * 0.98, OPEN), face, picture, all_frontal)
    assert choice.index == 0
    assert "the best one" in choice.reason
    assert choose_photo(person(OPEN), face, picture).index == 0
    assert choose_photo(Identity("Ada", {}, torch.zeros(0, 3, 512, 512)), face, picture).reason == ""


def test_shape_forgets_place_size_and_tilt() -> None:
    points = turned(0.2)
    angle = torch.tensor(0.4)
    turn = torch.stack([torch.stack([angle.cos(), -angle.sin()]), torch.stack([angle.sin(), angle.cos()])])
    moved = 0.3 * points @ turn.T + torch.tensor([40.0, -7.0])
    assert torch.allclose(shape_of(points), shape_of(moved), atol=1e-4)
    assert float((shape_of(points) - shape_of(FFHQ_512)).norm(dim=1).max()) > 0.1
