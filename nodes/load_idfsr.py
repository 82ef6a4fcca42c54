"""The node that loads an IDFSR model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from ..headsup_core import InputError, ModelFileError
from ..headsup_core.idfsr.files import is_idfsr_file, load_idfsr
from ..headsup_core.models.weights import read_weights
from .comfy import ComfyNode, IDFSRModelSocket, folder_paths, io, schema
from .model_files import FOLDER, find_choice, fingerprint

if TYPE_CHECKING:
    from pathlib import Path

    from ..headsup_core.idfsr.model import IDFSRModel

NONE = "none found"
_shared: WeakValueDictionary[tuple[Path, int, int], IDFSRModel] = WeakValueDictionary()


class HeadsUpLoadIDFSR(ComfyNode):
    """`HEADSUP_IDFSR_MODEL` from a file."""

    @classmethod
    def define_schema(cls) -> Any:  # noqa: ANN401 - ComfyUI's Schema
        return schema(
            node_id="HeadsUpLoadIDFSR",
            display_name="HeadsUp Load IDFSR",
            description="Loads a model that restores very small faces (x8 and x16) of people whose photos you have. "
            "The output info names its licence, what it was trained on and which face recogniser it needs.",
            search_aliases=["face restore", "face super resolution", "reference face", "headsup"],
            inputs=[
                io.Combo.Input(
                    "model",
                    options=idfsr_choices() or [NONE],
                    tooltip="The IDFSR files in models/headsup. Their licences are in the output info.",
                ),
            ],
            outputs=[
                IDFSRModelSocket.Output(
                    "IDFSR_MODEL",
                    display_name="idfsr model",
                    tooltip="For HeadsUp Restore Faces (IDFSR), HeadsUp Fit Identity and HeadsUp Warp Reference.",
                ),
                io.String.Output(
                    "INFO", display_name="info", tooltip="Name, licence, training data, size of its faces, recogniser."
                ),
            ],
        )

    @classmethod
    def fingerprint_inputs(cls, model: str) -> str:
        return str(None if model == NONE else fingerprint(find_choice(model)))

    @classmethod
    def execute(cls, model: str) -> Any:  # noqa: ANN401 - ComfyUI's NodeOutput
        if model == NONE:
            raise InputError("no IDFSR model was found: put one into models/headsup and reload the page")
        path = find_choice(model)
        key = fingerprint(path)
        loaded = _shared.get(key)
        if loaded is None:
            loaded = load_idfsr(path)
            _shared[key] = loaded
        return io.NodeOutput(loaded, describe(loaded, path))


def idfsr_choices() -> list[str]:
    """The files in `models/headsup` whose header says that they are IDFSR models."""
    names: list[str] = folder_paths.get_filename_list(FOLDER)
    return [name for name in names if name.lower().endswith(".safetensors") and _is_idfsr(name)]


def _is_idfsr(name: str) -> bool:
    try:
        return is_idfsr_file(read_weights(find_choice(name), lambda tensor: False).metadata)
    except (ModelFileError, InputError):  # a damaged file is no choice here
        return False


def describe(model: IDFSRModel, path: Path) -> str:
    """What a person wants to know of a loaded model, line by line."""
    card, record = model.architecture.card, model.architecture
    millions = sum(parameter.numel() for parameter in model.network.parameters()) / 1e6
    lines = {
        "model": f"{card.name} ({path.name})",
        "licence": card.licence,
        "trained on": card.training_data,
        "faces": f"{record.size} px a side, {record.steps} steps",
        "identity": f"embeddings of {record.embedder}",
        "parameters": f"{millions:.1f} million",
        "notes": card.notes,
    }
    return "\n".join(f"{name}: {value}" for name, value in lines.items() if value)
