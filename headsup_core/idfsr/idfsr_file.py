"""The IDFSR file: one `.safetensors` of the network, the record in its header.

Header metadata (strings): `format` = "headsup-idfsr"; `format_version`; `model_id`, the name with a checksum of the
weights, since an embedding is fitted to these weights alone; `architecture` = JSON of `IDFSRArchitecture`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

import torch

from ..errors import ModelFileError
from ..models.file_formats.weights_files import (
    WeightsFile,
    check_version,
    checksum,
    load_network,
    read_weights,
    write_safetensors,
)
from ..whole_files import why_absent
from .idfsr_model import IDFSRModel
from .network.idfsr_architecture import IDFSRArchitecture
from .network.idfsr_unet import IDFSRNetwork

DEFAULT_IDFSR = "idfsr-tiny"
"""The one that comes with the pack."""
BUNDLED_FOLDER = Path(__file__).parent / "bundled"
FORMAT = "headsup-idfsr"
FORMAT_VERSION = 1


def is_idfsr_file(metadata: Mapping[str, str]) -> bool:
    """Whether a file's header says that it is one of these."""
    return metadata.get("format") == FORMAT


def save_idfsr(path: Path, model: IDFSRModel, dtype: torch.dtype = torch.float16) -> None:
    """Write `model` atomically; weights are stored as `dtype`, the people's mean and variance in fp32."""
    stored = {
        name: value.detach().to("cpu", torch.float32 if name.startswith("identity_tokens.") else dtype)
        for name, value in model.network.state_dict().items()
    }
    metadata = {
        "format": FORMAT,
        "format_version": str(FORMAT_VERSION),
        "model_id": f"{model.architecture.card.name}-{checksum(stored)}",
        "architecture": json.dumps(model.architecture.to_json()),
    }
    write_safetensors(path, stored, metadata)


def find_idfsr_file(model: str | Path | None = None) -> Path:
    """The file of a bundled name (None: `DEFAULT_IDFSR`) or a path. Raises `ModelFileError` when there is none."""
    bundled = {path.stem: path for path in sorted(BUNDLED_FOLDER.glob("*.safetensors"))}
    path = bundled.get(str(model or DEFAULT_IDFSR), Path(model or DEFAULT_IDFSR))
    if not os.path.exists(path):
        names = ", ".join(bundled) or "none"
        raise ModelFileError(f"IDFSR model {str(model)!r} {why_absent(path)}; bundled: {names}")
    return path


def load_idfsr(model: str | Path | None = None, dtype: torch.dtype = torch.float32) -> IDFSRModel:
    """Read an IDFSR file onto the CPU.

    Args:
        model: as of `find_idfsr_file`.

    Raises:
        ModelFileError: missing, damaged, of another kind or newer; the message says which.
    """
    path = find_idfsr_file(model)
    file = read_weights(path)
    if not is_idfsr_file(file.metadata):
        kind = file.metadata.get("format", "no HeadsUp file")
        raise ModelFileError(f"{path} is no IDFSR model ({kind}): choose a file that `train` exported for IDFSR")
    architecture = read_architecture(file)
    with torch.device("meta"):  # no memory is taken before the header is known to fit the tensors
        network = IDFSRNetwork(architecture)
    load_network(network, file.content, dtype, path)
    return IDFSRModel(network, architecture, file.metadata.get("model_id", path.stem))


def read_architecture(file: WeightsFile) -> IDFSRArchitecture:
    """The record in the header. Raises `ModelFileError` when it is newer than this code, or damaged."""
    check_version(file, FORMAT_VERSION)
    try:
        record = json.loads(file.metadata["architecture"])
    except (KeyError, ValueError) as error:
        raise ModelFileError(f"{file.path}: the architecture record in the header is damaged: {error}") from error
    return IDFSRArchitecture.from_json(record)
