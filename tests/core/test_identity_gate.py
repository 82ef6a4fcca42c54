"""The identity gate inside a restoration: which picture each face comes from, and what is said of it."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from harness.faces import face_at
from harness.people_stubs import BLUE, GREEN, RED, ColourAnalyzer, faces_of, paint, person
from harness.records import with_record
from harness.refusals import raises_naming
from harness.stand_ins import ModelMaker
from torch import nn

import headsup_core as hu
from headsup_core.faces import Face
from headsup_core.restoring.headsup_model import HeadsUpModel
from headsup_core.restoring.people.gate import GateMode
from headsup_core.restoring.people.identity_score import IdentityScore, scores_of

HOST = hu.PlainHost("cpu", quiet=True)
FACTOR = 4
CHANNELS = 3 * FACTOR**2
LEFT, RIGHT = face_at(50, 60, 16), face_at(150, 60, 16)
ANALYZER = ColourAnalyzer([LEFT, RIGHT])
ADA, GRACE = person("Ada", RED), person("Grace", GREEN)
SAME = 1 / 0.65
"""The score of two equal colours; of colours without a common part it is 0."""


class Copying(nn.Module):
    """Paints the reference where the mask is, and nothing else; `blue` is added to what it restores without one."""

    def __init__(self, blue: float) -> None:
        super().__init__()
        config: Any = SimpleNamespace(in_channels=2 * CHANNELS + 1, out_channels=CHANNELS, block_out_channels=(8, 8))
        self.config, self.blue = config, blue
        self.weight = nn.Parameter(torch.zeros(1), requires_grad=False)

    def forward(self, sample: torch.Tensor, timestep: int, **_: object) -> tuple[torch.Tensor]:
        del timestep
        latent, reference, mask = sample.split([CHANNELS, CHANNELS, 1], dim=1)
        damage = torch.zeros_like(latent)
        damage[:, 2 * FACTOR**2 :] = self.blue
        return (torch.where(mask > 0, latent - reference, -damage),)


def copying(make_model: ModelMaker, blue: float = 0.0) -> HeadsUpModel:
    unet: Any = Copying(blue)
    one_step = replace(with_record(make_model(factor=FACTOR).one_step, reference_placement="warped"), unet=unet)
    return HeadsUpModel(one_step, identity_strength=1.0)


def photo(left: tuple[float, float, float] = RED, right: tuple[float, float, float] = GREEN) -> torch.Tensor:
    picture = torch.full((1, 3, 120, 200), 0.4)
    return paint(paint(picture, LEFT, left), RIGHT, right)


def colour_at(image: torch.Tensor, face: Face) -> list[float]:
    x, y = face.landmarks.mean(0).round().long().tolist()
    return [round(value, 3) for value in image[0, :, y, x].tolist()]


def restored(
    model: HeadsUpModel, image: torch.Tensor, names: tuple[str, str], gate: GateMode = "on", **options: Any
) -> tuple[hu.RestoreResult, list[IdentityScore | None]]:
    """With the two faces said to be these people."""
    left, right = (replace(face, identity=name) for face, name in zip((LEFT, RIGHT), names, strict=True))
    faces = faces_of(image, left, right)
    result = hu.restore(
        image, model, scale=1, faces=faces, analyzer=ANALYZER, people=[ADA, GRACE], identity_gate=gate, host=HOST,
        **options,
    )  # fmt: skip
    assert result.faces is not None
    return result, [scores_of(face) for face in result.faces[0]]


def test_right_people_stay_injected(make_model: ModelMaker) -> None:
    """Dirty faces become those of the photos."""
    model, image = copying(make_model), photo((0.8, 0.3, 0.3), (0.3, 0.8, 0.3))

    result, scores = restored(model, image, ("Ada", "Grace"))
    off, nothing = restored(model, image, ("Ada", "Grace"), "off")

    assert torch.equal(result.image, off.image)
    assert nothing == [None, None]
    assert colour_at(result.image, LEFT) == [1, 0, 0]
    dirty = 0.8 / (0.8**2 + 2 * 0.3**2) ** 0.5 / 0.65
    for score in scores:
        assert score is not None
        assert score.outcome == "injected"
        assert score.before == score.uninjected == pytest.approx(dirty, abs=1e-3)
        assert score.after == score.injected == pytest.approx(SAME, abs=1e-3)


def test_wrong_photo_cannot_turn_a_face_into_somebody_else(make_model: ModelMaker) -> None:
    """Both faces are said to be the other person: they would become those, and stay as they are."""
    model, image = copying(make_model), photo()

    result, scores = restored(model, image, ("Grace", "Ada"))
    reported, _ = restored(model, image, ("Grace", "Ada"), "report")

    assert colour_at(reported.image, LEFT) == [0, 1, 0]
    assert colour_at(result.image, LEFT) == [1, 0, 0]
    assert colour_at(result.image, RIGHT) == [0, 1, 0]
    assert torch.allclose(result.image, result.before, atol=1e-6)
    assert all(score is not None and score.outcome == "uninjected" for score in scores)
    assert "face 0: Grace, identity 0.00 -> 0.00" in result.report.text()
    assert "somebody else" in result.report.gate[0]
    assert [line.partition(" (")[0] for line in result.report.sent_back] == [
        f"face {index}: {name}, restored without the reference" for index, name in enumerate(("Grace", "Ada"))
    ]
    assert "identity gate off" in result.report.sent_back[0]
    assert "set to report, changed nothing" in reported.report.gate[0]


def test_told_face_of_the_only_person_and_one_of_a_stranger(make_model: ModelMaker) -> None:
    """One face, one person: told, however unlike the restoration without the photo is; somebody else's is sent back."""
    model = copying(make_model, blue=1.0)
    image = paint(torch.full((1, 3, 120, 200), 0.4), LEFT, (0.9, 0.1, 0.1))
    only = ColourAnalyzer([LEFT])

    right = hu.restore(image, model, scale=1, analyzer=only, people=[ADA], host=HOST)
    wrong = hu.restore(image, model, scale=1, analyzer=only, people=[person("Eve", BLUE)], host=HOST)
    without = hu.restore(image, model, scale=1, host=HOST)

    assert colour_at(right.image, LEFT) == [1, 0, 0]
    assert right.report.sent_back == []
    assert "the only face and the only person" in right.report.faces[0]
    assert colour_at(wrong.image, LEFT) == colour_at(without.image, LEFT)
    assert len(wrong.report.sent_back) == 1


