"""The node that restores and enlarges pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from ...headsup_core import InputError, RestoreOptions
from ...headsup_core.faces.drawing import annotate
from ...headsup_core.imaging.resizing import resize
from ...headsup_core.option_fields import declared_options
from ...headsup_core.restoring.people.identity_score import score_label
from ...headsup_core.restoring.people.tracking import FaceTracker
from ...headsup_core.restoring.session import Session
from ..bridge.comfy import ComfyNode, FacesSocket, HeadsUpModelSocket, io, schema
from ..bridge.host import ComfyHost
from ..bridge.input_kinds import checked
from ..bridge.messages import said
from ..bridge.option_inputs import advanced_input, given_options, option_input, option_inputs
from ..bridge.pictures import mask_planes, prompt_states
from ..bridge.precision import outgoing
from ..faces.face_analyzers import recogniser_of
from .picture_lists import calls_of
from .restoring import restore_batch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ...headsup_core import HeadsUpModel
    from ...headsup_core.faces import Faces
    from ..bridge.pictures import Conditioning

KEEP_GOING, STOP = "keep going", "stop"
SIZES = ("scale", "long_edge", "max_megapixels")
TILES = ("tile", "overlap", "tile_batch")
PLACED = ("strength", "color_fix", "seed", "prompt", "tags", "identity_gate")
"""Options that have their place among the inputs; each further one is appended by itself."""
LAST = ("sizing",)
"""Those that came to the node after its last sockets."""
MORE_MODELS = ("model_2", "model_3", "model_4")
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
            "picture at once or in tiles without seams. Batches and lists are done picture by picture; a list of texts "
            "gives each its own.",
            search_aliases=[
                *("upscale", "super resolution", "enhance", "tiled upscale", "portrait", "headsup"),
                *("放大", "高清修复", "超分", "人像修复"),
            ],
            has_intermediate_output=True,
            inputs=[*size_inputs(), *_result_inputs(), *_optional_inputs()],
            is_input_list=True,
            outputs=[
                io.Image.Output(
                    "IMAGE",
                    display_name="image",
                    tooltip="The restored picture; transparency is kept.",
                    is_output_list=True,
                ),
                io.Image.Output(
                    "BEFORE",
                    is_output_list=True,
                    display_name="before",
                    tooltip="The input enlarged to the same size without restoring (bicubic), to compare with.",
                ),
                io.String.Output(
                    "REPORT",
                    is_output_list=True,
                    display_name="report",
                    tooltip="Sizes, the tiles that were used (enter them again for the same bits), time, and each "
                    "picture that could not be restored, with the reason.",
                ),
                FacesSocket.Output(
                    "FACES",
                    is_output_list=True,
                    display_name="faces",
                    tooltip="The faces that were given or found, at the size of the result; those of known people with "
                    "name and identity before and after.",
                ),
                io.Image.Output(
                    "PREVIEW",
                    is_output_list=True,
                    display_name="preview",
                    tooltip="The result with each face's name, identity before -> after (0 = strangers, 1 = two good "
                    "photos of one person), the same in words, and what came of it. Longer side at most 1024 px.",
                ),
            ],
        )

    @classmethod
    @checked
    def execute(cls, **lists: list[Any]) -> Any:  # noqa: ANN401 - ComfyUI's NodeOutput
        """Each input as a list, as ComfyUI gives them to a node that takes lists."""
        done = [_upscale(**call) for call in calls_of(lists)]
        outputs = [list(one) for one in zip(*(outputs for outputs, _lines in done), strict=True)]
        return io.NodeOutput(*outputs, ui=said([line for _outputs, lines in done for line in lines]))


def _upscale(
    model: HeadsUpModel,
    image: torch.Tensor,
    on_error: str,
    faces: Faces | None = None,
    **inputs: Any,  # noqa: ANN401 - further models, and what the options are made of
) -> tuple[tuple[Any, ...], list[str]]:
    """The outputs for one batch of pictures, and what the user should hear of it."""
    options = _options(inputs, len(image))
    host = ComfyHost.on(model.device)
    others: list[HeadsUpModel] = [each for name in MORE_MODELS if (each := inputs.get(name)) is not None]
    known = any(each.identities or each.one_step.size_rule.fixed for each in (model, *others))
    analyzer = recogniser_of(faces) if known or others else None
    if options.frames and others:
        raise InputError(f"frames of a video with {len(others) + 1} models: give one model")
    session = Session(model, options, host, analyzer, tracker=FaceTracker() if options.frames else None)
    done = restore_batch(image, session, host, faces, keep_going=on_error != STOP, others=others)
    preview = outgoing(_preview(done.after, done.faces))
    outputs = (outgoing(done.after), outgoing(done.before), done.report, done.faces, preview)
    return outputs, [*done.failures, *done.sent_back]


def _options(inputs: Mapping[str, Any], pictures: int) -> RestoreOptions:
    """What is asked for a batch of so many pictures."""
    conditioning: Conditioning | None = inputs.get("conditioning")
    mask: torch.Tensor | None = inputs.get("mask")
    return RestoreOptions(
        **widget_options(inputs),
        texts=inputs.get("texts", ()),
        conditioning=None if conditioning is None else prompt_states(conditioning),
        mask=None if mask is None else mask_planes(mask, pictures),
    )


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


def widget_options(widgets: Mapping[str, Any]) -> dict[str, Any]:
    """Option -> value, of a node's widgets; a longer side takes the place of the scale."""
    given = given_options(RestoreOptions, widgets)
    return given if given["long_edge"] is None else {**given, "scale": None}


