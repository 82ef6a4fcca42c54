"""The node that makes identities of photos."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ...headsup_core import InputError
from ...headsup_core.faces import DetectionOptions
from ...headsup_core.faces.alignment import align_matrix, crop
from ...headsup_core.faces.drawing import TILE, Card, contact_sheet
from ...headsup_core.identity import encode_identity, encode_people
from ...headsup_core.identity.names import checked_name, free_names, refuse_doubles
from ..bridge.comfy import ComfyNode, IdentitiesSocket, io, schema
from ..bridge.input_kinds import checked
from ..bridge.messages import said
from ..bridge.pictures import single_pictures
from ..bridge.precision import outgoing
from ..faces.detection import (
    ERROR,
    analyzer_input,
    detect_each,
    min_score_input,
    no_face_input,
    require_faces,
    shown,
)
from ..faces.face_analyzers import analyzer_or_default
from .identity_list import Identities, identities_input, with_photos_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from ...headsup_core.faces import FaceAnalyzer, Faces
    from ...headsup_core.identity import Identity, PhotoReport

ONE, EVERYBODY = "one person", "everybody in the photo"
DEFAULT_NAME = "person"


class HeadsUpEncodeIdentity(ComfyNode):
    """Photos in, people out."""

    @classmethod
    def define_schema(cls) -> Any:  # noqa: ANN401 - ComfyUI's Schema
        return schema(
            group="people",
            node_id="HeadsUpEncodeIdentity",
            display_name="HeadsUp Encode Identity",
            description="Learns who somebody is from one or more good photos: a batch, a list of different sizes, or "
            "several of these nodes one after the other, joined by identities and with the same name. Photos of "
            "somebody else are left out, and the report says so.",
            has_intermediate_output=True,
            search_aliases=["reference face", "face embedding", "face id", "person", "headsup", "人物参考"],
            is_input_list=True,
            inputs=[
                io.Image.Input(
                    "photos",
                    tooltip="Photos of the person: one, a batch, or a list of different sizes. Three to five sharp "
                    "ones from the front, with eyes 64 px apart or more, are best. The largest face of each counts.",
                ),
                io.String.Input(
                    "name",
                    default=DEFAULT_NAME,
                    tooltip="What the person is called, 1 to 100 characters, default person. Photos of somebody whose "
                    "name is among identities already are added to that person. For everybody in the photo: names "
                    "from left to right with commas; those without one are called person 1, person 2 ...",
                ),
                io.Combo.Input(
                    "people",
                    options=[ONE, EVERYBODY],
                    default=ONE,
                    tooltip="one person (default): all photos show the same person, the largest face of each counts. "
                    "everybody in the photo: each face is a person of its own, from left to right.",
                ),
                min_score_input(),
                no_face_input(
                    ERROR, "identities are passed on as they came, and the report says so", "none of the photos has a"
                ),
                identities_input("People who are known already, from another HeadsUp Encode or Load Identity; this one "
                                 "is added to them."),
                analyzer_input("finds and recognises the faces; all identities should be of the same"),
            ],
            outputs=[
                IdentitiesSocket.Output("IDENTITIES", display_name="identities", tooltip="All people known so far."),
                io.Image.Output(
                    "CONTACT_SHEET",
                    display_name="contact sheet",
                    tooltip="The aligned face of each photo: green is used, red is left out, with quality and reason.",
                ),
                io.String.Output("REPORT", display_name="report", tooltip="What became of each photo, and why."),
            ],
        )  # fmt: skip

    @classmethod
    @checked
    def execute(
        cls,
        photos: list[torch.Tensor],
        identities: list[Identities] | None = None,
        analyzer: list[FaceAnalyzer] | None = None,
        **widgets: list[Any],
    ) -> Any:  # noqa: ANN401 - ComfyUI's NodeOutput
        name, people, no_face = (widgets[key][0] for key in ("name", "people", "no_face"))
        known = tuple(identity for group in identities or [] for identity in group)
        used = analyzer_or_default(analyzer[0] if analyzer else None)
        pictures = single_pictures(photos)
        options = DetectionOptions(widgets["min_score"][0])
        found = detect_each(used, pictures, options)
        if any(faces.count for faces in found):
            encode = _one_person if people == ONE else _everybody
            everyone, cards, lines, surprises = encode(pictures, found, name, known, used)
        else:
            if no_face == ERROR:
                require_faces(found, used, options)
            text = f"no face found by {used.name}"
            cards = [Card(picture, f"photo {index}", text, "bad") for index, picture in enumerate(pictures, 1)]
            everyone, lines = known, [f"{text} in {len(pictures)} photos: nobody was added"]
            surprises = list(lines)
        lines.append("identities: " + (", ".join(identity.name for identity in everyone) or "none"))
        sheet = contact_sheet(cards).permute(0, 2, 3, 1).contiguous()
        sheet_out = outgoing(sheet)
        return io.NodeOutput(everyone, sheet_out, "\n".join(lines), ui={**shown(sheet), **(said(surprises) or {})})


Encoded = tuple["Identities", list[Card], list[str], list[str]]
"""People, cards, the report's lines, and those that the user should hear of without asking."""


