"""The node that says who is who."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from ...headsup_core.faces import NOBODY
from ...headsup_core.faces.drawing import annotate, short_name
from ...headsup_core.identity import assign, with_overrides
from ...headsup_core.identity.similarity import calibration_of
from ..bridge.comfy import ComfyNode, FacesSocket, IdentitiesSocket, io, schema
from ..bridge.input_kinds import checked
from ..bridge.pictures import Pictures
from ..bridge.precision import outgoing
from ..faces.detection import analyzer_input, place, shown
from ..faces.face_analyzers import recogniser_of
from .inject_identity import match_threshold_input

if TYPE_CHECKING:
    from ...headsup_core.faces import Face, FaceAnalyzer, Faces
    from .identity_list import Identities


class HeadsUpAssignIdentities(ComfyNode):
    """Faces in, faces with names out."""

    @classmethod
    def define_schema(cls) -> Any:  # noqa: ANN401 - ComfyUI's Schema
        return schema(
            group="people",
            node_id="HeadsUpAssignIdentities",
            display_name="HeadsUp Assign Identities",
            description="Says who is who: each person is assigned to the face that is most alike, nobody to two faces "
            "of one picture, and shows the pictures with names. A wrong name can be corrected by its index.",
            search_aliases=["face matching", "who is who", "face recognition", "headsup", "人脸匹配", "人物指定"],
            inputs=[
                io.Image.Input("image", tooltip="The pictures that the faces were found in: one, or a batch."),
                FacesSocket.Input("faces", tooltip="From HeadsUp Detect Faces. Names that they have already stay."),
                IdentitiesSocket.Input(
                    "identities", tooltip="From HeadsUp Encode Identity or HeadsUp Load Identity. Names must differ."
                ),
                match_threshold_input("threshold"),
                io.String.Input(
                    "override",
                    default="",
                    tooltip="Names by the index that the preview shows, with commas: 0=Ada, 2=nobody. It wins over the "
                    "similarity; in a batch it counts in each picture that has such a face. Empty (default): none.",
                ),
                analyzer_input("recognises the faces", "the one that found them, or dlib where that recognises nobody"),
            ],
            outputs=[
                FacesSocket.Output(
                    "FACES",
                    display_name="faces",
                    tooltip="The same faces with names, for HeadsUp Upscale, which then asks nobody else: a face "
                    "without a name here stays without.",
                ),
                io.Image.Output(
                    "PREVIEW",
                    display_name="preview",
                    tooltip="The pictures with each face's index, name, and similarity in words and as a number (0 = "
                    "strangers, 1 = two good photos of one person); of many faces only the index.",
                ),
                io.String.Output(
                    "REPORT", display_name="report", tooltip="Each face in words, with the next most similar person."
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
        threshold: float,
        override: str = "",
        analyzer: FaceAnalyzer | None = None,
    ) -> Any:  # noqa: ANN401 - ComfyUI's NodeOutput
        pictures = Pictures.from_image(image).rgb.float().cpu()
        faces.check_pictures(pictures)
        chosen = with_overrides(faces, override, [identity.name for identity in identities])
        used = recogniser_of(chosen, analyzer)
        named, decided = assign(pictures, chosen, identities, used, threshold)
        final = named.map(_final)
        drawn = [
            annotate(picture, here, [_label(index, face, used.embedder_id) for index, face in enumerate(here)])
            for picture, here in zip(pictures.split(1), final, strict=True)
        ]
        preview = torch.cat(drawn).permute(0, 2, 3, 1).contiguous()
        lines = [f"{place(index, len(final))}{one}" for index, ones in enumerate(decided) for one in ones]
        text = "\n".join(lines) or "no face: nobody could be recognised"
        return io.NodeOutput(final, outgoing(preview), text, ui=shown(preview))


def _final(face: Face) -> Face:
    """Without a name: nobody, so that the picture shows what will be done."""
    return replace(face, identity=face.identity or NOBODY)


def _label(index: int, face: Face, embedder_id: str) -> str:
    title = f"{index}: {short_name(face.identity or 'nobody')}"
    if face.identity_score is None:
        return title
    verdict = calibration_of(embedder_id).verdict(face.identity_score)
    return f"{title}\n{verdict} {face.identity_score:.2f}"
