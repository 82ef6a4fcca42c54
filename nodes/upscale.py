"""The node that restores and enlarges pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from ..headsup_core import InputError
from ..headsup_core.faces.drawing import annotate
from ..headsup_core.imaging.color import COLOR_FIXES
from ..headsup_core.imaging.resizing import resize
from ..headsup_core.restoring.people.gate import GATE_MODES
from ..headsup_core.restoring.people.identity_score import score_label
from .comfy import ComfyNode, FacesSocket, HeadsUpModelSocket, io, model_management, schema
from .face_analyzers import recogniser_of
from .host import ComfyHost
from .messages import show_on_node
from .pictures import mask_planes, prompt_states
from .restoring import Options, restore_batch

if TYPE_CHECKING:
    from ..headsup_core import HeadsUpModel
    from ..headsup_core.faces import Faces
    from ..headsup_core.restoring.people.gate import GateMode
    from .pictures import Conditioning

KEEP_GOING, STOP = "keep going", "stop"
PREVIEW_SIDE = 1024
"""Longer side in pixels of the picture with names and scores."""
# 0.3.75 knows the seed's control only as on or off
FIXED_SEED: Any = getattr(getattr(io, "ControlAfterGenerate", None), "fixed", True)


class HeadsUpUpscale(ComfyNode):
    """IMAGE in, restored IMAGE out."""

    @classmethod
    def define_schema(cls) -> Any:  # noqa: ANN401 - ComfyUI's Schema
        return schema(
            node_id="HeadsUpUpscale",
            display_name="HeadsUp Upscale",
            description="Restores and enlarges portraits (and other photographs) with one diffusion step, the whole "
            "picture at once or in tiles without seams. Batches and lists are done picture by picture.",
            search_aliases=[
                *("upscale", "super resolution", "face restore", "portrait", "headsup", "enhance"),
                *("放大", "高清修复", "超分", "人像修复", "修脸"),
            ],
            inputs=[*size_inputs(), *tile_inputs(), *_result_inputs(), *_optional_inputs()],
            outputs=[
                io.Image.Output("IMAGE", display_name="image", tooltip="The restored picture; transparency is kept."),
                io.Image.Output(
                    "BEFORE",
                    display_name="before",
                    tooltip="The input enlarged to the same size without restoring (bicubic), to compare with.",
                ),
                io.String.Output(
                    "REPORT",
                    display_name="report",
                    tooltip="Sizes, the tiles that were used (enter them again for the same bits), time, and each "
                    "picture that could not be restored, with the reason.",
                ),
                FacesSocket.Output(
                    "FACES",
                    display_name="faces",
                    tooltip="The faces that were given or found, at the size of the result; those of known people with "
                    "name and identity before and after.",
                ),
                io.Image.Output(
                    "PREVIEW",
                    display_name="preview",
                    tooltip="The result with each face's name, identity before -> after (0 = strangers, 1 = two good "
                    "photos of one person), the same in words, and what came of it. Longer side at most 1024 px.",
                ),
            ],
        )

    @classmethod
    def execute(
        cls,
        model: HeadsUpModel,
        image: torch.Tensor,
        scale: float,
        long_edge: int,
        max_megapixels: float,
        tile: int,
        overlap: int,
        tile_batch: int,
        strength: float,
        color_fix: str,
        seed: int,
        on_error: str,
        prompt: str = "",
        conditioning: Conditioning | None = None,
        mask: torch.Tensor | None = None,
        tags: str = "",
        faces: Faces | None = None,
        identity_gate: GateMode = "on",
    ) -> Any:  # noqa: ANN401 - ComfyUI's NodeOutput
        check_size(scale, long_edge)
        options = Options(
            scale=None if long_edge else scale,
            long_edge=long_edge or None,
            max_megapixels=max_megapixels,
            tile=tile,
            overlap=None if overlap == -1 else overlap,
            tile_batch=tile_batch,
            strength=strength,
            color_fix=None if color_fix == "auto" else color_fix,
            seed=seed,
            prompt=(prompt.strip() or None) if conditioning is None else prompt_states(conditioning),
            mask=None if mask is None else mask_planes(mask, len(image)),
            tags=tags.strip() or None,
            faces=faces,
            identity_gate=identity_gate,
            analyzer=recogniser_of(faces) if model.identities else None,
        )
        host = ComfyHost.on(model.device)
        done = restore_batch(image, model, options, host, keep_going=on_error != STOP)
        if done.failures:
            show_on_node("\n".join(done.failures))
        device = model_management.intermediate_device()
        preview = _preview(done.after, done.faces).to(device)
        return io.NodeOutput(done.after.to(device), done.before.to(device), done.report, done.faces, preview)


def _preview(after: torch.Tensor, faces: Faces) -> torch.Tensor:
    """IMAGE `[B,h,w,3]` of an IMAGE `[B,H,W,C]`, reduced, with each face's label."""
    height, width = after.shape[1:3]
    factor = min(1.0, PREVIEW_SIDE / max(height, width))
    size = (max(1, round(height * factor)), max(1, round(width * factor)))
    drawn: list[torch.Tensor] = []
    for picture, here in zip(after.split(1), faces.scaled_to(*size), strict=True):
        small = resize(picture[..., :3].permute(0, 3, 1, 2), *size, "area")
        drawn.append(annotate(small, here, [score_label(index, face) for index, face in enumerate(here)]))
    return torch.cat(drawn).permute(0, 2, 3, 1).contiguous()


