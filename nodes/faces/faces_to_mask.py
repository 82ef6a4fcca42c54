"""The node that turns faces into masks."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from ...headsup_core import InputError
from ...headsup_core.faces.masks import SHAPES, FacePixels, Outline, faces_mask
from ..bridge.comfy import ComfyNode, FacesSocket, io, schema
from ..bridge.input_kinds import checked
from ..bridge.pictures import Pictures
from ..bridge.precision import outgoing
from .detection import analyzer_input
from .face_analyzers import finder_of
from .face_choice import chosen_in, feather_input, grow_input, parse_which, which_input

if TYPE_CHECKING:
    from ...headsup_core.faces import FaceAnalyzer, Faces

PARSING = "parsing"


class HeadsUpFacesToMask(ComfyNode):
    """Faces in, MASK out."""

    @classmethod
    def define_schema(cls) -> Any:  # noqa: ANN401 - ComfyUI's Schema
        return schema(
            group="faces",
            node_id="HeadsUpFacesToMask",
            display_name="HeadsUp Faces to Mask",
            description="A mask of all or some faces, one for each picture of the batch; black where there is none.",
            search_aliases=["face mask", "face parsing", "bbox to mask", "headsup", "人脸遮罩"],
            inputs=[
                FacesSocket.Input("faces", tooltip="From HeadsUp Detect Faces."),
                io.Combo.Input(
                    "shape",
                    options=list(SHAPES),
                    default=SHAPES[0],
                    tooltip="ellipse (default): chin to hair, turned as the head is. box: the detector's box, with "
                    "more background. hull: around eyes and mouth only. parsing: the face's own pixels, most exact; "
                    "needs image, and a facexlib analyzer with parsing_parsenet.pth (NON-COMMERCIAL).",
                ),
                grow_input(),
                feather_input(0.25),
                which_input(),
                io.Image.Input(
                    "image",
                    optional=True,
                    tooltip="The mask gets its size, and the faces are scaled to it: for a picture that was enlarged "
                    "since. As many pictures as the faces have. Needed for parsing. Unconnected: the size of the "
                    "picture that the faces were found in.",
                ),
                analyzer_input("parses faces (facexlib), for the shape parsing only", "the one that found the faces"),
            ],
            outputs=[io.Mask.Output("MASK", display_name="mask", tooltip="White on the faces, one a picture.")],
        )

    @classmethod
    @checked
    def execute(
        cls,
        faces: Faces,
        which: str,
        image: torch.Tensor | None = None,
        analyzer: FaceAnalyzer | None = None,
        **drawn: Any,  # noqa: ANN401 - the fields of Outline
    ) -> Any:  # noqa: ANN401 - ComfyUI's NodeOutput
        outline = Outline(**drawn)
        wanted = parse_which(which)
        chosen = chosen_in(faces, wanted)
        rgb: torch.Tensor | None = None
        if image is not None:
            rgb = Pictures.from_image(image).rgb
            faces.check_pictures(rgb)
            faces = faces.scaled_to(*rgb.shape[-2:])
        parser: Any = None
        if outline.shape == PARSING:
            parser = _parser(analyzer or finder_of(faces))
            if rgb is None:
                raise InputError("shape parsing looks at the face's pixels: connect image")
        masks = [
            faces_mask(
                replace(faces, pictures=(here,)),
                0,
                outline,
                only,
                None if rgb is None or parser is None else _pixels(rgb[index : index + 1], parser),
            )
            for index, (here, only) in enumerate(zip(faces, chosen, strict=True))
        ]
        return io.NodeOutput(outgoing(torch.cat(masks)[:, 0]))


def _pixels(picture: torch.Tensor, parser: Any) -> FacePixels:  # noqa: ANN401 - a FacexlibAnalyzer with ParseNet
    return FacePixels(picture.float().cpu().clamp(0, 1), parser)


def _parser(analyzer: FaceAnalyzer | None) -> Any:  # noqa: ANN401 - a FacexlibAnalyzer with ParseNet
    if not getattr(analyzer, "parses", False):
        name = "none" if analyzer is None else analyzer.name
        raise InputError(
            f"shape parsing needs a facexlib analyzer with parsing_parsenet.pth in models/facedetection, the analyzer "
            f"here is {name}: connect one, or choose another shape"
        )
    return analyzer
