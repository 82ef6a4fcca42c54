"""Alignment against OpenCV and scikit-image, and its gradient."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from harness.refusals import raises_naming

from headsup_core.errors import InputError
from headsup_core.faces.alignment import (
    ARCFACE_112,
    FFHQ_512,
    align_matrix,
    crop,
    inverse,
    paste,
    similarity,
    template,
    transform_points,
    warp,
)


def _picture(height: int, width: int) -> torch.Tensor:
    small = torch.rand(1, 3, height // 6, width // 6, generator=torch.Generator().manual_seed(1))
    return torch.nn.functional.interpolate(small, size=(height, width), mode="bicubic").clamp(0, 1)


def _face(scale: float = 0.4, angle: float = 0.3, x: float = 70, y: float = 40, noise: float = 0.0) -> torch.Tensor:
    turn = torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    points = (FFHQ_512 - FFHQ_512.mean(0)) @ turn.T * scale + torch.tensor([x, y])
    return points + noise * torch.randn(5, 2, generator=torch.Generator().manual_seed(2))


def test_similarity_is_umeyamas() -> None:
    from skimage.transform import SimilarityTransform

    landmarks = _face(noise=4.0)
    expected = SimilarityTransform.from_estimate(landmarks.double().numpy(), FFHQ_512.double().numpy())
    found = similarity(landmarks, FFHQ_512)
    assert np.allclose(found.numpy(), expected.params[:2], rtol=1e-4, atol=1e-3)
    assert float(torch.det(found[:, :2])) > 0


def test_similarity_undoes_what_was_done() -> None:
    matrix = similarity(_face(0.37, -1.2), FFHQ_512)
    assert torch.allclose(transform_points(matrix, _face(0.37, -1.2)), FFHQ_512, atol=1e-3)
    assert torch.allclose(transform_points(inverse(matrix), FFHQ_512), _face(0.37, -1.2), atol=1e-3)


@pytest.mark.parametrize(("name", "size"), [("ffhq", 512), ("ffhq", 128), ("arcface", 112), ("arcface", 224)])
def test_crop_is_warp_affine(name: str, size: int) -> None:
    import cv2

    image = _picture(90, 150)
    matrix = align_matrix(_face(), size, name)  # type: ignore[arg-type]
    found = crop(image, matrix, size, antialias=False)[0].permute(1, 2, 0).numpy()
    source = np.ascontiguousarray(image[0].permute(1, 2, 0).numpy())
    # OpenCV rounds positions to 1/32 px, which the smooth picture turns into less than 1/100 of the range
    expected = cv2.warpAffine(
        source, matrix.numpy(), (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    assert np.abs(found - expected).max() < 0.02
    assert np.abs(found - expected).mean() < 0.002


def test_crop_is_skimages_warp() -> None:
    from skimage.transform import SimilarityTransform
    from skimage.transform import warp as skimage_warp

    image = _picture(90, 150)
    matrix = align_matrix(_face(), 128)
    full = np.eye(3)
    full[:2] = matrix.double().numpy()
    expected = skimage_warp(
        image[0].permute(1, 2, 0).double().numpy(),
        SimilarityTransform(full).inverse,
        output_shape=(128, 128),
        order=1,
        mode="edge",
    )
    found = crop(image, matrix, 128, antialias=False)[0].permute(1, 2, 0).numpy()
    assert np.abs(found - expected).max() < 1e-3


def test_a_landmark_lands_on_its_place_in_the_template() -> None:
    image = torch.zeros(1, 1, 300, 300)
    landmarks = _face(1.0, 0.0, 150.4, 140.7)
    y, x = torch.meshgrid(torch.arange(300.0), torch.arange(300.0), indexing="ij")
    for point in landmarks:
        image[0, 0] += torch.exp(-((x - point[0]) ** 2 + (y - point[1]) ** 2) / (2 * 3.0**2))
    aligned = crop(image, align_matrix(landmarks, 256), 256)[0, 0]
    for wanted in template("ffhq", 256):
        cx, cy = (round(value) for value in wanted.tolist())
        window = aligned[cy - 6 : cy + 7, cx - 6 : cx + 7]
        ys, xs = torch.meshgrid(torch.arange(cy - 6.0, cy + 7), torch.arange(cx - 6.0, cx + 7), indexing="ij")
        centre = torch.stack([(window * xs).sum(), (window * ys).sum()]) / window.sum()
        assert torch.allclose(centre, wanted, atol=0.05)


def test_small_crop_of_a_fine_picture_skips_no_pixel() -> None:
    board = (torch.arange(400)[:, None] + torch.arange(400)).remainder(2).float().expand(1, 3, -1, -1)
    matrix = torch.tensor([[0.1, 0.0, 0.0], [0.0, 0.1, 0.0]])
    assert torch.allclose(crop(board, matrix, 40), torch.full((1, 3, 40, 40), 0.5), atol=0.02)
    assert float(crop(board, matrix, 40, antialias=False).max()) < 0.1  # every tenth square is black


def test_crop_has_the_gradient_of_the_pixels() -> None:
    image = torch.rand(1, 2, 12, 14, dtype=torch.float64, requires_grad=True)
    matrix = similarity(_face(0.02, 0.2, 7, 6), template("ffhq", 10)).double()
    assert torch.autograd.gradcheck(lambda pixels: crop(pixels, matrix, 10, antialias=False), (image,))
    reduced = matrix.clone() / 4
    assert torch.autograd.gradcheck(lambda pixels: crop(pixels, reduced, 4), (image,))


def test_paste_brings_a_crop_back_where_it_came_from() -> None:
    image = _picture(120, 160)
    matrix = align_matrix(_face(0.15, 0.3, 80, 60), 256)  # finer than the picture, so that nothing is lost
    aligned = crop(image, matrix, 256)
    mask = torch.zeros(1, 1, 256, 256)
    mask[..., 32:-32, 32:-32] = 1
    back = paste(torch.zeros_like(image), aligned, matrix, mask)
    # the mask's own edge is antialiased: 8 px of the crop, two of the picture
    inner, outer = torch.zeros_like(mask), torch.zeros_like(mask)
    inner[..., 40:-40, 40:-40] = outer[..., 24:-24, 24:-24] = 1
    covered = warp(inner, inverse(matrix), 120, 160, padding="zeros") > 0.999
    assert int(covered.sum()) > 1000
    difference = (back - image).abs() * covered
    assert float(difference.max()) < 0.03  # reduced 3.4 times in two steps, which softens a little
    assert float(difference.sum() / covered.sum() / 3) < 0.005
    outside = warp(outer, inverse(matrix), 120, 160, padding="zeros") == 0
    assert float((back.abs() * outside).max()) == 0
    assert torch.equal(paste(image, aligned, matrix, mask * 0), image)


def test_paste_beyond_the_border_changes_nothing_and_mutates_nothing() -> None:
    image = _picture(60, 60)
    kept = image.clone()
    far = align_matrix(_face(0.1, 0, 500, 500), 64)
    assert torch.equal(paste(image, torch.rand(1, 3, 64, 64), far, torch.ones(1, 1, 64, 64)), image)
    half_out = align_matrix(_face(0.1, 0, 0, 0), 64)
    pasted = paste(image, torch.ones(1, 3, 64, 64), half_out, torch.ones(1, 1, 64, 64))
    assert not torch.equal(pasted, image)
    assert torch.equal(image, kept)


def test_templates_are_the_published_ones() -> None:
    assert torch.allclose(template("arcface", 112), ARCFACE_112)
    assert torch.allclose(template("ffhq", 512), FFHQ_512)


def test_impossible_landmarks_are_refused() -> None:
    with raises_naming(InputError, 5, "landmarks"):
        similarity(torch.ones(5, 2), FFHQ_512)
    with raises_naming(InputError, "NaN"):
        similarity(torch.full((5, 2), float("nan")), FFHQ_512)
    with raises_naming(InputError, "(5, 3)"):
        similarity(torch.ones(5, 3), FFHQ_512)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_sampled_in_full(dtype: torch.dtype) -> None:
    image = _picture(900, 1500).to(dtype)
    for matrix in (align_matrix(_face(), 128), align_matrix(_face(4.0, 0.3, 700, 400), 128)):
        found = crop(image, matrix, 128)
        assert found.dtype == dtype
        assert float((found.float() - crop(image.float(), matrix, 128)).abs().max()) < 0.01


def test_small_paste_of_a_fine_crop_skips_no_pixel() -> None:
    stripes = torch.arange(512).remainder(2).float().expand(1, 3, 512, 512)
    matrix = torch.tensor([[8.0, 0.0, 0.0], [0.0, 8.0, 0.0]])
    pasted = paste(torch.zeros(1, 3, 64, 64), stripes, matrix, torch.ones(1, 1, 512, 512))
    assert torch.allclose(pasted[..., 2:-2, 2:-2], torch.full((1, 3, 60, 60), 0.5), atol=0.02)
