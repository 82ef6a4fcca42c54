"""The nodes that keep people in files."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ...headsup_core.faces.drawing import Card, contact_sheet
from ...headsup_core.identity import load_identity
from ...headsup_core.identity.names import checked_name
from ..bridge.comfy import ComfyNode, IdentitiesSocket, io, schema
from ..bridge.input_kinds import checked
from ..bridge.option_inputs import advanced_input
from ..bridge.precision import outgoing
from ..faces.detection import shown
from .identity_files import MODELS, NONE, OUTPUT, find_identity, identity_choices, save_all, sha256_of
from .identity_list import Identities, identities_input, with_person

if TYPE_CHECKING:
    from ...headsup_core.identity import Identity


class HeadsUpSaveIdentity(ComfyNode):
    """People in, files out."""

    @classmethod
    def define_schema(cls) -> Any:  # noqa: ANN401 - ComfyUI's Schema
        return schema(
            group="people",
            node_id="HeadsUpSaveIdentity",
            display_name="HeadsUp Save Identity",
            description="Saves each person as one small file, which HeadsUp Load Identity reads without the photos. It "
            "holds the aligned faces of the photos: give it away only with their consent.",
            search_aliases=["save face", "face model", "headsup", "保存人脸"],
            is_output_node=True,
            inputs=[
                IdentitiesSocket.Input("identities", tooltip="From HeadsUp Encode Identity. Several people become "
                                       "several files."),
                io.String.Input(
                    "prefix",
                    default="",
                    tooltip="Put before the person's name in the file's name. Empty (default): the name alone. "
                    "Characters that a file name cannot have become _; a file of the same person is replaced, one of "
                    "somebody else stays, and the new one gets a number.",
                ),
                advanced_input(
                    io.Combo,
                    "folder",
                    options=[OUTPUT, MODELS],
                    default=OUTPUT,
                    tooltip="output (default): with what ComfyUI makes. models: with the models, for people you use "
                    "again and again; the first headsup folder of extra_model_paths.yaml when there is one. Load "
                    "Identity lists both.",
                ),
            ],
            outputs=[io.String.Output("PATHS", display_name="paths", tooltip="The files written, one a line.")],
        )  # fmt: skip

    @classmethod
    @checked
    def execute(cls, identities: Identities, prefix: str, folder: str) -> Any:  # noqa: ANN401 - ComfyUI's NodeOutput
        paths = save_all(folder, identities, prefix)
        text = "\n".join(map(str, paths)) or "nothing saved: there are no identities"
        return io.NodeOutput(text, ui={"text": (text,)})


class HeadsUpLoadIdentity(ComfyNode):
    """A file in, a person out."""

    @classmethod
    def define_schema(cls) -> Any:  # noqa: ANN401 - ComfyUI's Schema
        return schema(
            group="people",
            node_id="HeadsUpLoadIdentity",
            display_name="HeadsUp Load Identity",
            description="Loads a person from a file of HeadsUp Save Identity. For several people, put several of these "
            "nodes one after the other, joined by identities.",
            search_aliases=["load face", "face model", "headsup", "加载人脸"],
            inputs=[
                io.Combo.Input(
                    "identity",
                    options=identity_choices(),
                    default=NONE,
                    tooltip="The identity files in output/headsup/identities and models/headsup/identities; press R "
                    "after saving one. none (default): only what comes in by identities.",
                ),
                io.String.Input(
                    "name",
                    default="",
                    tooltip="What the person is called from here on, up to 100 characters. Empty (default): the name "
                    "in the file. Needed when two files hold the same name.",
                ),
                identities_input("People who are known already; this one is added to them."),
            ],
            outputs=[
                IdentitiesSocket.Output("IDENTITIES", display_name="identities", tooltip="All people known so far."),
                io.Image.Output("CONTACT_SHEET", display_name="contact sheet", tooltip="The faces in the file."),
                io.String.Output("INFO", display_name="info", tooltip="What the file holds."),
            ],
        )

    @classmethod
    def fingerprint_inputs(cls, identity: str, **_inputs: Any) -> str:  # noqa: ANN401 - ComfyUI's inputs
        return NONE if identity == NONE else sha256_of(find_identity(identity))

    @classmethod
    @checked
    def execute(cls, identity: str, name: str, identities: Identities = ()) -> Any:  # noqa: ANN401 - ComfyUI's NodeOutput
        everyone, text, cards = identities, "no identity file is chosen", list[Card]()
        if identity != NONE:
            path = find_identity(identity)
            person = load_identity(path)
            if name.strip():
                person = replace(person, name=checked_name(name))
            everyone = with_person(identities, person)
            text, cards = f"{describe(person)}\nfile: {path.name}", cards_of(person)
        lines = [text, "identities: " + (", ".join(known.name for known in everyone) or "none")]
        sheet = contact_sheet(cards).permute(0, 2, 3, 1).contiguous()
        return io.NodeOutput(everyone, outgoing(sheet), "\n".join(lines), ui=shown(sheet))


def describe(person: Identity) -> str:
    """What a person wants to know of an identity."""
    lines = {
        "name": person.name,
        "recognised by": ", ".join(person.embeddings) or "nothing yet: its photos are embedded when needed",
        "faces kept": str(len(person.crops)),
        "fitted for": ", ".join(person.fitted) or "no model",
    }
    return "\n".join([*(f"{key}: {value}" for key, value in lines.items()), *map(str, person.photos)])


def cards_of(person: Identity) -> list[Card]:
    """The faces that an identity keeps, the best first."""
    return (
        [
            Card(crop, person.name, f"face {number} of {len(person.crops)}", "good")
            for number, crop in enumerate(person.crops.split(1), 1)
        ]
        if len(person.crops)
        else [Card(None, person.name, "the file holds no photos")]
    )
