"""Models that differ from others in what is known of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from headsup_core.models.one_step import OneStepModel
from headsup_core.models.record import ModelRecord


def with_record(model: OneStepModel, **changes: Any) -> OneStepModel:
    """The same networks with some facts of the record changed."""
    return replace(model, record=replace(model.record, **changes))


def with_unet(record: ModelRecord, **changes: Any) -> ModelRecord:
    """The record of a model that is complete in itself, with other arguments of its UNet."""
    assert record.architecture is not None
    return replace(record, architecture=replace(record.architecture, unet={**record.architecture.unet, **changes}))
