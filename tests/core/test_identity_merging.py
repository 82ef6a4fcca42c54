from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from harness.refusals import raises_naming

from headsup_core import InputError
from headsup_core.identity import Identity, PhotoReport, merged
from headsup_core.identity.encoding import MAX_CROPS

ANALYZER: Any = SimpleNamespace(name="dlib", embedder_id="dlib_resnet_v1")
BASE = F.normalize(torch.randn(128, generator=torch.Generator().manual_seed(0)), dim=0)
OTHER = F.normalize(torch.randn(128, generator=torch.Generator().manual_seed(1)), dim=0)


def person(vector: torch.Tensor, *qualities: float, start: int = 1) -> Identity:
    """A crop's value is its photo's quality."""
    photos = tuple(PhotoReport(str(start + n), quality, True) for n, quality in enumerate(qualities))
    crops = torch.stack([torch.full((3, 512, 512), quality) for quality in sorted(qualities, reverse=True)])
    return Identity("Ada", {ANALYZER.embedder_id: vector}, crops, photos=photos)


def test_embedding_is_the_mean_over_all_photos() -> None:
    turned = F.normalize(BASE + 0.02 * OTHER, dim=0)

    both = merged(person(BASE, 0.9, 0.8), person(turned, 0.7, start=3), ANALYZER)

    expected = F.normalize(2 * BASE + turned, dim=0)
    torch.testing.assert_close(both.embeddings[ANALYZER.embedder_id], expected)
    assert [photo.photo for photo in both.photos] == ["1", "2", "3"]


def test_best_crops_are_kept() -> None:
    many = [0.5 + n / 100 for n in range(MAX_CROPS)]

    both = merged(person(BASE, *many), person(BASE, 0.9, 0.1, start=99), ANALYZER)

    values = both.crops[:, 0, 0, 0].tolist()
    assert len(values) == MAX_CROPS
    assert values == pytest.approx(sorted([*many, 0.9], reverse=True)[:MAX_CROPS])


def test_vectors_of_other_recognisers_stay() -> None:
    known = Identity("Ada", {**person(BASE, 0.9).embeddings, "sface": OTHER}, torch.zeros(0, 3, 512, 512))

    both = merged(known, person(BASE, 0.9), ANALYZER)

    assert torch.equal(both.embeddings["sface"], OTHER)
    assert len(both.crops) == 1


def test_somebody_else_is_refused() -> None:
    with raises_naming(InputError, "'Ada'"):
        merged(person(BASE, 0.9), person(OTHER, 0.9), ANALYZER)