def size_inputs() -> list[Any]:
    """Model, picture, the size of the result, and how it is cut."""
    declared = declared_options(RestoreOptions)
    return [
        HeadsUpModelSocket.Input("model", tooltip="From HeadsUp Load Model."),
        io.Image.Input(
            "image",
            tooltip="Pictures to restore: one, a batch, or a list of different sizes. RGB, RGBA (the transparency is "
            "enlarged and kept) or grey.",
        ),
        option_input(declared["scale"], default=4.0),
        option_input(declared["long_edge"]),
        option_input(declared["max_megapixels"], default=100.0),
        *option_inputs(RestoreOptions, TILES),
    ]


def _result_inputs() -> list[Any]:
    declared = declared_options(RestoreOptions)
    return [
        *option_inputs(RestoreOptions, ("strength", "color_fix")),
        option_input(declared["seed"], control_after_generate=FIXED_SEED),
        advanced_input(
            io.Combo,
            "on_error",
            options=[KEEP_GOING, STOP],
            default=KEEP_GOING,
            tooltip="When a picture cannot be restored (for instance, it has NaN values). keep going (default): it is "
            "plainly enlarged, the report names it, the others are done. stop: the workflow ends with the error. "
            "Options that fit no picture always stop.",
        ),
    ]


def _optional_inputs() -> list[Any]:
    """In the order in which they came to be: widgets' values are kept by position."""
    declared = declared_options(RestoreOptions)
    inputs = [
        option_input(declared["prompt"], optional=True),
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
        option_input(declared["tags"], optional=True),
        FacesSocket.Input(
            "faces",
            optional=True,
            tooltip="The faces of the same pictures, from HeadsUp Detect Faces: no tile border goes through a face "
            "that fits a tile, and one of a size that the model does not know is restored at one that it does. Models "
            "of aligned faces (OSDFace, GFPGAN, CodeFormer): each is cut out, restored and laid back.",
        ),
        option_input(declared["identity_gate"], optional=True),
    ]
    later = [name for name in declared if name not in (*SIZES, *TILES, *PLACED, *LAST)]
    more = [
        HeadsUpModelSocket.Input(
            name,
            optional=True,
            tooltip="One more model, from HeadsUp Load Model. With several, each restores the picture, one after the "
            "other, and each face is taken from the result that is most like its person and still explains the "
            "picture; of nobody known, from the first model. The rest of the picture is the first model's. The report "
            "says whose each face is.",
        )
        for name in MORE_MODELS
    ]
    last = option_inputs(RestoreOptions, LAST, optional=True)
    return [*inputs, *option_inputs(RestoreOptions, later, optional=True), *more, *last]
