"""HeadsUpUpscale in the executor of ComfyUI."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from harness.executor import Executor, ExecutorResult
from harness.graph import Graph
from harness.images import picture


@dataclass(frozen=True)
class Upscaled:
    """What one upscale node gave: a list per output."""

    images: list[torch.Tensor]
    befores: list[torch.Tensor]
    reports: list[str]
    result: ExecutorResult


def upscale(executor: Executor, *images: torch.Tensor, mask: torch.Tensor | None = None, **inputs: Any) -> Upscaled:
    """Run images, as a list, through one upscale node."""
    graph = Graph()
    if mask is not None:
        inputs["mask"] = executor.values(graph, mask)
    node = graph.upscale(graph.load_model(), executor.values(graph, *images), **inputs)
    paths = [executor.record(graph, node[output]) for output in range(3)]
    result = executor.run(graph)
    assert result.status == "success", result.complaint
    return Upscaled(*map(executor.recorded, paths), result=result)


@pytest.mark.every_comfyui
def test_batch_is_four_times_as_large_and_restored(executor: Executor) -> None:
    out = upscale(executor, picture(40, 56, batch=2))

    (image,), (before,), (report,) = out.images, out.befores, out.reports
    assert image.shape == before.shape == (2, 160, 224, 3)
    assert image.dtype == before.dtype == torch.float32
    assert image.min() >= 0
    assert image.max() <= 1
    # restored, but the same picture: a smooth one must not change much
    assert not torch.equal(image, before)
    assert (image - before).abs().mean() < 0.1
    assert "256" in report
    assert "64" in report


def test_before_is_the_plain_resize(executor: Executor) -> None:
    flat = torch.full((1, 20, 30, 3), 0.25)
    flat[..., 1] = 0.75

    (before,) = upscale(executor, flat).befores

    torch.testing.assert_close(before, flat[:, :1, :1].expand(1, 80, 120, 3), rtol=0, atol=1e-5)


def test_strength_zero_is_the_plain_resize(executor: Executor) -> None:
    out = upscale(executor, picture(32, 48), strength=0.0)

    assert torch.equal(out.images[0], out.befores[0])


def test_strength_half_is_the_middle(executor: Executor) -> None:
    photo = picture(32, 48)

    full, half = upscale(executor, photo), upscale(executor, photo, strength=0.5)

    middle = (full.images[0] + full.befores[0]) / 2
    torch.testing.assert_close(half.images[0], middle, rtol=0, atol=1e-5)


@pytest.mark.every_comfyui
def test_mask_says_where_to_restore(executor: Executor) -> None:
    photo = picture(32, 48, batch=2)
    mask = torch.zeros(1, 128, 192)
    mask[..., 96:] = 1

    out, full = upscale(executor, photo, mask=mask), upscale(executor, photo)

    assert torch.equal(out.images[0][:, :, :96], out.befores[0][:, :, :96])
    torch.testing.assert_close(out.images[0][:, :, 96:], full.images[0][:, :, 96:], rtol=0, atol=1e-6)


def test_long_edge_gives_the_size(executor: Executor) -> None:
    out = upscale(executor, picture(30, 60), scale=0.0, long_edge=200)

    assert out.images[0].shape == (1, 100, 200, 3)


def test_megapixel_cap_holds(executor: Executor) -> None:
    out = upscale(executor, picture(200, 300), max_megapixels=0.25)

    _, height, width, _ = out.images[0].shape
    assert 0.2e6 < height * width <= 0.25e6
    assert height / width == pytest.approx(200 / 300, rel=0.01)
    assert "0.25" in out.reports[0]


@pytest.mark.every_comfyui
def test_same_seed_gives_the_same_bits(executor: Executor) -> None:
    photo = picture(70, 70)

    first, second = upscale(executor, photo, seed=7), upscale(executor, photo, seed=7)

    assert second.result.progress  # computed again, not taken from the cache
    assert torch.equal(first.images[0], second.images[0])
    assert first.result.random_state_untouched


@pytest.mark.every_comfyui
def test_list_of_different_sizes(executor: Executor) -> None:
    photos = [picture(24, 40), picture(50, 20, batch=2), picture(33, 33)]

    out = upscale(executor, *photos)

    assert [tuple(image.shape) for image in out.images] == [(1, 96, 160, 3), (2, 200, 80, 3), (1, 132, 132, 3)]
    assert len(out.reports) == 3


@pytest.mark.every_comfyui
def test_alpha_is_kept(executor: Executor) -> None:
    photo = torch.cat([picture(24, 24), torch.full((1, 24, 24, 1), 0.25)], dim=-1)

    (image,) = upscale(executor, photo).images

    assert image.shape == (1, 96, 96, 4)
    torch.testing.assert_close(image[..., 3], torch.full((1, 96, 96), 0.25), rtol=0, atol=1e-3)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (3, 200), (200, 2)])
def test_extreme_shapes(executor: Executor, height: int, width: int) -> None:
    (image,) = upscale(executor, picture(height, width)).images

    assert image.shape == (1, 4 * height, 4 * width, 3)
    assert torch.isfinite(image).all()


def test_prompt_text_changes_nothing_for_a_model_without_prompts(executor: Executor) -> None:
    photo = picture(32, 32)

    plain, prompted = upscale(executor, photo), upscale(executor, photo, prompt="a portrait")

    assert torch.equal(plain.images[0], prompted.images[0])
    assert "prompt" in prompted.reports[0].lower()


@pytest.mark.every_comfyui
def test_progress_shows_every_tile_with_a_preview(executor: Executor) -> None:
    out = upscale(executor, picture(64, 64), tile=128, overlap=32)

    values = [value for _, value, _, _ in out.result.progress]
    totals = {total for _, _, total, _ in out.result.progress}
    assert values == sorted(values)
    assert max(values) == max(totals)
    assert max(totals) >= 9  # 256 px: three tiles of 128 px each way
    assert any(preview for *_, preview in out.result.progress)
