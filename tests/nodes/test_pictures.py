"""IMAGE, MASK and CONDITIONING become the core's tensors and come back."""

from __future__ import annotations

import pytest
import torch
from comfyui_headsup.headsup_core import InputError
from comfyui_headsup.nodes.bridge.pictures import Canvas, Pictures, decodable, mask_planes, prompt_states
from harness.refusals import raises_naming


def test_rgba_is_taken_apart_and_put_together_again() -> None:
    image = torch.rand(2, 5, 7, 4)
    image[..., 3] = image[..., 3].clamp(min=0.1)  # nothing is hidden

    pictures = Pictures.from_image(image)
    canvas = Canvas(pictures, 5, 7)
    for index in range(2):
        canvas.put(index, pictures.one(index))

    assert pictures.rgb.shape == (2, 3, 5, 7)
    assert torch.equal(canvas.image, image)


def test_alpha_is_enlarged_with_the_picture() -> None:
    image = torch.full((1, 4, 4, 4), 0.25)
    canvas = Canvas(Pictures.from_image(image), 8, 12)

    canvas.put(0, torch.zeros(1, 3, 8, 12))

    assert canvas.image.shape == (1, 8, 12, 4)
    torch.testing.assert_close(canvas.image[..., 3], torch.full((1, 8, 12), 0.25))
    assert canvas.image[..., :3].abs().max() == 0


@pytest.mark.parametrize("hidden", [1.0, 0.5, float("nan")])
def test_hidden_colours_do_not_matter(hidden: float) -> None:
    image = torch.rand(2, 16, 12, 4)
    image[..., 3] = 1
    image[:, 4:9, 3:7] = torch.tensor([0.0, 0, 0, 0])
    other = image.clone()
    other[:, 4:9, 3:7, :3] = hidden

    rgb = [Pictures.from_image(one).rgb for one in (image, other)]

    assert torch.equal(rgb[0], rgb[1])
    assert rgb[0][:, :, 4:9, 3:7].min() > 0


def test_grey_becomes_three_equal_channels() -> None:
    image = torch.rand(1, 3, 4, 1)

    rgb = Pictures.from_image(image).rgb

    assert all(torch.equal(rgb[:, channel], image[..., 0]) for channel in range(3))


@pytest.mark.parametrize("shape", [(4, 4, 3), (1, 4, 4, 2), (1, 0, 4, 3), (0, 4, 4, 3)])
def test_other_shapes_are_refused_with_the_shape(shape: tuple[int, ...]) -> None:
    with raises_naming(InputError, shape):
        Pictures.from_image(torch.zeros(shape))


def test_undecodable_values_are_black() -> None:
    picture = torch.tensor([float("nan"), float("inf"), -float("inf"), 0.5, -1.0, 2.0], dtype=torch.float16)

    assert decodable(picture).tolist() == [0, 0, 0, 0.5, 0, 1]


def test_one_mask_serves_the_whole_batch() -> None:
    mask = torch.rand(1, 6, 5)

    planes = mask_planes(mask, 3)

    assert planes.shape == (3, 1, 6, 5)
    assert torch.equal(planes[2, 0], mask[0])
    assert torch.equal(mask_planes(mask[0], 3), planes)


@pytest.mark.parametrize("count", [2, 4])
def test_mask_of_another_batch_is_refused(count: int) -> None:
    with raises_naming(InputError, "mask", (count, 6, 5), 3):
        mask_planes(torch.zeros(count, 6, 5), 3)


def test_mask_with_nan_is_refused() -> None:
    with raises_naming(InputError, "NaN"):
        mask_planes(torch.full((1, 2, 2), float("nan")), 1)


def test_conditioning_gives_its_states() -> None:
    states = torch.rand(1, 154, 8)

    assert prompt_states([(states, {"pooled_output": None})]) is states


@pytest.mark.parametrize(
    ("shapes", "named"),
    [
        ([], (0,)),
        ([(1, 77, 8), (1, 77, 8)], (2, "[1, 77, 8]")),
        ([(1, 76, 8)], ("[1, 76, 8]", 77)),
        ([(2, 77, 8)], ("[2, 77, 8]",)),
        ([(1, 0, 8)], ("[1, 0, 8]",)),
    ],
)
def test_conditioning_that_is_not_one_prompt_is_refused(
    shapes: list[tuple[int, ...]], named: tuple[object, ...]
) -> None:
    with raises_naming(InputError, *named):
        prompt_states([(torch.zeros(shape), {}) for shape in shapes])
