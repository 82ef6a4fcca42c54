"""How often the right photo is refused and a wrong one taken, and the weights of the score that decides it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, fields
from pathlib import Path
from typing import Any

import torch

from ...errors import InputError
from ...identity.equal_quality.photo_score import TOLD, Evidence, Weights, least_score, photo_score, too_close
from ...libraries import need
from .photo_evidence import PHOTOS, PhotoOf, PhotoRecord

Score = Callable[[Evidence], float]

EYE_BINS = (0.0, 7.0, 9.0, 12.0, 16.0, 24.0, 1000.0)
NOISE_BINS = (0.0, 0.005, 0.01, 0.02, 0.04, 1.0)
STYLES: Mapping[PhotoOf, str] = {"right": "o-", "alike": "s--", "other": "^:"}
RIDGE = 0.05
"""Keeps weights small that the pairs say little about; of the mean loss, on every weight but the offset."""


def fitted(records: Sequence[PhotoRecord], embedder_id: str) -> Weights:
    """Weights of the score for a recogniser, by logistic regression; right and wrong photos count half each.

    Raises:
        InputError: no right or no wrong photo was measured.
    """
    known = [(one.evidence, one.photo == "right") for one in records if one.evidence is not None]
    rows = torch.tensor([evidence.terms(embedder_id) for evidence, _ in known], dtype=torch.float64)
    right = torch.tensor([is_right for _, is_right in known])
    if not len(known) or bool(right.all()) or not bool(right.any()):
        raise InputError(f"{len(known)} photos were measured: right and wrong ones are needed")
    share = torch.where(right, 0.5 / right.sum(), 0.5 / (~right).sum())
    weights = torch.zeros(rows.shape[1], dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([weights], max_iter=500, line_search_fn="strong_wolfe", tolerance_grad=1e-9)

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        each = torch.nn.functional.binary_cross_entropy_with_logits(rows @ weights, right.double(), reduction="none")
        total = (each * share).sum() + RIDGE / len(known) * weights[1:].square().sum()
        total.backward()
        return total

    optimiser.step(loss)  # pyright: ignore[reportArgumentType] - torch declares the closure as giving a float
    return Weights(*(round(value, 3) for value in weights.tolist()))


def weights_line(embedder_id: str, weights: Weights) -> str:
    """The line that `photo_score.WEIGHTS` has for these weights."""
    return f'"{embedder_id}": Weights({", ".join(f"{value:g}" for value in astuple(weights))}),'


def weights_table(weights: Weights) -> str:
    """Markdown."""
    names = [field.name.replace("_", " x ") for field in fields(Weights)]
    lines = [f"| {' | '.join(names)} |", "|---" * len(names) + "|"]
    return "\n".join([*lines, f"| {' | '.join(f'{value:g}' for value in astuple(weights))} |"])


def rates_table(records: Sequence[PhotoRecord], embedder_id: str) -> str:
    """Markdown: what the gate and the assignment do with each photo, by degradation."""

    def score(evidence: Evidence) -> float:
        return photo_score(evidence, embedder_id)

    header = ["degradation", "faces", "told: right used"]
    header += [f"told: {PHOTOS[photo]} noticed" for photo in ("alike", "other")]
    header += ["guessed of three: right taken", "a wrong one taken"]
    lines = [f"| {' | '.join(header)} |", "|---" * len(header) + "|"]
    for name in dict.fromkeys(one.degradation for one in records):
        here = [one for one in records if one.degradation == name]
        cases = _by_case(here)
        cells = [name, str(len(cases)), _percent([_used(one, score, TOLD) for one in here if one.photo == "right"])]
        for photo in ("alike", "other"):
            cells.append(_percent([not _used(one, score, TOLD) for one in here if one.photo == photo]))
        taken = [_taken(photos, score) for photos in cases.values()]
        cells += [_percent([one == "right" for one in taken]), _percent([one in ("alike", "other") for one in taken])]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _by_case(records: Sequence[PhotoRecord]) -> dict[tuple[str, str], dict[PhotoOf, PhotoRecord]]:
    cases: dict[tuple[str, str], dict[PhotoOf, PhotoRecord]] = {}
    for one in records:
        cases.setdefault((one.case, one.degradation), {})[one.photo] = one
    return cases


def _used(record: PhotoRecord, score: Score, least: float) -> bool:
    """Whether the photo is used; of a face that was not found it is not."""
    return record.evidence is not None and score(record.evidence) >= least


def _taken(photos: Mapping[PhotoOf, PhotoRecord], score: Score) -> PhotoOf | None:
    """Whose photo is taken when all are offered, one face: that of the best score, if it is enough and well ahead."""
    known: dict[PhotoOf, Evidence] = {
        photo: one.evidence for photo, one in photos.items() if one.evidence is not None
    }
    scores: dict[PhotoOf, float] = {photo: score(evidence) for photo, evidence in known.items()}
    if not scores:
        return None
    found: PhotoOf = max(scores, key=lambda photo: scores[photo])
    best, least = scores.pop(found), least_score(True, known[found].quality.eyes)
    return found if best >= least and not any(too_close(best, rival) for rival in scores.values()) else None


def _percent(found: Sequence[bool]) -> str:
    return f"{100 * sum(found) / len(found):.0f} %" if found else "-"


def plot_rates(records: Sequence[PhotoRecord], embedder_id: str, path: Path) -> None:
    """A picture of both error rates over eye distance and noise. Raises `InputError` when matplotlib is missing."""
    need("matplotlib", purpose="drawing plots")
    from matplotlib.figure import Figure  # without pyplot: no window, no global state

    figure = Figure(figsize=(9, 3.4), layout="constrained")
    panels: Any = figure.subplots(1, 2, sharey=True)
    axes: tuple[tuple[str, tuple[float, ...], Callable[[Evidence], float]], ...] = (
        ("pixels between the eyes", EYE_BINS, lambda evidence: evidence.quality.eyes),
        ("noise, standard deviation", NOISE_BINS, lambda evidence: evidence.quality.noise),
    )
    for panel, (words, bins, value) in zip(panels, axes, strict=True):
        for photo, style in STYLES.items():
            xs, ys = _rates_over(records, photo, bins, value, embedder_id)
            said = "right photo refused" if photo == "right" else f"photo of {PHOTOS[photo]} taken"
            panel.plot(xs, ys, style, label=said)
        panel.set_xlabel(words)
        panel.grid(alpha=0.3)
        panel.set_ylim(-3, 103)
    panels[0].set_ylabel("% of the told faces")
    panels[1].legend(fontsize=8)
    figure.savefig(path, dpi=100)


def _rates_over(
    records: Sequence[PhotoRecord],
    photo: str,
    bins: Sequence[float],
    value: Callable[[Evidence], float],
    embedder_id: str,
) -> tuple[list[float], list[float]]:
    """Mean of `value` and error rate in percent of each bin that has faces."""
    xs: list[float] = []
    ys: list[float] = []
    known = [one.evidence for one in records if one.photo == photo and one.evidence is not None]
    for low, high in itertools.pairwise(bins):
        here = [evidence for evidence in known if low <= value(evidence) < high]
        if here:
            used = [photo_score(evidence, embedder_id) >= TOLD for evidence in here]
            wrong = [not one for one in used] if photo == "right" else used
            xs.append(sum(map(value, here)) / len(here))
            ys.append(100 * sum(wrong) / len(wrong))
    return xs, ys
