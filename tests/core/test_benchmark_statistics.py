"""NIQE, FID, intervals over people, and what the aims say of figures made by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from harness.refusals import raises_naming

from headsup_core.benchmark.aiming.aims import ANY, CRISP, FAITHFUL, MODEL, REFERENCE, STRANGER, Aim, Measured, aim_row
from headsup_core.benchmark.comparing.evaluate import Record
from headsup_core.benchmark.metrics.frechet import INCEPTION_FILE, Frechet, frechet_distance, inception_input
from headsup_core.benchmark.metrics.niqe import FEATURES, Niqe, asymmetric_gaussian, halved
from headsup_core.benchmark.reporting.intervals import interval, relative_interval
from headsup_core.errors import ModelFileError


def test_interval_resamples_people() -> None:
    """Ten equal photos of each of six people say no more than one of each; as if of sixty people they would."""
    each = np.random.default_rng(0).normal(5, 2, 6)
    once, tenfold = interval(each.tolist()), interval(np.repeat(each, 10).tolist(), [str(i // 10) for i in range(60)])
    assert (tenfold.mean, tenfold.low, tenfold.high) == pytest.approx((once.mean, once.low, once.high))
    blind = interval(np.repeat(each, 10).tolist())
    assert blind.high - blind.low < 0.5 * (tenfold.high - tenfold.low)


def test_people_with_more_photos_weigh_more_in_the_mean() -> None:
    assert interval([1.0, 1.0, 4.0], ["a", "a", "b"]).mean == pytest.approx(2)
    assert interval([1.0, 1.0, 4.0], ["a", "a", "b"]).high == pytest.approx(4)


def test_relative_interval_is_of_the_means() -> None:
    found = relative_interval([1.0, 2.0], [2.0, 2.0], ["a", "b"])
    assert found.mean == pytest.approx(-0.25)
    assert (found.low, found.high) == pytest.approx((-0.5, 0))


@pytest.mark.parametrize(("shape", "draw"), [(2.0, "normal"), (1.0, "laplace")])
def test_shapes_of_known_distributions(shape: float, draw: str) -> None:
    """A generalised Gaussian's shape is 2 for the normal (scale sqrt(2) sigma) and 1 for Laplace's distribution."""
    rng = np.random.default_rng(0)
    values = (rng.normal(0, 1, (1, 400, 400)), rng.laplace(0, 2**0.5, (1, 400, 400)))[draw == "laplace"]
    left_wider = np.where(values < 0, 2 * values, values)
    found, left, right = asymmetric_gaussian(values)
    assert found[0] == pytest.approx(shape, abs=0.03)
    assert (left[0], right[0]) == pytest.approx((2**0.5, 2**0.5), abs=0.03)
    found, left, right = asymmetric_gaussian(left_wider)
    assert left[0] / right[0] == pytest.approx(2, abs=0.05)


def test_halving_is_matlabs_imresize() -> None:
    """Weights cubic(d / 2) / 2 of a single bright pixel, and no change of a picture that is flat to its borders."""
    spot = torch.zeros(16, 16, dtype=torch.float64)
    spot[:, 7] = 1
    d = torch.tensor([2.5, 0.5, 1.5, 3.5], dtype=torch.float64) / 2  # pixels 2 .. 5 lie at 4.5, 6.5, 8.5 and 10.5
    near = 1.5 * d**3 - 2.5 * d**2 + 1
    far = -0.5 * d**3 + 2.5 * d**2 - 4 * d + 2
    assert torch.allclose(halved(spot)[4, 2:6], torch.where(d <= 1, near, far) / 2)
    flat = torch.full((16, 16), 7.0, dtype=torch.float64)
    assert torch.allclose(halved(flat), flat[::2, ::2])


def test_niqe_is_a_distance_between_gaussians(tmp_path: Path) -> None:
    luma = torch.rand(1, 1, 200, 300, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    window = np.full((7, 7), 1 / 49)
    zero = Niqe(np.zeros(FEATURES), 1e9 * np.eye(FEATURES), window)
    far = Niqe(np.full(FEATURES, 1e6), 1e9 * np.eye(FEATURES), window)
    near = zero.measure(luma)
    assert near is not None
    # with so wide a covariance, eq. 10 is |difference of the means| / sqrt(1e9 / 2)
    assert far.measure(luma) == pytest.approx(1e6 * FEATURES**0.5 / (5e8) ** 0.5, rel=1e-3)
    assert near < 1e-3
    assert zero.measure(luma[..., :100, :100]) is None
    assert zero.measure(torch.full((1, 1, 200, 300), 0.5)) is None
    path = tmp_path / "niqe.npz"
    np.savez(path, mu_pris_param=zero.mean[None], cov_pris_param=zero.covariance, gaussian_window=window)
    assert Niqe.from_file(path).measure(luma) == near
    np.savez(path, mu_pris_param=zero.mean)
    with raises_naming(ModelFileError, "niqe.npz"):
        Niqe.from_file(path)


def test_fid_of_few_pictures_by_hand() -> None:
    """With one feature it is (m1 - m2)^2 + (s1 - s2)^2 with the sample deviations: here 9 + (1 - 2)^2."""
    a, b = torch.tensor([[1.0], [2.0], [3.0]]), torch.tensor([[3.0], [5.0], [7.0]])
    assert frechet_distance(a, b) == pytest.approx(10)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("count", [2, 7, 40])
def test_fid_of_any_number_of_pictures_is_the_published_formula(count: int) -> None:
    """tr (S1 S2)^(1/2) is the sum of the roots of the eigenvalues of S1 S2, with fewer pictures than features, too."""
    rng = np.random.default_rng(count)
    a, b = rng.normal(0, 1, (count, 12)), rng.normal(0.5, 2, (count, 12)) @ rng.normal(0, 1, (12, 12))
    covariances = [np.cov(features, rowvar=False) for features in (a, b)]
    roots = np.sqrt(np.maximum(np.linalg.eigvals(covariances[0] @ covariances[1]).real, 0)).sum()
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + sum(np.trace(each) for each in covariances) - 2 * roots
    assert frechet_distance(torch.from_numpy(a), torch.from_numpy(b)) == pytest.approx(expected, rel=1e-5)


def test_fid_says_of_how_many_pictures_it_is_or_why_it_is_left_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    frechet = Frechet(lambda image: [image.mean((2, 3), keepdim=True)])
    for shade in (0.2, 0.3, 0.5):
        frechet.add("truth", torch.full((1, 3, 40, 60), shade))
        frechet.add("brighter", torch.full((1, 3, 40, 60), shade + 0.2))
    step = 51 / 128  # of the levels 0..255, as Inception sees them
    assert frechet.distances("truth")["brighter"] == pytest.approx(3 * step**2, rel=1e-3)
    [note] = frechet.notes("truth")
    assert " 3 pictures" in note
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    absent = Frechet()
    absent.add("truth", torch.zeros(1, 3, 64, 64))
    assert absent.distances("truth") == {}
    assert INCEPTION_FILE in absent.notes("truth")[0]


def test_inception_sees_the_antialiased_picture() -> None:
    """Lines of one pixel become grey where a resize without antialiasing would give moire."""
    lines = torch.zeros(1, 3, 1196, 1196)
    lines[..., ::2] = 1
    seen = inception_input(lines)
    assert seen.shape == (1, 3, 299, 299)
    assert (seen + 0.5 / 128)[..., 3:-3, 3:-3].abs().max() < 0.02


def _records(**figures: dict[str, list[float]]) -> list[Record]:
    return [
        Record(
            f"{person}",
            f"{person}",
            system.replace("_", "+"),
            1.0,
            {},
            {name: each[person] for name, each in own.items()},
        )
        for system, own in figures.items()
        for person in range(2)
    ]


def test_aims_are_judged_by_the_best_peer_and_the_right_direction() -> None:
    records = _records(
        tiny={"psnr_y": [30, 31], "lpips": [0.1, 0.1], "id_dlib": [0.5, 0.6]},
        tiny_reference={"psnr_y": [30, 30.9], "lpips": [0.1, 0.11], "id_dlib": [0.6, 0.7]},
        tiny_stranger={"id_dlib": [0.61, 0.7]},
        poor={"psnr_y": [29, 29], "lpips": [0.2, 0.2], "id_dlib": [0.4, 0.4]},
        better={"psnr_y": [30, 29], "lpips": [0.12, 0.12], "id_dlib": [0.3, 0.3]},
    )
    peers = ("poor", "better", "absent")

    names = {MODEL: "tiny", REFERENCE: "tiny+reference", STRANGER: "tiny+stranger"}

    def cells(aim: Aim, figure: str = "") -> list[str]:
        row = aim_row("task", aim, Measured(records, names), figure)
        return [cell.strip() for cell in row.strip("|").split("|")]

    assert cells(Aim(MODEL, peers, "psnr_y", 0.8)) == [
        *("task", "tiny", "better", "psnr_y", "at least +0.80", "+1.00 [+0.00, +2.00]", "30.50, 29.50", "yes")
    ]
    assert cells(Aim(MODEL, peers, "psnr_y", 1.1))[-1] == "**no**"
    relative = cells(Aim(MODEL, peers, "lpips", -0.15, relative=True))
    assert relative[2:6] == ["better", "lpips", "at most -15 %", "-16.7 [-16.7, -16.7] %"]
    assert relative[-1] == "yes"
    assert cells(Aim(MODEL, peers, "identity", 0.05), "id_dlib")[2:4] == ["poor", "id_dlib"]
    assert cells(Aim(REFERENCE, (MODEL,), "psnr_y", -0.1))[-1] == "yes"
    assert cells(Aim(REFERENCE, (MODEL,), "lpips", 0.0, relative=True))[-1] == "**no**"
    stranger = cells(Aim(STRANGER, (MODEL,), "identity", 0.04, ceiling=True), "id_dlib")
    assert (stranger[1], stranger[4], stranger[-1]) == ("tiny+stranger", "at most +0.040", "**no**")
    assert "not measured" in cells(Aim(MODEL, ("absent",), "psnr_y", 0.8))
    assert cells(Aim(MODEL, (), "psnr_y", 30.5))[4:] == ["at least 30.50", "30.50 [30.00, 31.00]", "30.50", "yes"]
    assert cells(Aim(MODEL, (), "lpips", 0.09))[-1] == "**no**"


def test_an_aim_may_be_reached_at_any_setting() -> None:
    """The best of the default and the ends that were measured counts; an end that is missing is not measured."""
    records = _records(
        tiny={"psnr_y": [30, 30], "lpips": [0.1, 0.1]},
        faithful={"psnr_y": [31, 31], "lpips": [0.2, 0.2]},
        peer={"psnr_y": [29.5, 29.5], "lpips": [0.3, 0.3]},
    )
    measured = Measured(records, {MODEL: "tiny", FAITHFUL: "faithful"})
    assert "| faithful | peer |" in aim_row("task", Aim(ANY, ("peer",), "psnr_y", 1.0), measured)
    assert "| tiny | peer |" in aim_row("task", Aim(ANY, ("peer",), "lpips", -0.5, relative=True), measured)
    assert "not measured" in aim_row("task", Aim(CRISP, ("peer",), "lpips", 0.0), measured)
