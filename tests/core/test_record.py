"""What is known of a model: the record, and its JSON in headers."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

import pytest
from harness.refusals import raises_naming
from harness.systems import headsup_adapters

import headsup_core as hu
from headsup_core.models.bases.base import Base
from headsup_core.models.face_restorers.known_restorers import FACE_RESTORERS
from headsup_core.models.prediction import Epsilon, LatentResidual
from headsup_core.models.record import ModelRecord
from headsup_core.models.systems import SYSTEMS, load_options
from headsup_core.option_fields import option


def through_json(record: ModelRecord) -> ModelRecord:
    return ModelRecord.from_json(json.loads(json.dumps(record.to_json())))


def test_a_whole_models_record_survives_its_header(toy_record: ModelRecord) -> None:
    eyes = replace(toy_record, trained_eyes=(18.0, 150.0), margin=16, detail=0.3, reference_placement="warped")
    for record in (toy_record, eyes):
        assert through_json(record) == record


def test_an_adapters_record_survives_its_header(base: Base) -> None:
    record = headsup_adapters(base)[2]
    assert replace(through_json(record), system=record.system) == record


def test_the_bundled_model_is_what_its_card_says() -> None:
    model = hu.load_model("headsup-tiny").one_step
    assert model.record.rule == LatentResidual(1)
    assert (model.scale, model.trained_size, model.margin) == (4, 320, 16)
    assert (model.trained_eyes, model.reference_placement) == ((18.0, 200.0), "warped")
    assert model.record.detail == 0.6
    assert model.size_rule.multiple == 32  # blocks of 4 px, halved three times


def test_retired_fields_are_read_and_others_refused(toy_record: ModelRecord) -> None:
    header = toy_record.to_json()
    assert ModelRecord.from_json({**header, "default_tile": 0, "id_tokens": None}) == toy_record
    for more, named in (
        ({"id_tokens": {"embedder": "x", "dim": 3, "tokens": 2}}, "identity tokens"),
        ({"sharpness": 3}, "sharpness"),
    ):
        with raises_naming(hu.ModelFileError, named):
            ModelRecord.from_json({**header, **more})


def test_an_adapters_older_header_names_only_its_timestep(base: Base) -> None:
    record = headsup_adapters(base)[2]
    header = record.to_json()
    del header["rule"]
    assert ModelRecord.from_json({**header, "timestep": 399}).rule == Epsilon(399)


@pytest.mark.parametrize(
    "change",
    [
        {"scale": 0},
        {"trained_size": "512"},
        {"margin": -1},
        {"detail": 1.5},
        {"default_color_fix": "sepia"},
        {"rule": {"kind": "guess", "timestep": 1}},
        {"rule": {"kind": "epsilon", "timestep": 1000}},
        {"codec_class": "AutoencoderOther"},
        {"card": {"name": "x"}},
    ],
)
def test_values_that_cannot_be_are_refused(toy_record: ModelRecord, change: dict[str, Any]) -> None:
    with pytest.raises(hu.ModelFileError):
        ModelRecord.from_json({**toy_record.to_json(), **change})


@dataclass(frozen=True)
class Other:
    lambda_pix: float = option(0.5, "Another dial of that name.", minimum=0.0, maximum=1.0)


@dataclass(frozen=True)
class Dialled:
    dial: float = option(1.0, "A dial that came later.", minimum=0.0, maximum=1.0)


def test_every_systems_options_are_listed_once_and_must_agree() -> None:
    listed = load_options()
    assert next(iter(listed)) == "detail"
    assert {"lambda_pix", "lambda_sem", "guidance_scale", "negative_prompt", "patch_size", "process_size"} < set(listed)
    assert "OSEDiff, OSEDiff-Face, PiSA-SR" in listed["process_size"].help
    dialled = replace(SYSTEMS[0], options=Dialled)
    # what came later stands behind what saved workflows hold, whatever its file is called
    assert list(load_options((dialled, *SYSTEMS, *FACE_RESTORERS))) == [*listed, "dial"]
    other = replace(SYSTEMS[0], options=Other)
    with raises_naming(ValueError, "lambda_pix"):
        load_options((*SYSTEMS, other))
