"""The node that finds faces."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from ...headsup_core.faces import DetectionOptions
from ...headsup_core.faces.drawing import annotate
from ...headsup_core.faces.masks import faces_mask
from ..bridge.comfy import ComfyNode, FacesSocket, io, schema
from ..bridge.input_kinds import checked
from ..bridge.option_inputs import advanced_input
from ..bridge.pictures import Pictures
from ..bridge.precision import outgoing
from .detection import (
    ERROR,
    PASS,
    analyzer_input,
    detect_each,
    min_score_input,
    no_face_input,
    place,
    require_faces,
    shown,
    together,
)
from .face_analyzers import analyzer_or_default

if TYPE_CHECKING:
    from ...headsup_core.faces import FaceAnalyzer, Faces


class HeadsUpDetectFaces(ComfyNode):
    """IMAGE in, faces out."""

    @classmethod
    def define_schema(cls) -> Any:  # noqa: ANN401 - ComfyUI's Schema
        return schema(
            group="faces",
            node_id="HeadsUpDetectFaces",
            display_name="HeadsUp Detect Faces",
            description="Finds the faces in each picture, largest first (equally large ones from left to right), and "
            "shows them with the index that other nodes take.",
            search_aliases=["face detection", "find faces", "bbox", "landmarks", "headsup", "人脸检测", "人脸识别"],
            inputs=[
                io.Image.Input(
                    "image",
                    tooltip="Pictures: one, a batch, or a list of different sizes. RGB, RGBA (the transparency is not "
                    "looked at) or grey.",
                ),
                min_score_input(),
                advanced_input(
                    io.Float,
                    "min_eye_distance",
                    default=0.0,
                    min=0.0,
                    max=1024.0,
                    step=1.0,
                    round=0.01,
                    tooltip="Smaller faces are left out; pixels between the eyes, 1 to 1024. 0 (default): follows the "
                    "picture, 5 px up to 600x600, more in larger ones (29 px at 12 megapixels), finer in tiny ones; "
                    "the report says which. The detector looks as finely as this asks: a smaller value takes longer.",
                ),
                io.Int.Input(
                    "max_faces",
                    default=0,
                    min=0,
                    max=1000,
                    step=1,
                    tooltip="The largest of each picture are kept. 0 (default): all. 1: only the main person.",
                ),
                no_face_input(PASS, "there are no faces and a black mask, and the other pictures go on"),
                analyzer_input("finds the faces"),
            ],
            outputs=[
                FacesSocket.Output("FACES", display_name="faces", tooltip="The faces of each picture of the batch."),
                io.Mask.Output(
                    "MASK",
                    display_name="mask",
                    tooltip="An ellipse over each face, with a soft inner edge; one mask a picture. HeadsUp Faces to "
                    "Mask makes others.",
                ),
                io.Image.Output(
                    "PREVIEW",
                    display_name="preview",
                    tooltip="The pictures with box, five landmarks, index (from 0), score in words and as a number, "
                    "and eye distance of each face; of many faces only the index. As large as the input; pictures "
                    "below 384 px are enlarged so that it can be read.",
                ),
                io.Int.Output("COUNT", display_name="count", tooltip="Faces in all pictures of the batch together."),
                io.String.Output("REPORT", display_name="report", tooltip="Each face in words, picture by picture."),
            ],
        )

    @classmethod
    @checked
    def execute(
        cls,
        image: torch.Tensor,
        min_score: float,
        min_eye_distance: float,
        max_faces: int,
        no_face: str,
        analyzer: FaceAnalyzer | None = None,
    ) -> Any:  # noqa: ANN401 - ComfyUI's NodeOutput
        options = DetectionOptions(min_score, min_eye_distance, max_faces)
        pictures = Pictures.from_image(image)
        used = analyzer_or_default(analyzer)
        found = detect_each(used, pictures.rgb.split(1), options)
        if no_face == ERROR:
            require_faces(found, used, options)
        faces = together(found, used)
        mask = torch.cat([faces_mask(faces, index)[0] for index in range(len(faces))])
        drawn = [annotate(picture, here) for picture, here in zip(pictures.rgb.split(1), faces, strict=True)]
        preview = torch.cat(drawn).permute(0, 2, 3, 1).contiguous()
        text = report(faces, used.name, options)
        return io.NodeOutput(faces, outgoing(mask), outgoing(preview), faces.count, text, ui=shown(preview))


def report(faces: Faces, analyzer: str, options: DetectionOptions) -> str:
    """Each face in words."""
    size = f"{faces.width}x{faces.height} px"
    least = options.least_eyes(faces.height, faces.width)
    lines = [
        f"{_faces(faces.count)} in {len(faces)} picture{'s' * (len(faces) > 1)} of {size}, found by {analyzer}; eyes "
        f"from {least:.2g} px apart on were looked for"
    ]
    for index, here in enumerate(faces):
        if len(faces) > 1:
            lines.append(f"{place(index, len(faces))}{_faces(len(here))}")
        for number, face in enumerate(here):
            x0, y0, x1, y1 = face.box
            lines.append(
                f"face {number}: score {face.score:.2f}, eyes {face.eye_distance:.0f} px apart, "
                f"box {x0:.0f},{y0:.0f} to {x1:.0f},{y1:.0f}"
            )
    return "\n".join(lines)


def _faces(count: int) -> str:
    return "no face" if not count else "1 face" if count == 1 else f"{count} faces"
