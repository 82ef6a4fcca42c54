"""The node that hands faces to Impact Pack."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...headsup_core.faces.masks import SHAPES, Outline
from ...headsup_core.faces.segs import faces_to_segs
from ..bridge.comfy import ComfyNode, FacesSocket, SegsSocket, io, schema
from ..bridge.input_kinds import checked
from ..bridge.pictures import Pictures
from .face_choice import chosen_in, feather_input, grow_input, parse_which, which_input
from .faces_to_mask import PARSING

if TYPE_CHECKING:
    import torch

    from ...headsup_core.faces import Faces


class HeadsUpFacesToSEGS(ComfyNode):
    """Faces in, SEGS of ComfyUI-Impact-Pack out."""

    @classmethod
    def define_schema(cls) -> Any:  # noqa: ANN401 - ComfyUI's Schema
        return schema(
            group="faces",
            node_id="HeadsUpFacesToSEGS",
            display_name="HeadsUp Faces to SEGS",
            description="Faces as the SEGS of ComfyUI-Impact-Pack, for its Detailer (SEGS) and others. This node works "
            "without that pack. SEGS know one picture: of a batch, the first counts.",
            search_aliases=["impact pack", "facedetailer", "segs", "headsup", "人脸分割"],
            inputs=[
                FacesSocket.Input("faces", tooltip="From HeadsUp Detect Faces."),
                io.Image.Input(
                    "image",
                    tooltip="The picture that the detailer will work on; the faces are scaled to it. As many pictures "
                    "as the faces have; only the first is used.",
                ),
                io.Float.Input(
                    "crop_factor",
                    default=3.0,
                    min=1.0,
                    max=100.0,
                    step=0.1,
                    round=0.001,
                    tooltip="Side of the crop that is worked on over the side of the face's box, 1 to 100, default 3. "
                    "More shows the detailer more surroundings and leaves the face fewer pixels.",
                ),
                io.Combo.Input(
                    "shape",
                    options=[name for name in SHAPES if name != PARSING],
                    default=SHAPES[0],
                    tooltip="What of the crop is painted. ellipse (default): chin to hair. box: the detector's box. "
                    "hull: around eyes and mouth.",
                ),
                grow_input(),
                feather_input(0.0),
                which_input(),
            ],
            outputs=[
                SegsSocket.Output(
                    "SEGS",
                    display_name="segs",
                    tooltip="One segment a face, labelled face, in the order of the faces.",
                )
            ],
        )

    @classmethod
    @checked
    def execute(
        cls,
        faces: Faces,
        image: torch.Tensor,
        crop_factor: float,
        which: str,
        **drawn: Any,  # noqa: ANN401 - the fields of Outline
    ) -> Any:  # noqa: ANN401 - ComfyUI's NodeOutput
        rgb = Pictures.from_image(image).rgb
        (only, *_others) = chosen_in(faces, parse_which(which))
        return io.NodeOutput(faces_to_segs(faces, rgb, crop_factor, Outline(**drawn), only))
