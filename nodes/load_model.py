"""The node that loads a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..headsup_core.models.loading import DTYPES
from .comfy import ComfyNode, HeadsUpModelSocket, io, schema
from .host import DEVICES, ComfyHost
from .model_files import DEFAULT_CHOICE, choices, find_choice, fingerprint, load_shared

if TYPE_CHECKING:
    from pathlib import Path

    from ..headsup_core import HeadsUpModel


class HeadsUpLoadModel(ComfyNode):
    """`HEADSUP_MODEL` from a file."""

    @classmethod
    def define_schema(cls) -> Any:  # noqa: ANN401 - ComfyUI's Schema
        return schema(
            node_id="HeadsUpLoadModel",
            display_name="HeadsUp Load Model",
            description="Loads a one-step model that restores and enlarges portraits. headsup-tiny comes with the "
            "pack and needs nothing else. The output info names the model's licence and what it was trained on.",
            search_aliases=["upscale model", "super resolution", "face restore", "headsup"],
            inputs=[
                io.Combo.Input(
                    "model",
                    options=choices(),
                    default=DEFAULT_CHOICE,
                    tooltip="headsup-tiny comes with the pack (MIT licence; x4; runs on a CPU). The other names are "
                    "the HeadsUp files in models/headsup; their licences are in the output info.",
                ),
                io.Combo.Input(
                    "dtype",
                    options=["auto", *DTYPES],
                    default="auto",
                    tooltip="Precision of the weights. auto (default): float32, and float16 for files over 200 MB on "
                    "a GPU. float32 is the most exact; the other two take half the memory.",
                ),
                io.Combo.Input(
                    "device",
                    options=list(DEVICES),
                    default="auto",
                    tooltip="Where the model computes. auto (default): the device that ComfyUI uses. cpu: slower, "
                    "but takes no GPU memory.",
                ),
            ],
            outputs=[
                HeadsUpModelSocket.Output("MODEL", display_name="model", tooltip="For HeadsUp Upscale."),
                io.String.Output(
                    "INFO",
                    display_name="info",
                    tooltip="Name, licence, training data, scale, precision, size and what else the model needs.",
                ),
            ],
        )

    @classmethod
    def fingerprint_inputs(cls, model: str, **_inputs: Any) -> str:  # noqa: ANN401 - ComfyUI's inputs
        return str(fingerprint(find_choice(model)))

    @classmethod
    def execute(cls, model: str, dtype: str, device: str) -> Any:  # noqa: ANN401 - ComfyUI's NodeOutput
        path = find_choice(model)
        handle = load_shared(path, dtype, device, ComfyHost.on(device))
        return io.NodeOutput(handle, describe(handle, path))


def describe(model: HeadsUpModel, path: Path) -> str:
    """What a person wants to know of a loaded model, line by line."""
    card, weights = model.card, model.one_step
    parameters = [parameter for network in weights.networks for parameter in network.parameters()]
    megabytes = sum(parameter.numel() * parameter.element_size() for parameter in parameters) / 1e6
    reads_text = weights.prompt.reads_text
    lines = {
        "model": f"{card.name} ({path.name})",
        "licence": card.licence,
        "trained on": card.training_data,
        "needs": "nothing else: the file holds the codec and the UNet",
        "scale": f"x{weights.scale}; any other scale works, too",
        "weights": f"{str(weights.dtype).removeprefix('torch.')}, {megabytes:.1f} MB in memory",
        "prompt": "text or conditioning" if reads_text else "none: text is ignored",
        "notes": card.notes,
    }
    return "\n".join(f"{name}: {value}" for name, value in lines.items() if value)
