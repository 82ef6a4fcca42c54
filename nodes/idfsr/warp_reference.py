"""The node that shows what IDFSR sees of a face."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from ...headsup_core import InputError
from ...headsup_core.idfsr.conditioning import cut_face, see
from ..bridge.comfy import ComfyNode, FacesSocket, IdentitiesSocket, io, schema
from ..bridge.input_kinds import checked
from ..bridge.pictures import Pictures
from ..bridge.precision import outgoing

if TYPE_CHECKING:
    from ...headsup_core.faces import Faces
    from ..people.identity_list import Identities


class HeadsUpWarpReference(ComfyNode):
    """Faces and people in, the warped references and masked faces out."""

    @classmethod
    def define_schema(cls) -> Any:  # noqa: ANN401 - ComfyUI's Schema
        return schema(
            group="tiny faces",
            node_id="HeadsUpWarpReference",
            display_name="HeadsUp Warp Reference",
            description="Lays a person's photo onto each assigned face by their landmarks: what IDFSR sees, to look at "
            "or to use elsewhere. One upright crop of each face that a person with photos is assigned to.",
            search_aliases=["warp face", "face align", "reference face", "headsup", "人脸对齐"],
            inputs=[
                io.Image.Input("image", tooltip="The pictures that the faces are of: one, or a batch."),
                FacesSocket.Input("faces", tooltip="With people: from HeadsUp Assign Identities."),
                IdentitiesSocket.Input("reference", tooltip="The people, from HeadsUp Encode or Load Identity."),
                io.Int.Input(
                    "size", default=128, min=32, max=1024, step=8,
                    tooltip="Side of the crops in pixels, 32 to 1024, default 128.",
                ),
            ],
            outputs=[
                io.Image.Output("WARPED", display_name="warped", tooltip="The crop with the photo's face on it."),
                io.Image.Output("MASKED", display_name="masked", tooltip="The crop, grey where the face is."),
                io.Mask.Output("MASK", display_name="mask", tooltip="1 where the face is, soft at its outline."),
            ],
        )  # fmt: skip

    @classmethod
    @checked
    def execute(cls, image: torch.Tensor, faces: Faces, reference: Identities, size: int) -> Any:  # noqa: ANN401 - ComfyUI's NodeOutput
        pictures = Pictures.from_image(image)
        faces.check_pictures(pictures.rgb)
        faces = faces.scaled_to(*pictures.rgb.shape[-2:])
        photos = {identity.name: identity.crops[:1] for identity in reference if len(identity.crops)}
        seen = [
            see(cut.picture, cut.face, photos[face.identity])
            for index, here in enumerate(faces)
            for face in here
            if face.identity in photos
            for cut in [cut_face(pictures.one(index).float().cpu().clamp(0, 1), face, size)]
        ]
        if not seen:
            known = ", ".join(photos) or "nobody"
            raise InputError(f"no face has one of the people with photos ({known}): assign them, or look at the faces")
        warped, masked = (
            outgoing(torch.cat([getattr(one, part) for one in seen]).permute(0, 2, 3, 1).contiguous())
            for part in ("warped", "masked")
        )
        return io.NodeOutput(warped, masked, outgoing(torch.cat([one.mask[:, 0] for one in seen])))
