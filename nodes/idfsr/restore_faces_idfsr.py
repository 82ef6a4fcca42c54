"""The node that restores assigned faces with IDFSR."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from ...headsup_core.idfsr.restore_faces import PersonOptions, PersonSession, restore_people
from ...headsup_core.option_fields import declared_options
from ..bridge.comfy import ComfyNode, FacesSocket, IdentitiesSocket, IDFSRModelSocket, io, schema
from ..bridge.host import DEVICES, ComfyHost
from ..bridge.input_kinds import checked
from ..bridge.messages import said
from ..bridge.option_inputs import advanced_input, given_options, option_input
from ..bridge.pictures import Canvas, Pictures
from ..bridge.precision import outgoing
from ..faces.face_analyzers import finder_of
from ..people.identity_list import check_somebody

if TYPE_CHECKING:
    from ...headsup_core.faces import Faces
    from ...headsup_core.idfsr.idfsr_model import IDFSRModel
    from ..people.identity_list import Identities

OPTIONS = declared_options(PersonOptions)


class HeadsUpRestoreFacesIDFSR(ComfyNode):
    """Pictures in, pictures with the faces of known people out."""

    @classmethod
    def define_schema(cls) -> Any:  # noqa: ANN401 - ComfyUI's Schema
        return schema(
            group="tiny faces",
            node_id="HeadsUpRestoreFacesIDFSR",
            has_intermediate_output=True,
            display_name="HeadsUp Restore Tiny Faces (IDFSR)",
            description="Makes very small faces of known people anew: each face that a person is assigned to is cut "
            "out, restored after the person's photos and laid back. All other faces keep every bit. The face that "
            "comes out is the person's you assigned: a wrong person gives a wrong face.",
            search_aliases=["tiny face", "face super resolution", "reference face", "headsup", "人脸超分", "修脸"],
            inputs=[
                io.Image.Input("image", tooltip="The pictures at the size that you want: enlarge small ones first."),
                FacesSocket.Input("faces", tooltip="With people: from HeadsUp Assign Identities."),
                IdentitiesSocket.Input("identities", tooltip="The people, from Encode or Load Identity."),
                IDFSRModelSocket.Input("idfsr_model", tooltip="From HeadsUp Load IDFSR."),
                option_input(OPTIONS["steps"], default=20),
                option_input(OPTIONS["seed"], control_after_generate=True),
                option_input(OPTIONS["feather"]),
                option_input(OPTIONS["allow_smaller"]),
                advanced_input(
                    io.Combo,
                    "device",
                    options=list(DEVICES),
                    default="auto",
                    tooltip="Where the model computes. auto (default): the device that ComfyUI uses. cpu: slower, but "
                    "takes no GPU memory.",
                ),
            ],
            outputs=[
                io.Image.Output("IMAGE", display_name="image", tooltip="The pictures; only assigned faces changed."),
                io.String.Output(
                    "REPORT",
                    display_name="report",
                    tooltip="Each face in words: restored or not and why, how alike it was to the person, warnings.",
                ),
            ],
        )

    @classmethod
    @checked
    def execute(
        cls,
        image: torch.Tensor,
        faces: Faces,
        identities: Identities,
        idfsr_model: IDFSRModel,
        device: str,
        **widgets: Any,  # noqa: ANN401 - of the options
    ) -> Any:  # noqa: ANN401 - ComfyUI's NodeOutput
        check_somebody(identities)
        pictures = Pictures.from_image(image)
        options = PersonOptions(**given_options(PersonOptions, widgets))
        session = PersonSession(idfsr_model, options, ComfyHost.on(device), finder_of(faces))
        result = restore_people(pictures.rgb, faces, identities, session)
        canvas = Canvas(pictures, *pictures.rgb.shape[-2:])
        for index, picture in enumerate(result.image.split(1)):
            canvas.put(index, picture)
            alpha = pictures.alpha_at(index, *pictures.rgb.shape[-2:])
            if alpha is not None:
                canvas.image[index, ..., 3] = alpha[0, 0]
        report = "\n".join(map(str, result.outcomes)) or "no faces"
        left = [str(one) for one in result.outcomes if one.identity and not one.restored]
        ui = said(left if result.outcomes else ["no faces: nothing was restored"])
        return io.NodeOutput(outgoing(canvas.image), report, ui=ui)