def check_size(scale: float, long_edge: int) -> None:
    """Raises `InputError` when neither says how large the result shall be."""
    if not scale and not long_edge:
        raise InputError("scale 0 and long edge 0: set one of them, for instance scale 4")


def size_inputs() -> list[Any]:
    """Model, picture, and the size of the result."""
    return [
        HeadsUpModelSocket.Input("model", tooltip="From HeadsUp Load Model."),
        io.Image.Input(
            "image",
            tooltip="Pictures to restore: one, a batch, or a list of different sizes. RGB, RGBA (the transparency is "
            "enlarged and kept) or grey.",
        ),
        io.Float.Input(
            "scale",
            default=4.0,
            min=0.0,
            max=16.0,
            step=0.25,
            round=0.001,
            tooltip="Enlargement, 0 to 16, default 4. 1 restores without enlarging. Not used when long_edge is set.",
        ),
        io.Int.Input(
            "long_edge",
            default=0,
            min=0,
            max=32768,
            step=1,  # ComfyUI rounds what is typed to multiples of it
            tooltip="Longer side of the result in pixels, up to 32768; it takes the place of scale. 0 (default): use "
            "scale.",
        ),
        io.Float.Input(
            "max_megapixels",
            default=100.0,
            min=0.0,
            max=1000.0,
            step=1.0,
            round=0.01,
            tooltip="A larger result is made smaller, in proportion, to this many million pixels, and the report says "
            "so. Default 100, 0: no cap. Guards against a huge photo that takes hours.",
        ),
    ]


def tile_inputs() -> list[Any]:
    """How the picture is cut."""
    return [
        io.Int.Input(
            "tile",
            default=0,
            min=0,
            max=8192,
            step=8,
            tooltip="Largest tile side in pixels of the result. 0 (default): chosen by the model and the free memory. "
            "Smaller takes less memory and more time. Out of memory halves it by itself.",
        ),
        io.Int.Input(
            "overlap",
            default=-1,
            min=-1,
            max=4096,
            step=1,
            tooltip="How far neighbouring tiles overlap at least, in pixels of the result; must be below the tile. -1 "
            "(default): 128, or a quarter of the tile when that is less. More hides differences between tiles better "
            "and takes longer; 0 may show seams.",
        ),
        io.Int.Input(
            "tile_batch",
            default=0,
            min=0,
            max=64,
            step=1,
            tooltip="Tiles that are computed together. 0 (default): 1 on a CPU, up to 8 on a GPU as memory allows. "
            "More is faster on a GPU and takes more memory.",
        ),
    ]


def _result_inputs() -> list[Any]:
    return [
        io.Float.Input(
            "strength",
            default=1.0,
            min=0.0,
            max=1.0,
            step=0.05,
            round=0.001,
            tooltip="How much of the restoration is used, 0 to 1, default 1. 0 is exactly the plain enlargement.",
        ),
        io.Combo.Input(
            "color_fix",
            options=["auto", *COLOR_FIXES],
            default="auto",
            tooltip="Takes the colours back from the input, over the whole picture. auto (default): what the model was "
            "made for. none: as the model paints. adain: mean and contrast of each colour. wavelet: all coarse light "
            "and colour, may leave bright rims. lab: coarse colour only, and brightness as a whole, without rims: the "
            "choice for portraits with a colour cast.",
        ),
        io.Int.Input(
            "seed",
            default=0,
            min=0,
            max=0xFFFFFFFFFFFFFFFF,
            control_after_generate=FIXED_SEED,
            tooltip="Start of the random numbers, for models that draw some. headsup-tiny draws none: its result does "
            "not depend on the seed.",
        ),
        io.Combo.Input(
            "on_error",
            options=[KEEP_GOING, STOP],
            default=KEEP_GOING,
            tooltip="When a picture cannot be restored (for instance, it has NaN values). keep going (default): it is "
            "plainly enlarged, the report names it, the others are done. stop: the workflow ends with the error. "
            "Options that fit no picture always stop.",
        ),
    ]


def _optional_inputs() -> list[Any]:
    return [
        io.String.Input(
            "prompt",
            default="",
            multiline=True,
            optional=True,
            tooltip="What the picture shows, for models that read text; the others ignore it and the report says so. "
            "Empty (default): the model's own prompt.",
        ),
        io.Conditioning.Input(
            "conditioning",
            optional=True,
            tooltip="A prompt that is encoded already (CLIP Text Encode), in place of prompt. Exactly one entry, as "
            "wide as the model's text encoder.",
        ),
        io.Mask.Input(
            "mask",
            optional=True,
            tooltip="White is restored, black stays the plain enlargement, grey mixes. Any size; one mask, or one for "
            "each picture of the batch.",
        ),
        io.String.Input(
            "tags",
            default="",
            optional=True,
            tooltip="Comma-separated words for what is seen, from any tagger, for systems that want them (OSEDiff). "
            "Empty (default): none.",
        ),
        FacesSocket.Input(
            "faces",
            optional=True,
            tooltip="The faces of the same pictures, from HeadsUp Detect Faces: no tile border goes through a face "
            "that fits a tile, and one of a size that the model does not know is restored at one that it does. Models "
            "of aligned faces (OSDFace): each is cut out, restored and laid back.",
        ),
        io.Combo.Input(
            "identity_gate",
            options=[*GATE_MODES],
            default="on",
            optional=True,
            tooltip="Guards the faces of known people (HeadsUp Inject Identity). on (default): a face that became less "
            "like its person, or somebody else, is taken from the restoration without the photos, or else from the "
            "plain enlargement. report: it is only scored. off: not even scored, which saves time.",
        ),
    ]
