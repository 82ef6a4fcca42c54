"""The `ModelRecord` in the header of our files."""

from __future__ import annotations

import json

from ...errors import ModelFileError
from ..record import ModelRecord
from .weights_files import WeightsFile, check_version


def header_of(record: ModelRecord, kind: str, version: int, field: str) -> dict[str, str]:
    """Header metadata of a file of the format `kind`, with the record as JSON in `field`."""
    return {"format": kind, "format_version": str(version), field: json.dumps(record.to_json())}


def read_header(file: WeightsFile, newest: int, field: str) -> ModelRecord:
    """The record in the header's `field`.

    Raises:
        ModelFileError: the format's version is above `newest`, or the record is damaged.
    """
    check_version(file, newest)
    try:
        return ModelRecord.from_json(json.loads(file.metadata[field]))
    except (KeyError, ValueError, AttributeError, ModelFileError) as error:
        raise ModelFileError(f"{file.path}: the record in the header is damaged: {error}") from error
