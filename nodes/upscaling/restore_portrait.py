"""The node that does everything: a picture and photos in, the restored picture out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...headsup_core import InputError, RestoreOptions
from ...headsup_core.faces import DetectionOptions, Faces
from ...headsup_core.identity import Identity, encode_identity
from ...headsup_core.identity.names import free_names
from ...headsup_core.option_fields import declared_options
from ...headsup_core.restoring.headsup_model import IDENTITY_STRENGTH
from ...headsup_core.restoring.session import Session
from ..bridge.comfy import ComfyNode, FaceAnalyzerSocket, HeadsUpModelSocket, IdentitiesSocket, io, schema
from ..bridge.growing_inputs import given_images, growing_images
from ..bridge.host import ComfyHost
from ..bridge.input_kinds import checked
from ..bridge.messages import said
from ..bridge.option_inputs import given_options, option_input
from ..bridge.pictures import Pictures, single_pictures
from ..bridge.precision import outgoing
from ..faces.detection import DEFAULT, detect_each, together
from ..faces.face_analyzers import analyzer_or_default
from ..models.load_model import default_model
from ..people.inject_identity import MATCH_THRESHOLD
from .restoring import restore_batch

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch

    from ...headsup_core import HeadsUpModel
    from ...headsup_core.faces import FaceAnalyzer
    from ..people.identity_list import Identities

PHOTOS = 8
"""Sockets for photos of one person; each takes a batch, too."""
PEOPLE = ("photos", "person_2", "person_3", "person_4")
"""Inputs of the people; more of them come by `identities`."""
WHERE_GATE = "identity_gate is an advanced input: Show advanced inputs, or in the classic page a right-click shows it"
MAX_MEGAPIXELS = 100.0
"""As HeadsUp Upscale's default."""


class HeadsUpRestorePortrait(ComfyNode):
    """IMAGE in, restored IMAGE out: Load Model, Detect Faces, Encode and Inject Identity, and Upscale in one."""

    @classmethod
    def define_schema(cls) -> Any:  # noqa: ANN401 - ComfyUI's Schema
        declared = declared_options(RestoreOptions)
        return schema(
            # the page's search ranks by id and name, not by aliases: this is the first for "face restore"
            node_id="HeadsUpFaceRestorePortrait",
            display_name="HeadsUp Restore Portrait",
            description="Restores and enlarges a bad portrait or group photo, faces, hair and background together, and "
            "with a good photo of somebody keeps their face theirs. Everything is in this one node: model, face "
            "detection, and the check that the photo is of the same person.",
            # the page finds an alias that has all words of a search, in any order
            search_aliases=[
                *("face restore", "face restoration", "face enhancer", "face upscaler", "face detailer", "fix face"),
                *("portrait upscaler", "group photo", "old photo restoration", "restore old photo", "photo enhancer"),
                *("blurry face", "blurry photo", "sharpen face", "deblur", "unblur", "skin", "super resolution"),
                *("reference face", "identity", "gfpgan", "codeformer", "headsup"),
                *("修脸", "人脸修复", "人像修复", "老照片修复", "高清修复", "照片修复", "去模糊", "合影"),
            ],
            has_intermediate_output=True,
            inputs=[
                io.Image.Input(
                    "image",
                    tooltip="The picture to restore: one, a batch, or a list of different sizes. RGB, RGBA (the "
                    "transparency is enlarged and kept) or grey.",
                ),
                option_input(declared["scale"], default=4.0),
                io.Float.Input(
                    "person_strength",
                    default=IDENTITY_STRENGTH,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    round=0.001,
                    tooltip="How much of the person on the photos goes into the face, 0 to 1, default 0.65: a little "
                    "of what is seen without them makes the face truer. 1: all of it. 0: restored as without photos.",
                ),
                *_photo_inputs(),
                HeadsUpModelSocket.Input(
                    "model",
                    optional=True,
                    tooltip="Another model, from HeadsUp Load Model. Unconnected: headsup-tiny, which comes with the "
                    "pack.",
                ),
                IdentitiesSocket.Input(
                    "identities",
                    optional=True,
                    tooltip="More people who may be in the picture, from HeadsUp Load or Encode Identity.",
                ),
                FaceAnalyzerSocket.Input(
                    "analyzer",
                    optional=True,
                    tooltip="From HeadsUp Load Face Analyzer: what finds and recognises the faces. Unconnected: "
                    f"{DEFAULT}.",
                ),
                option_input(declared["identity_gate"], optional=True, advanced=True),
            ],
            outputs=[
                io.Image.Output("IMAGE", display_name="image", tooltip="The restored picture; transparency is kept."),
                io.Image.Output(
                    "BEFORE",
                    display_name="before",
                    tooltip="The input enlarged to the same size without restoring, for a Compare slider.",
                ),
                io.String.Output(
                    "REPORT",
                    display_name="report",
                    tooltip="What became of the picture, of each photo and of each face, and why.",
                ),
            ],
        )

    @classmethod
    @checked
    def execute(
        cls,
        image: torch.Tensor,
        model: HeadsUpModel | None = None,
        identities: Identities = (),
        analyzer: FaceAnalyzer | None = None,
        **inputs: Any,  # noqa: ANN401 - photos, and widgets of the options
    ) -> Any:  # noqa: ANN401 - ComfyUI's NodeOutput
        strength: float = inputs.pop("person_strength")
        handle = default_model() if model is None else model
        used = analyzer_or_default(analyzer)
        known = (*handle.identities, *(identities or ()))
        people, remarks = people_of_photos(inputs, known, used)
        if everybody := (*known, *people):
            handle = handle.with_identities(everybody, strength, MATCH_THRESHOLD)
        pictures = Pictures.from_image(image)
        faces = together([_faces_of(picture, used) for picture in pictures.rgb.split(1)], used)
        options = RestoreOptions(**given_options(RestoreOptions, inputs), max_megapixels=MAX_MEGAPIXELS)
        host = ComfyHost.on(handle.device)
        done = restore_batch(image, Session(handle, options, host, used), host, faces, keep_going=True)
        if len(done.failures) < len(pictures):
            remarks += _missing(people, done.faces)
        report = "\n".join([done.report, *_photo_lines(people), *remarks])
        hint = [WHERE_GATE] if done.sent_back and options.identity_gate == "on" else []
        ui = said([*done.failures, *done.sent_back, *hint, *remarks])
        return io.NodeOutput(outgoing(done.after), outgoing(done.before), report, ui=ui)


