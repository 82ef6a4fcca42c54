"""Out of memory in the middle of a picture: it is begun again, and is what the smaller tiles give by themselves."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
import torch
from harness.faces import face_at
from harness.records import with_record
from harness.refusals import raises_naming

import headsup_core as hu
from headsup_core.faces import Faces
from headsup_core.imaging.published_tiles import PublishedTiles
from headsup_core.restoring.headsup_model import HeadsUpModel
from headsup_core.restoring.tiling.tiled_run import Tiling

HOST = hu.PlainHost("cpu", quiet=True)


def _picture(height: int, width: int, batch: int = 1) -> torch.Tensor:
    return torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(0))


@contextmanager
def _failing(owner: Any, name: str, at: int) -> Generator[list[int], None, None]:
    """Memory runs out at the call number `at` of a method; the sides of the tiles of all calls."""
    run: Callable[..., Any] = getattr(owner, name)
    seen: list[int] = []

    def failing(sample: torch.Tensor, *args: object, **others: object) -> Any:
        seen.append(sample.shape[-1])
        if len(seen) == at:
            raise torch.OutOfMemoryError
        return run(sample, *args, **others)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, name, failing)
        yield seen


def _tile_dependent(model: HeadsUpModel) -> HeadsUpModel:
    """What its UNet and its decoder give depends on the whole tile, as with large networks; its latents are drawn."""
    one_step = model.one_step
    codec: Any = one_step.codec
    decode, encode = codec.decode, codec.encode_posterior

    def unet(sample: torch.Tensor, *args: object, **others: object) -> tuple[torch.Tensor]:
        return (sample - sample.std((2, 3), keepdim=True),)

    def decoded(latent: torch.Tensor) -> torch.Tensor:
        values = decode(latent)
        return values - 0.3 * values.std((2, 3), keepdim=True)

    def encoded(picture: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        latent, _ = encode(picture)
        return latent, torch.full_like(latent, 0.05)

    one_step.unet.forward, codec.decode, codec.encode_posterior = unet, decoded, encoded
    return model


class Watched(hu.PlainHost):
    """Counts the steps of its last progress."""

    def __init__(self) -> None:
        super().__init__("cpu", quiet=True)
        self.total = self.done = 0

    def progress(self, total: int) -> Any:
        self.total, self.done = total, 0
        shown = super().progress(total)
        advance, grow = shown.advance, shown.grow

        def advanced(steps: int = 1, preview: torch.Tensor | None = None) -> None:
            self.done += steps
            advance(steps, preview)

        def grown(steps: int) -> None:
            self.total += steps
            grow(steps)

        shown.advance, shown.grow = advanced, grown
        return shown


@pytest.mark.parametrize(("part", "at"), [("encode_posterior", 11), ("forward", 12), ("decode", 17)])
@pytest.mark.parametrize("frames", [False, True])
def test_a_picture_is_of_one_tile_size_and_the_report_says_which(
    make_model: Any, part: str, at: int, *, frames: bool
) -> None:
    """Nine tiles a picture: memory runs out in the second of three."""
    model, image = _tile_dependent(make_model()), _picture(112, 112, 3)
    options: dict[str, Any] = {"scale": 1, "sample_posterior": True, "seed": 7, "frames": frames}
    large = hu.restore(image, model, host=HOST, tile=64, overlap=32, tile_batch=1, **options)
    assert large.report.tiles == 9
    host, owner = Watched(), model.one_step.unet if part == "forward" else model.one_step.codec
    with _failing(owner, part, at) as seen:
        result = hu.restore(image, model, host=host, tile=64, overlap=32, tile_batch=1, **options)
    assert len(seen) > at
    used = result.report.options
    assert (used.tile, used.seed) == (32, 7)
    small = hu.restore(image, model, used, host=HOST)
    assert torch.equal(result.image[:1], large.image[:1])
    assert torch.equal(result.image[1:], small.image[1:])
    assert not torch.allclose(small.image[1:], large.image[1:], atol=0.01), "the comparison can tell"
    told = [note for note in result.report.notes if "picture 2" in note]
    assert len(told) == 1
    assert "32" in told[0]
    assert frames or host.done == host.total


def test_a_face_in_its_own_tile_is_not_cut_to_pieces(make_model: Any) -> None:
    """Its tile does not fit into memory: the picture is begun again, with a smaller one for it, too."""
    model = _tile_dependent(make_model())
    model = HeadsUpModel(with_record(model.one_step, trained_eyes=(4, 16)))
    image, faces = _picture(96, 96), Faces(((face_at(48.0, 44.0, 32.0),),), 96, 96)
    with _failing(model.one_step.unet, "forward", at=5) as seen:
        result = hu.restore(image, model, scale=1, tile=64, overlap=16, tile_batch=1, faces=faces, host=HOST)
    assert seen[:5] == [14, 14, 14, 14, 16], "four tiles and the face's own"
    assert seen[-1] == 8
    small = hu.restore(image, model, result.report.options, faces=faces, host=HOST)
    assert small.report.tile == 32
    assert torch.equal(result.image, small.image)


def test_published_tiles_stay_published() -> None:
    published = PublishedTiles(16, 4, "centre", every_stage=True)
    tiling = Tiling(16, 4, 2, 4, 4, batch=2, published=published)
    single = tiling.smaller()
    assert single is not None
    half = single.smaller()
    assert half is not None
    assert half.published == replace(published, tile=8, overlap=4)
    assert half.plan(20, 30) == PublishedTiles(8, 4).plan(20, 30)


def test_failed_tensors_are_freed_before_it_begins_again(make_model: Any) -> None:
    """The traceback of the error must not hold what the first attempt had made."""
    model, held = make_model(), []

    class Looking(hu.PlainHost):
        def release_memory(self) -> None:
            held.append(kept() is not None)

    run = model.one_step.unet.forward
    kept: Callable[[], object] = lambda: None  # noqa: E731 - nothing was seen yet

    def failing(sample: torch.Tensor, *args: object, **others: object) -> Any:
        nonlocal kept
        if not held:
            kept = weakref.ref(sample)
            raise torch.OutOfMemoryError
        return run(sample, *args, **others)

    model.one_step.unet.forward = failing
    hu.restore(_picture(64, 64), model, scale=1, tile=64, overlap=16, host=Looking("cpu", quiet=True))
    assert held == [False]


class SmallMemory(hu.PlainHost):
    """Out of memory whenever a network sees more than `limit` latents at once."""

    def __init__(self, model: HeadsUpModel, limit: int) -> None:
        super().__init__("cpu", quiet=True)
        self.seen: list[int] = []
        run = model.one_step.unet.forward

        def forward(sample: torch.Tensor, *args: object, **others: object) -> tuple[torch.Tensor]:
            size = sample.shape[0] * sample.shape[-1] * sample.shape[-2]
            if size > limit:
                raise torch.OutOfMemoryError("DefaultCPUAllocator: can't allocate memory")
            self.seen.append(size)
            return run(sample, *args, **others)

        model.one_step.unet.forward = forward


def test_out_of_memory_halves_the_tile(make_model: Any) -> None:
    model, image = make_model(layers=2), _picture(128, 200)
    whole = hu.restore(image, model, scale=1, host=HOST)
    host = SmallMemory(model, limit=20 * 20)
    result = hu.restore(image, model, scale=1, tile=128, overlap=32, tile_batch=2, host=host)
    assert torch.allclose(result.image, whole.image, atol=1e-5)
    assert result.report.tile == 64
    assert result.report.tile_batch == 1
    assert "out of memory with tile 128: begun again with tile 64" in result.report.text()


def test_out_of_memory_for_good_says_so(make_model: Any) -> None:
    model = make_model(layers=1)
    with raises_naming(hu.InputError, "UNet", 32):
        hu.restore(_picture(64, 64), model, scale=1, tile=64, overlap=8, host=SmallMemory(model, limit=0))


def test_other_errors_are_not_taken_for_out_of_memory(make_model: Any) -> None:
    model = make_model(layers=1)

    def broken(*args: object, **others: object) -> None:
        raise RuntimeError("shape mismatch")

    model.one_step.unet.forward = broken
    with raises_naming(RuntimeError, "shape mismatch"):
        hu.restore(_picture(16, 16), model, scale=1, host=HOST)