def _one_person(
    pictures: Sequence[torch.Tensor], found: Sequence[Faces], name: str, known: Identities, analyzer: FaceAnalyzer
) -> Encoded:
    name = checked_name(name)
    before = sum(len(identity.photos) for identity in known if identity.name == name)
    labels = [str(number) for number in range(before + 1, before + len(pictures) + 1)]
    identity = encode_identity(pictures, analyzer, name, labels, faces=found)
    everyone = with_photos_of(known, identity, analyzer)
    cards = [
        _card(name, photo, _aligned(picture, faces))
        for picture, faces, photo in zip(pictures, found, identity.photos, strict=True)
    ]
    surprises = [str(photo) for photo in identity.photos if photo.surprising]
    return everyone, cards, _lines(identity, analyzer, before), surprises


def _everybody(
    pictures: Sequence[torch.Tensor], found: Sequence[Faces], name: str, known: Identities, analyzer: FaceAnalyzer
) -> Encoded:
    given = [] if name.strip() in ("", DEFAULT_NAME) else [checked_name(part) for part in re.split(r"[,\n]", name)]
    total = sum(faces.count for faces in found)
    refuse_doubles(given)
    if len(given) > total:
        raise InputError(f"{len(given)} names for {total} faces: leave names out, or lower min_score")
    names = given + free_names([*given, *(identity.name for identity in known)], total - len(given))
    everyone, cards, lines, surprises = known, list[Card](), list[str](), list[str]()
    for picture, faces in zip(pictures, found, strict=True):
        if not faces.count:
            text = f"nobody found by {analyzer.name}"
            cards.append(Card(picture, "no face", text, "bad"))
            surprises.append(f"a photo of {picture.shape[-1]}x{picture.shape[-2]} px: {text}")
            continue
        here, names = names[: faces.count], names[faces.count :]
        for identity in encode_people(picture, analyzer, here, faces=faces):
            everyone = with_photos_of(everyone, identity, analyzer)
            cards.append(_card(identity.name, identity.photos[0], identity.crops))
            lines += _lines(identity, analyzer, 0)
    return everyone, cards, lines, surprises


def _aligned(picture: torch.Tensor, faces: Faces) -> torch.Tensor:
    """The largest face, upright; the whole photo when there is none."""
    if not faces.count:
        return picture.clamp(0, 1)
    return crop(picture.clamp(0, 1), align_matrix(faces[0][0].landmarks, TILE), TILE)


def _card(name: str, photo: PhotoReport, picture: torch.Tensor) -> Card:
    words = f"{'used' if photo.used else 'left out'}, quality {photo.quality:.2f}"
    label = photo.photo if photo.photo.startswith("face") else f"photo {photo.photo}"
    text = f"{words}\n{photo.reason}" if photo.reason else words
    return Card(picture, f"{name}, {label}", text, "good" if photo.used else "bad")


def _lines(identity: Identity, analyzer: FaceAnalyzer, before: int) -> list[str]:
    used = sum(photo.used for photo in identity.photos)
    added = f", added to {before} from before" if before else ""
    head = f"{identity.name}: {used} of {len(identity.photos)} photos used{added}, recognised by {analyzer.embedder_id}"
    return [head, *map(str, identity.photos)]