def people_of_photos(
    inputs: Mapping[str, Any], known: Identities, analyzer: FaceAnalyzer
) -> tuple[list[Identity], list[str]]:
    """The people of the photo inputs, called person 1, person 2 ..., and what the user should hear of their photos.

    Args:
        known: people whose names are taken.

    Raises:
        InputError: a photo that cannot be used, or an analyzer that recognises nobody.
    """
    people, remarks = list[Identity](), list[str]()
    given = [images for name in PEOPLE if (images := given_images(inputs, name))]
    names = free_names((identity.name for identity in known), len(given))
    for name, images in zip(names, given, strict=True):
        photos = single_pictures(images)
        found = detect_each(analyzer, photos, DetectionOptions())
        if not any(faces.count for faces in found):
            remarks.append(
                f"no face was found in the {len(photos)} photo{'s' * (len(photos) > 1)} of {name}, which "
                f"{'are' if len(photos) > 1 else 'is'} not used: give one in which the face is larger, sharper, or "
                "seen from the front"
            )
            continue
        identity = encode_identity(photos, analyzer, name, faces=found)
        remarks += [f"{name}: {photo}" for photo in identity.photos if not photo.used]
        people.append(identity)
    return people, remarks


def _photo_inputs() -> list[Any]:
    """For each person a socket that grows; the oldest ComfyUI has one for a batch."""
    inputs: list[Any] = []
    for number, name in enumerate(PEOPLE, 1):
        prefix = "photo" if number == 1 else f"{name}_photo"
        who = "the person in the picture" if number == 1 else f"person {number} in a group photo"
        tooltip = (
            f"Good photos of {who}, at most {PHOTOS}, each of any size; or a batch. The largest face of each counts. "
            "Not needed: without, the face is restored from the picture alone."
        )
        inputs.append(growing_images(name, [f"{prefix}_{photo}" for photo in range(1, PHOTOS + 1)], tooltip))
    return inputs


def _faces_of(picture: torch.Tensor, analyzer: FaceAnalyzer) -> Faces:
    """The faces of a picture `[1,3,H,W]`; none where it cannot be used, of which the restoration tells."""
    try:
        return detect_each(analyzer, [picture], DetectionOptions())[0]
    except InputError:
        return Faces(((),), picture.shape[-2], picture.shape[-1], analyzer.analyzer_id)


def _missing(people: list[Identity], faces: Faces) -> list[str]:
    """A line for each person whom no face was taken for; one for all where there is no face."""
    if people and not any(faces):
        return [
            "no face was found in the picture, so the photos were not used: faces that are larger, sharper, or seen "
            "from the front are found, and HeadsUp Load Face Analyzer has other analyzers"
        ]
    seen = {face.identity for here in faces for face in here}
    return [
        f"{identity.name} was not found in the picture, so their photos were not used; where only they can be meant, "
        "name the face with HeadsUp Assign Identities and use HeadsUp Upscale"
        for identity in people
        if identity.name not in seen
    ]


def _photo_lines(people: list[Identity]) -> list[str]:
    """What became of each photo; that of those that were left out is among the remarks."""
    return [f"{identity.name}: {photo}" for identity in people for photo in identity.photos if photo.used]
