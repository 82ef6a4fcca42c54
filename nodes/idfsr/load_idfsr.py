"""The node that loads an IDFSR model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...headsup_core.idfsr.idfsr_file import DEFAULT_IDFSR, find_idfsr_file
from ..bridge.comfy import ComfyNode, IDFSRModelSocket, io, schema
from ..bridge.input_kinds import checked
from ..models.model_files import BUNDLED_MARK, find_choice, fingerprint, idfsr_choices, share_idfsr

if TYPE_CHECKING:
    from pathlib import Path

    from ...headsup_core.idfsr.idfsr_model import IDFSRModel

DEFAULT_CHOICE = DEFAULT_IDFSR + BUNDLED_MARK


class HeadsUpLoadIDFSR(ComfyNode):
    """`HEADSUP_IDFSR_MODEL` from a file."""

    @classmethod
    def define_schema(cls) -> Any:  # noqa: ANN401 - ComfyUI's Schema
        return schema(
            group="tiny faces",
            node_id="HeadsUpLoadIDFSR",
            display_name="HeadsUp Load IDFSR",
            description="Loads a model that restores very small faces (x8 and x16) of people whose photos you have. "
            "The output info names its licence, what it was trained on and which face recogniser it needs.",
            search_aliases=["tiny face", "face super resolution", "reference face", "headsup", "人脸超分"],
            inputs=[
                io.Combo.Input(
                    "model",
                    options=[DEFAULT_CHOICE, *idfsr_choices()],
                    default=DEFAULT_CHOICE,
                    tooltip="idfsr-tiny comes with the pack (MIT licence; faces of 128 px). The other names are the "
                    "IDFSR files in models/headsup; their licences are in the output info.",
                ),
            ],
            outputs=[
                IDFSRModelSocket.Output(
                    "IDFSR_MODEL",
                    display_name="idfsr model",
                    tooltip="For HeadsUp Restore Tiny Faces (IDFSR) and HeadsUp Warp Reference.",
                ),
                io.String.Output(
                    "INFO", display_name="info", tooltip="Name, licence, training data, size of its faces, recogniser."
                ),
            ],
        )

    @classmethod
    def fingerprint_inputs(cls, model: str) -> str:
        return str(fingerprint(_file(model)))

    @classmethod
    @checked
    def execute(cls, model: str) -> Any:  # noqa: ANN401 - ComfyUI's NodeOutput
        path = _file(model)
        loaded = share_idfsr(path)
        return io.NodeOutput(loaded, describe(loaded, path))


def _file(choice: str) -> Path:
    bundled = choice == DEFAULT_CHOICE
    return find_idfsr_file() if bundled else find_choice(choice)


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
