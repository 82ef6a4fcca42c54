"""The node that loads a model."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from ...headsup_core import InputError
from ...headsup_core.idfsr.known_faces import SMALL_EYES, IDFSRPainter
from ...headsup_core.models.loading import DTYPES
from ...headsup_core.models.precision import offered
from ...headsup_core.models.systems import load_options
from ...headsup_core.option_fields import OptionField
from ..bridge.comfy import ComfyNode, HeadsUpModelSocket, io, schema
from ..bridge.host import DEVICES, ComfyHost
from ..bridge.input_kinds import checked
from ..bridge.option_inputs import advanced_input, given_option, option_input, unset_value
from ..bridge.precision import chosen_dtype
from .model_files import DEFAULT_CHOICE, choices, face_restorer_choices, find_choice, fingerprint, load_shared
from .model_options import OF_CHOICES, OF_MODELS, marked, options_of_choice, options_of_choices, options_of_systems
from .system_files import (
    AUTO,
    NONE,
    SYSTEM_CHOICES,
    adapter_choices,
    adapter_fingerprint,
    base_choices,
    base_fingerprint,
    find_base_choice,
    load_adapted,
    taesd_fingerprint,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ...headsup_core import HeadsUpModel


ALONE = "nothing else: the file holds the codec and the UNet"


class HeadsUpLoadModel(ComfyNode):
    """`HEADSUP_MODEL` from a file."""

    @classmethod
    def define_schema(cls) -> Any:  # noqa: ANN401 - ComfyUI's Schema
        return schema(
            node_id="HeadsUpLoadModel",
            display_name="HeadsUp Load Model",
            description="Loads a one-step model that restores and enlarges portraits. headsup-tiny comes with the "
            "pack and needs nothing else. The output info names the model's licence and what it was trained on.",
            search_aliases=["upscale model", "super resolution", "checkpoint", "headsup", "放大模型", "人像修复"],
            inputs=[
                _with_options(
                    "model",
                    [*choices(), *face_restorer_choices()],
                    default=DEFAULT_CHOICE,
                    tooltip="headsup-tiny comes with the pack (MIT licence; x4; runs on a CPU). idfsr-tiny, an "
                    "experiment, is headsup-tiny and paints very small faces (eyes less than 8 px apart) of people "
                    "whose photos you have. The other names are the files in models/headsup, and the face restorers in "
                    "models/facerestore_models: GFPGAN, RestoreFormer, CodeFormer (NON-COMMERCIAL) and GPEN "
                    "(NON-COMMERCIAL), which restore each face and leave the rest plainly enlarged. Licences are in "
                    "the output info.",
                ),
                advanced_input(
                    io.Combo,
                    "dtype",
                    options=["auto", *DTYPES],
                    default="auto",
                    tooltip="Precision of the weights. auto (default): what ComfyUI was started with (--force-fp16, "
                    "--bf16-unet ...), else float32, float16 for files over 200 MB on a GPU, and bfloat16 for "
                    "HeadsUp's own on CPUs made for it. float32 is the most exact; the other two take half the memory.",
                ),
                advanced_input(
                    io.Combo,
                    "device",
                    options=list(DEVICES),
                    default="auto",
                    tooltip="Where the model computes. auto (default): the device that ComfyUI uses. cpu: slower, "
                    "but takes no GPU memory.",
                ),
                _with_options(
                    "adapter",
                    adapter_choices(),
                    default=NONE,
                    optional=True,
                    tooltip="A published system's file in models/headsup, used with base in place of model: OSEDiff "
                    "and OSEDiff-Face (Apache-2.0), PiSA-SR (Apache-2.0), S3Diff (Apache-2.0; needs de_net.pth beside "
                    "it), HYPIR (NON-COMMERCIAL), OSDFace (no licence given; needs associate_2.ckpt and "
                    "embedding_change_weights.pth beside it), HeadsUp (see info). none (default): use model.",
                ),
                io.Combo.Input(
                    "base",
                    options=base_choices(),
                    default=NONE,
                    optional=True,
                    tooltip="What the adapter goes beside: Stable Diffusion 2.1-base (SD-Turbo for S3Diff), a file in "
                    "models/checkpoints or a folder in models/diffusers. Adapters over the same base share it.",
                ),
                marked(
                    advanced_input(
                        io.Combo,
                        "system",
                        options=list(SYSTEM_CHOICES),
                        default=AUTO,
                        optional=True,
                        tooltip="Which system the adapter is of. auto (default): found by what the file holds; an "
                        "OSEDiff-Face file holds the same as OSEDiff's and is found by 'face' in its name.",
                    ),
                    **{OF_CHOICES: options_of_systems()},
                ),
                *(
                    marked(_option_of_models(field), **{OF_MODELS: {"minimum": field.minimum}})
                    for field in load_options().values()
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
    def validate_inputs(cls, model: str = "", adapter: str = "", base: str = "") -> bool:
        """Names of files that are not there pass: the page hides why a value is not in a list, and shows our errors."""
        del model, adapter, base
        return True

    @classmethod
    def fingerprint_inputs(  # ComfyUI's inputs
        cls,
        model: str,
        adapter: str = NONE,
        base: str = NONE,
        decoder: str = "own",
        **_inputs: Any,  # noqa: ANN401
    ) -> str:
        if adapter == NONE:
            return str(fingerprint(find_choice(model)))
        weights = None if base == NONE else base_fingerprint(find_base_choice(base))
        quick = taesd_fingerprint() if decoder == "taesd" else None
        return str((adapter_fingerprint(find_choice(adapter)), weights, quick))

    @classmethod
    @checked
    def execute(
        cls,
        model: str,
        dtype: str,
        device: str,
        adapter: str = NONE,
        base: str = NONE,
        **widgets: Any,  # noqa: ANN401 - the system, and the declared options
    ) -> Any:  # noqa: ANN401 - ComfyUI's NodeOutput
        system = widgets.pop("system", AUTO)
        options, host = chosen_options(widgets, model if adapter == NONE else adapter), ComfyHost.on(device)
        dtype = chosen_dtype(dtype)
        if adapter != NONE:
            if base == NONE:
                raise InputError(f"adapter {adapter} needs a base: choose a Stable Diffusion 2.1-base or SD-Turbo file")
            path, base_path = find_choice(adapter), find_base_choice(base)
            named = {} if system == AUTO else {"system": system}
            handle = load_adapted(path, base_path, dtype, host, options | named)
            needs = f"its base, {handle.one_step.base}; chosen is {base_path.name}, which its adapters share"
            return _loaded(handle, device, path, needs)
        if base != NONE or system != AUTO:
            given = f"base {base}" if base != NONE else f"system {system}"
            raise InputError(f"{given} is used with an adapter only: choose one, or leave it out")
        path = find_choice(model)
        handle = load_shared(path, dtype, host, options)
        needs = "nothing else: the file holds the whole network" if handle.one_step.size_rule.fixed else ALONE
        return _loaded(handle, device, path, needs)


def _loaded(handle: HeadsUpModel, device: str, path: Path, needs: str) -> Any:  # noqa: ANN401 - ComfyUI's NodeOutput
    handle = replace(handle, device=device)
    return io.NodeOutput(handle, describe(handle, path, needs))


def _with_options(name: str, files: list[str], **settings: Any) -> Any:  # noqa: ANN401 - ComfyUI's input
    """The choice of a file, with the options of each for the page."""
    return marked(io.Combo.Input(name, options=files, **settings), **{OF_CHOICES: options_of_choices(files)})


def _option_of_models(field: OptionField) -> Any:  # noqa: ANN401 - ComfyUI's input
    """An option that some models have. Of a number that may be unset the page shows the chosen model's default."""
    if field.kind is not float or not field.optional:
        return option_input(field, optional=True)
    own = f"Shown is the model's own default until you turn it; in prompts {unset_value(field):g} stands for that."
    said = f"{field.help} {field.range_text[0].upper()}{field.range_text[1:]}. {own}"
    return option_input(field, optional=True, tooltip=said)