def test_final_score_is_of_what_is_returned(make_model: ModelMaker) -> None:
    """Half strength: half of the way from (0.8, 0.3, 0.3) to red; a mask that spares the face: none of it."""
    model, image = copying(make_model), photo((0.8, 0.3, 0.3))
    black = torch.zeros(1, 1, 120, 200)
    black[..., -1, -1] = 1.0  # an all black one would run no network

    _, (half, _) = restored(model, image, ("Ada", "Grace"), strength=0.5)
    _, (masked, _) = restored(model, image, ("Ada", "Grace"), mask=black)

    assert half is not None
    assert masked is not None
    assert half.after == pytest.approx(0.9 / (0.9**2 + 2 * 0.15**2) ** 0.5 / 0.65, abs=1e-3)
    assert masked.after == pytest.approx(masked.before or 0)
    assert half.outcome == masked.outcome == "injected"


def test_pictures_of_a_batch_are_judged_one_by_one(make_model: ModelMaker) -> None:
    model = copying(make_model)
    batch = torch.cat([photo(), photo(GREEN, RED)])
    names = replace(LEFT, identity="Ada"), replace(RIGHT, identity="Grace")  # right in the first, wrong in the second
    faces = hu.Faces((names, names), 120, 200)

    result = hu.restore(batch, model, scale=2, faces=faces, analyzer=ANALYZER, people=[ADA, GRACE], host=HOST)

    assert result.faces is not None
    assert (result.faces.height, result.faces.width) == (240, 400)
    outcomes = [[scores.outcome for face in found if (scores := scores_of(face))] for found in result.faces]
    assert outcomes == [["injected"] * 2, ["uninjected"] * 2]
    assert result.report.gate[2].startswith("picture 2, face 0: Ada, identity 0.00 -> 0.00")
    records = json.loads(json.dumps(result.report.identity_scores))
    assert [(one["picture"], one["face"], one["identity"]) for one in records] == [
        (0, 0, "Ada"),
        (0, 1, "Grace"),
        (1, 0, "Ada"),
        (1, 1, "Grace"),
    ]
    assert records[2]["outcome"] == "uninjected"
    assert records[0]["after"] == pytest.approx(SAME, abs=1e-3)


def test_model_that_injects_nothing_is_scored_all_the_same(make_model: ModelMaker) -> None:
    result, (score, _) = restored(make_model(), photo(), ("Ada", "Grace"))

    assert torch.equal(result.image, result.before)
    assert score is not None
    assert (score.outcome, score.injected) == ("uninjected", None)
    assert score.after == pytest.approx(SAME, abs=1e-3)


def test_unknown_mode_is_refused_before_work(make_model: ModelMaker) -> None:
    wrong: Any = "perhaps"
    with raises_naming(hu.InputError, "'perhaps'", "on", "report", "off"):
        hu.restore(photo(), make_model(), scale=1, identity_gate=wrong, host=HOST)
