"""The node that says whether two faces are of one person."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...headsup_core import InputError
from ...headsup_core.faces import DetectionOptions
from ...headsup_core.faces.alignment import align_matrix, crop
from ...headsup_core.faces.drawing import TILE, Card, Mark, comparison
from ...headsup_core.identity import compare
from ..bridge.comfy import ComfyNode, io, schema
from ..bridge.input_kinds import checked
from ..bridge.pictures import Pictures
from ..bridge.precision import outgoing
from ..faces.detection import ERROR, analyzer_input, detect_each, no_face_input, require_faces, shown
from ..faces.face_analyzers import analyzer_or_default
from .identity_list import Identities, check_somebody, identities_input

if TYPE_CHECKING:
    import torch

    from ...headsup_core.faces import FaceAnalyzer
    from ...headsup_core.identity import Similarity

MARKS: dict[str, Mark] = {"same person": "good", "unsure": "none", "different people": "bad"}


@dataclass(frozen=True, eq=False)
class Candidate:
    """Somebody to compare.

    Attributes:
        embedding: unit vector, None for a picture without a face.
    """

    embedding: torch.Tensor | None
    picture: torch.Tensor | None
    name: str


class HeadsUpCompareIdentity(ComfyNode):
    """Two faces in, a verdict out."""

    @classmethod
    def define_schema(cls) -> Any:  # noqa: ANN401 - ComfyUI's Schema
        sides = [
            entry
            for side, other in (("a", "b"), ("b", "a"))
            for entry in (
                io.Image.Input(
                    f"image_{side}",
                    optional=True,
                    tooltip=f"A picture of side {side}: one, not a batch; its largest face counts. Connect this or "
                    f"identities_{side}, and one of the two of side {other}.",
                ),
                identities_input(
                    f"People of side {side}, in place of image_{side}. Of several, the one most like side {other} "
                    "counts, and the verdict names that person.",
                    f"identities_{side}",
                ),
            )
        ]
        return schema(
            group="people",
            node_id="HeadsUpCompareIdentity",
            display_name="HeadsUp Compare Identity",
            description="How alike two faces are, on one scale for all recognisers: 0 = strangers, 1 = two good photos "
            "of one person. From 0.6: same person; below 0.4: different people; between: unsure.",
            search_aliases=["face similarity", "same person", "face distance", "headsup", "人脸相似度", "人脸比对"],
            inputs=[
                no_face_input(ERROR, "score 0, and the verdict says that there was no face"),
                *sides,
                analyzer_input("recognises the faces; scores of different analyzers differ a little"),
            ],
            outputs=[
                io.Float.Output(
                    "SCORE",
                    display_name="score",
                    tooltip="0 = strangers, 1 = two good photos of one person; can be a little below 0 or above 1.",
                ),
                io.String.Output("VERDICT", display_name="verdict", tooltip="The same in words, with the raw cosine."),
                io.Image.Output("PREVIEW", display_name="preview", tooltip="Both aligned faces and the verdict."),
            ],
        )

    @classmethod
    @checked
    def execute(
        cls,
        no_face: str,
        image_a: torch.Tensor | None = None,
        identities_a: Identities | None = None,
        image_b: torch.Tensor | None = None,
        identities_b: Identities | None = None,
        analyzer: FaceAnalyzer | None = None,
    ) -> Any:  # noqa: ANN401 - ComfyUI's NodeOutput
        used = analyzer_or_default(analyzer)
        one = _side("a", image_a, identities_a, used, no_face)
        other = _side("b", image_b, identities_b, used, no_face)
        a, b, alike = most_alike(one, other, used.embedder_id)
        if alike is None:
            without = a if a.embedding is None else b
            score, verdict, mark = 0.0, f"not compared: no face found in {without.name} by {used.name}", "none"
        else:
            score, verdict, mark = alike.score, f"{a.name} and {b.name}: {alike}", MARKS[alike.verdict]
        drawn = comparison(Card(a.picture, a.name), Card(b.picture, b.name), verdict, mark)
        preview = drawn.permute(0, 2, 3, 1).contiguous()
        return io.NodeOutput(score, verdict, outgoing(preview), ui=shown(preview))


def most_alike(
    one: list[Candidate], other: list[Candidate], embedder_id: str
) -> tuple[Candidate, Candidate, Similarity | None]:
    """The pair of the highest score; without a score when there is no face on a side."""
    pairs = [
        (a, b, compare(a.embedding, b.embedding, embedder_id))
        for a in one
        for b in other
        if a.embedding is not None and b.embedding is not None
    ]
    return max(pairs, key=lambda pair: pair[2].score) if pairs else (one[0], other[0], None)


def _side(
    side: str, image: torch.Tensor | None, identities: Identities | None, analyzer: FaceAnalyzer, no_face: str
) -> list[Candidate]:
    """Raises `InputError` when not exactly one of the two is given, or it cannot be used."""
    if (image is None) == (identities is None):
        given = "both are" if image is not None else "neither is"
        raise InputError(f"side {side} needs image_{side} or identities_{side}, {given} connected: connect exactly one")
    if identities is not None:
        check_somebody(identities, f"identities_{side}")
        return [
            Candidate(person.embedding_for(analyzer), person.crops[:1] if len(person.crops) else None, person.name)
            for person in identities
        ]
    assert image is not None  # noqa: S101 - narrows the type
    return [_in_picture(side, image, analyzer, no_face)]


def _in_picture(side: str, image: torch.Tensor, analyzer: FaceAnalyzer, no_face: str) -> Candidate:
    rgb = Pictures.from_image(image).rgb.float().cpu()
    if len(rgb) != 1:
        raise InputError(
            f"image_{side} has {len(rgb)} pictures: must be 1; pick one (Image From Batch), or encode them all with "
            "HeadsUp Encode Identity"
        )
    options = DetectionOptions(max_faces=1)
    found = detect_each(analyzer, [rgb], options)
    if not found[0].count:
        if no_face == ERROR:
            require_faces(found, analyzer, options)
        return Candidate(None, rgb.clamp(0, 1), f"image_{side}")
    (face,) = analyzer.embed(rgb, found[0])[0]
    aligned = crop(rgb.clamp(0, 1), align_matrix(face.landmarks, TILE), TILE)
    return Candidate(face.embedding, aligned, f"image_{side}")
