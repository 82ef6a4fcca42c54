"""What IDFSR sees of a picture."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from headsup_core.faces.alignment import paste, template, transform_points
from headsup_core.faces.face import Face
from headsup_core.idfsr.conditioning import compose, cut_face, see


def placed(eyes: float, centre: tuple[float, float], angle: float = 0.0) -> Face:
    """A face on the FFHQ template, `eyes` px between its eyes, turned by `angle` about `centre`."""
    points = (template("ffhq", 512) - template("ffhq", 512).mean(0)) * (eyes / 126)
    turn = torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    landmarks = points @ turn.T + torch.tensor(centre)
    x, y = landmarks.unbind(1)
    return Face((float(x.min()), float(y.min()), float(x.max()), float(y.max())), landmarks, 0.9, identity="Ada")


def waves(height: int, width: int) -> torch.Tensor:
    y, x = torch.meshgrid(torch.arange(height).float(), torch.arange(width).float(), indexing="ij")
    return torch.stack([0.5 + 0.3 * torch.sin(x / 9), 0.5 + 0.3 * torch.cos(y / 11), (x + y) / (height + width)])[None]


@pytest.mark.parametrize(("eyes", "angle"), [(40.0, 0.0), (31.0, 0.4), (20.0, -0.7), (90.0, 0.2)])
def test_a_face_is_cut_upright_and_goes_back_where_it_was(eyes: float, angle: float) -> None:
    picture = waves(300, 260)
    face = placed(eyes, (130.0, 150.0), angle)
    cut = cut_face(picture, face, 64)
    assert (cut.face.landmarks - template("ffhq", 64)).abs().max() < 1e-2
    assert cut.face.identity == "Ada"
    # what lies at a landmark in the picture lies at it in the crop
    for (x, y), (u, v) in zip(face.landmarks.tolist(), cut.face.landmarks.tolist(), strict=True):
        assert at(cut.picture, u, v) == pytest.approx(at(picture, x, y), abs=0.02)
    pasted = paste(picture, cut.picture, cut.matrix, torch.ones(1, 1, 64, 64))
    assert (pasted - picture).abs().max() < 0.08
    y, x = torch.meshgrid(torch.arange(300).float(), torch.arange(260).float(), indexing="ij")
    inside = transform_points(cut.matrix, torch.stack([x, y], dim=-1).flatten(0, 1))
    beyond = ((inside < -1.5) | (inside > 64.5)).any(1).view(300, 260)
    assert torch.equal(pasted[0][:, beyond], picture[0][:, beyond])
    if eyes < 50:
        assert beyond.float().mean() > 0.1


def at(picture: torch.Tensor, x: float, y: float) -> list[float]:
    height, width = picture.shape[-2:]
    grid = torch.tensor([[[[(2 * x + 1) / width - 1, (2 * y + 1) / height - 1]]]])
    return F.grid_sample(picture, grid, mode="bilinear", align_corners=False).flatten().tolist()


def test_a_small_face_is_enlarged_as_the_training_enlarges() -> None:
    """A picture that is the LR of an aligned face: the crop is its bicubic enlargement."""
    low = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    face = Face((0.0, 0.0, 15.0, 15.0), template("ffhq", 16), 1.0)
    enlarged = F.interpolate(low, size=(64, 64), mode="bicubic", align_corners=False, antialias=True).clamp(0, 1)
    assert torch.allclose(cut_face(low, face, 64).picture, enlarged, atol=1e-4)


@pytest.mark.parametrize("centre", [(-200.0, 10.0), (30.0, 900.0), (0.0, 0.0), (63.0, 31.0)])
def test_faces_at_or_beyond_the_border_are_cut(centre: tuple[float, float]) -> None:
    cut = cut_face(waves(32, 64), placed(15.0, centre), 64)
    assert cut.picture.shape == (1, 3, 64, 64)
    assert bool(cut.picture.isfinite().all())


def test_the_lr_shows_around_the_face_and_the_reference_on_it() -> None:
    face = Face((0.0, 0.0, 63.0, 63.0), template("ffhq", 64), 1.0)
    low, reference = torch.full((1, 3, 64, 64), 0.2), torch.full((1, 3, 128, 128), 0.9)
    seen = see(low, face, reference)
    on, off = seen.mask[0, 0] == 1, seen.mask[0, 0] == 0
    assert 0.1 < on.float().mean() < 0.5
    assert bool(on[40, 32])
    assert torch.allclose(seen.masked[0, :, on], torch.tensor(0.5))
    assert torch.allclose(seen.masked[0, :, off], torch.tensor(0.2))
    assert torch.allclose(seen.warped[0, :, on], torch.tensor(0.9))
    assert torch.allclose(seen.warped[0, :, off], torch.tensor(0.2))
    half = (seen.mask[0, 0] - 0.5).abs().argmin()
    share = seen.mask.flatten()[half]
    assert seen.warped[0, 0].flatten()[half] == pytest.approx(float(share * 0.9 + (1 - share) * 0.2), abs=1e-5)


def test_without_a_reference_the_face_is_empty_in_both() -> None:
    face = Face((0.0, 0.0, 63.0, 63.0), template("ffhq", 64), 1.0)
    seen = see(torch.rand(1, 3, 64, 64), face, None)
    assert torch.allclose(seen.warped, seen.masked)
    assert torch.allclose(seen.masked[0, :, seen.mask[0, 0] == 1], torch.tensor(0.5))


def test_an_unmasked_lr_is_left_as_it_is() -> None:
    low, mask = torch.rand(2, 3, 8, 8), torch.ones(2, 1, 8, 8)
    seen = compose(low, mask, torch.full((2, 3, 8, 8), 0.7), masked=False)
    assert torch.equal(seen.masked, low)
    assert torch.allclose(seen.warped, torch.tensor(0.7))
