"""A photo at the quality of a face, what explains an input, and the rates and weights of the score."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch
from harness.faces import face_at
from harness.people import astronaut_photo, hanks
from harness.refusals import raises_naming

import headsup_core as hu
from headsup_core.benchmark.recognising.photo_evidence import PhotoOf, PhotoRecord
from headsup_core.benchmark.recognising.photo_rates import fitted, plot_rates, rates_table
from headsup_core.faces import load_face_analyzer
from headsup_core.faces.alignment import align_matrix, crop
from headsup_core.faces.face import Face
from headsup_core.identity.equal_quality.face_quality import Quality, photo_at_quality, quality_of, structure_match
from headsup_core.identity.equal_quality.fair_comparison import FairComparison
from headsup_core.identity.equal_quality.photo_score import ASSUMED, Evidence, photo_score
from headsup_core.identity.equal_quality.restored_faces import EYES, REACH, restored_face
from headsup_core.imaging.resizing import resize
from headsup_core.training.data.degradation import degrade

FACE = face_at(80, 80, 32)


def scene(seed: int = 0) -> torch.Tensor:
    """Something with coarse and fine structure, `[1,3,160,160]`."""
    generator = torch.Generator().manual_seed(seed)
    parts = [resize(torch.rand(1, 3, side, side, generator=generator), 160, 160) for side in (8, 20, 160)]
    return (0.5 * parts[0] + 0.3 * parts[1] + 0.2 * parts[2]).clamp(0, 1)


@pytest.mark.parametrize("sigma", [0.0, 0.02, 0.08])
def test_noise_is_estimated_on_slopes(sigma: float) -> None:
    slope = torch.linspace(0.2, 0.8, 160).expand(1, 3, 160, 160)
    noise = torch.randn(1, 1, 160, 160, generator=torch.Generator().manual_seed(1))

    quality = quality_of(slope + sigma * noise, FACE)

    assert quality.noise == pytest.approx(sigma, rel=0.15, abs=1e-4)
    assert quality.eyes == pytest.approx(32)


def test_photo_takes_the_place_size_and_blur_of_the_face() -> None:
    """The photo is the clean face itself: brought to the quality of the small blurred one it is nearly that one."""
    clean = scene()
    photo = crop(clean, align_matrix(FACE.landmarks, 512), 512)
    small_face = FACE.scaled(0.5, 0.5)
    blurred = resize(resize(clean, 32, 32, "area"), 80, 80)
    sharp = resize(clean, 80, 80, "area")

    as_blurred = photo_at_quality(photo, blurred, small_face, 0.0)
    as_sharp = photo_at_quality(photo, sharp, small_face, 0.0)
    again = photo_at_quality(photo, sharp, small_face, 0.05)

    inner = (..., slice(28, 60), slice(28, 52))
    assert as_blurred.shape == blurred.shape
    assert float((as_blurred - blurred)[inner].abs().mean()) < float((as_sharp - blurred)[inner].abs().mean())
    assert float((as_sharp - sharp)[inner].abs().mean()) < float((as_blurred - sharp)[inner].abs().mean())
    assert 0.04 < float((again - as_sharp)[inner].std()) < 0.1  # more blur, too: less of the detail is the face's
    assert torch.equal(again, photo_at_quality(photo, sharp, small_face, 0.05))


def test_result_explains_the_input_by_structure_not_by_colour() -> None:
    large = scene()
    small, face = resize(large, 40, 40, "area"), FACE.scaled(0.25, 0.25)

    other_light = (0.5 * large[:, [2, 1, 0]].mean(1, keepdim=True) + 0.3).expand(1, 3, 160, 160)

    assert structure_match(large, small, face) == pytest.approx(1, abs=0.01)
    assert structure_match(other_light, small, face) > 0.9
    assert structure_match(scene(1), small, face) < 0.5


# where the eyes, the nose and the mouth corners of the astronaut are, read off the picture at 800 %
ASTRONAUT = torch.tensor([[203.0, 100.1], [246.6, 103.3], [223.0, 126.4], [202.3, 140.1], [243.3, 141.8]])


def bad_astronaut(scale: int, degradation: str) -> tuple[torch.Tensor, Face]:
    """The upper middle of the photo, degraded, and her face in it."""
    face = Face((190, 70, 260, 160), ASTRONAUT, 1.0).moved(-96, 0).scaled(1 / scale, 1 / scale)
    return degrade(astronaut_photo()[..., :256, 96:352], degradation, 3), face


def test_face_is_restored_at_the_size_that_recognisers_look_at() -> None:
    bad, face = bad_astronaut(8, "x8")

    restored, there = restored_face(bad, face)
    clean = crop(astronaut_photo(), align_matrix(ASTRONAUT, 128), 128)
    ours = crop(restored, align_matrix(there.landmarks, 128), 128)
    plain = crop(resize(bad, 256, 256), align_matrix(face.scaled(8, 8).landmarks, 128), 128)

    assert there.eye_distance == pytest.approx(EYES, rel=0.05)
    assert restored.shape[-1] == pytest.approx(2 * REACH * EYES, rel=0.1)
    inner = (..., slice(36, 100), slice(36, 92))
    assert float((ours - clean)[inner].square().mean()) < 0.97 * float((plain - clean)[inner].square().mean())
    at_the_border = restored_face(bad, face.moved(-face.landmarks[0, 0].item(), 0))[0]
    assert at_the_border.shape[-1] < restored.shape[-1]


@pytest.mark.parametrize(("scale", "degradation"), [(4, "realesrgan"), (8, "x8")])
def test_own_photo_is_more_alike_than_another_persons(scale: int, degradation: str) -> None:
    analyzer = load_face_analyzer("dlib")
    bad, face = bad_astronaut(scale, degradation)
    own = crop(astronaut_photo(), align_matrix(ASTRONAUT, 512), 512)
    stranger = hanks().permute(0, 3, 1, 2)
    (found,) = analyzer.detect(stranger)[0]
    other = crop(stranger, align_matrix(found.landmarks, 512), 512)

    comparison = FairComparison(bad, resize(bad, 256, 256), face, analyzer)
    right, wrong = comparison.score(own), comparison.score(other)

    assert right is not None
    assert wrong is not None
    assert right > 0.5 > 0.2 > wrong


def records(likeness: dict[PhotoOf, float], spread: float, count: int = 40) -> list[PhotoRecord]:
    """Cosines around a mean for each photo."""
    chance = random.Random(3)  # noqa: S311 - makes up figures, keeps no secret
    return [
        PhotoRecord(
            f"{index}", "x8", photo, Evidence(chance.gauss(mean, spread), 0.0, Quality(chance.uniform(5, 30), 0.01))
        )
        for index in range(count)
        for photo, mean in likeness.items()
    ]


def test_fitted_weights_tell_right_from_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    made = records({"right": 0.5, "alike": 0.2, "other": 0.0}, 0.05)

    weights = fitted(made, "made-up")
    monkeypatch.setattr("headsup_core.identity.equal_quality.photo_score.WEIGHTS", {"made-up": weights})
    right = [photo_score(one.evidence, "made-up") for one in made if one.photo == "right" and one.evidence]
    wrong = [photo_score(one.evidence, "made-up") for one in made if one.photo != "right" and one.evidence]

    assert weights.alike > 0
    assert min(right) > 0.5 > max(wrong)
    with raises_naming(hu.InputError, 40):
        fitted([one for one in made if one.photo == "right"], "made-up")


def test_rates_count_faces_that_were_not_found_against_the_right_photo() -> None:
    """Assumed weights: a cosine of 0.65 is surely the person, 0 surely not."""
    made = records({"right": 0.65, "alike": 0.0, "other": -0.1}, 0.0, count=3)
    missed = [PhotoRecord("missed", "x8", photo, None) for photo in ("right", "alike", "other")]

    table = rates_table([*made, *missed], "made-up")

    assert photo_score(Evidence(0.65, 0.0, Quality(16, 0)), "made-up") == pytest.approx(0.953, abs=1e-3)
    assert ASSUMED.offset + ASSUMED.alike == 3
    assert "| x8 | 4 | 75 % | 100 % | 100 % | 75 % | 0 % |" in table


def test_plot_is_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    plot_rates(records({"right": 0.5, "alike": 0.2, "other": 0.0}, 0.1), "made-up", tmp_path / "gate.png")

    assert (tmp_path / "gate.png").read_bytes().startswith(b"\x89PNG")