@lru_cache(maxsize=1)
def default_model() -> HeadsUpModel:
    """The model that comes with the pack, on the device that ComfyUI uses; kept for the next run."""
    return load_shared(find_choice(DEFAULT_CHOICE), chosen_dtype("auto"), ComfyHost.on("auto"), {})


def chosen_options(widgets: Mapping[str, Any], choice: str) -> dict[str, Any]:
    """The options whose widgets were turned; the others keep the default of the chosen file, which the page shows.

    So the weights of an untouched node are those that other nodes share.
    """
    declared, own = load_options(), options_of_choice(choice) or {}
    given = {name: given_option(declared[name], value) for name, value in widgets.items()}
    return {name: value for name, value in given.items() if value not in (declared[name].default, own.get(name))}


def _known_faces(model: HeadsUpModel) -> str:
    """Who paints them, of a model that does not restore them itself."""
    if not isinstance(model.painter, IDFSRPainter):
        return ""
    painter = model.painter
    card = painter.model.architecture.card
    return (
        f"{painter.name} ({card.licence}) paints those whose eyes lie less than {SMALL_EYES:g} px apart in the input, "
        f"after the photos that HeadsUp Inject Identity brings; trained on {card.training_data}"
    )


def describe(model: HeadsUpModel, path: Path, needs: str = ALONE) -> str:
    """What a person wants to know of a loaded model, line by line."""
    card, weights = model.card, model.one_step
    parameters = [parameter for network in weights.networks for parameter in network.parameters()]
    megabytes = sum(parameter.numel() * parameter.element_size() for parameter in parameters) / 1e6
    reads_text = weights.prompt.reads_text
    side, detail = weights.aligned_face, weights.record.detail
    restores = f"aligned faces of {side} px: give HeadsUp Upscale the faces of its pictures" if side else ""
    lines = {
        "model": f"{card.name} ({path.name})",
        "licence": card.licence,
        "trained on": card.training_data,
        "system": weights.system,
        "needs": needs,
        "restores": restores,
        "known faces": _known_faces(model),
        "scale": f"x{weights.scale}; any other scale works, too",
        "weights": f"{str(weights.dtype).removeprefix('torch.')}, {megabytes:.1f} MB in memory",
        "faster": offered("auto", weights.dtype, ComfyHost.on(model.device).device),
        "prompt": "text or conditioning" if reads_text else "none: text is ignored",
        "detail": "" if detail is None else f"{detail:g}, of 0 (faithful) to 1 (crisp)",
        "notes": card.notes,
    }
    return "\n".join(f"{name}: {value}" for name, value in lines.items() if value)
