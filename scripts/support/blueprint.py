"""The subgraph blueprint that comes with the pack; `scripts/draw_workflows` writes its file."""

from __future__ import annotations

import uuid
from typing import Any

from .drawing import SLOT, WIDGET, Drawing
from .drawings import SIDE, TINY
from .workflow import Schema

INPUT_NODE, OUTPUT_NODE = -10, -20  # ids that the page gives to a subgraph's own ends
LINK_FIELDS = ("id", "origin_id", "origin_slot", "target_id", "target_slot", "type")
BLUEPRINT = "HeadsUp Upscale Known People"
BLUEPRINT_DESCRIPTION = (
    "Upscales portraits and group photos: loads the model, finds the faces, and restores those of known people after "
    "their photos (identities: from HeadsUp Encode or Load Identity)."
)
BLUEPRINT_ENDS = {
    "inputs": {"image": ("HeadsUpDetectFaces", "HeadsUpUpscale"), "identities": ("HeadsUpInjectIdentity",)},
    "outputs": {"HeadsUpUpscale": ("image", "before", "report", "faces", "preview")},
}
BLUEPRINT_WIDGETS = {  # node -> widgets that the closed subgraph shows
    "HeadsUpLoadModel": ("model",),
    "HeadsUpInjectIdentity": ("strength", "match_threshold"),
    "HeadsUpUpscale": ("scale", "long_edge", "color_fix", "identity_gate"),
}


def blueprint(schemas: dict[str, Schema]) -> dict[str, Any]:
    """The most used part as a subgraph blueprint: load the model, detect faces, inject people, upscale."""
    sheet = Drawing(BLUEPRINT, schemas)
    sheet.column(SIDE)
    model = sheet.add("HeadsUpLoadModel", model=TINY)
    found = sheet.add("HeadsUpDetectFaces", tall=230)
    sheet.column(SIDE)
    known = sheet.add("HeadsUpInjectIdentity", model=model["model"])
    strength = next(entry for entry in known.entry["inputs"] if entry["name"] == "strength")
    strength["label"] = "person_strength"  # from outside it would read as HeadsUp Upscale's
    sheet.add("HeadsUpUpscale", model=known["model"], faces=found["faces"])
    return as_blueprint(sheet, BLUEPRINT_ENDS["inputs"], BLUEPRINT_ENDS["outputs"], BLUEPRINT_WIDGETS)


def as_blueprint(
    sheet: Drawing,
    inputs: dict[str, tuple[str, ...]],
    outputs: dict[str, tuple[str, ...]],
    widgets: dict[str, tuple[str, ...]],
) -> dict[str, Any]:
    """A drawing of different nodes, packed into one subgraph node that stands alone in a workflow.

    Args:
        inputs: the subgraph's inputs, each with the nodes that it goes to, under the same name there.
        outputs: nodes with the outputs of theirs that leave the subgraph.
        widgets: nodes with the widgets of theirs that the subgraph shows.
    """
    name = sheet.name
    nodes = {node.entry["type"]: node for node in sheet.nodes}
    links = [dict(zip(LINK_FIELDS, link, strict=True)) for link in sheet.links]
    entering: list[dict[str, Any]] = []
    for slot, (key, targets) in enumerate(inputs.items()):
        numbers: list[int] = []
        for target in targets:
            place, entry = next((i, e) for i, e in enumerate(nodes[target].entry["inputs"]) if e["name"] == key)
            entry["link"] = len(links) + 1
            numbers.append(entry["link"])
            ends = (entry["link"], INPUT_NODE, slot, nodes[target].entry["id"], place, entry["type"])
            links.append(dict(zip(LINK_FIELDS, ends, strict=True)))
        entering.append({"id": identifier(name, key), "name": key, "type": links[-1]["type"], "linkIds": numbers})
    leaving: list[dict[str, Any]] = []
    for source, keys in outputs.items():
        for key in keys:
            place = nodes[source].schema["output_name"].index(key)
            entry = nodes[source].entry["outputs"][place]
            number = len(links) + 1
            entry["links"] = [*(entry["links"] or []), number]
            ends = (number, nodes[source].entry["id"], place, OUTPUT_NODE, len(leaving), entry["type"])
            links.append(dict(zip(LINK_FIELDS, ends, strict=True)))
            leaving.append(
                {"id": identifier(name, f"{key} out"), "name": key, "type": entry["type"], "linkIds": [number]}
            )
    right = max(node.entry["pos"][0] + node.entry["size"][0] for node in sheet.nodes)
    definition = {
        "id": identifier(name, "definition"),
        "version": 1,
        "state": {"lastGroupId": 0, "lastNodeId": len(nodes), "lastLinkId": len(links), "lastRerouteId": 0},
        "revision": 0,
        "config": {},
        "name": name,
        "category": "HeadsUp",
        "inputNode": {"id": INPUT_NODE, "bounding": [-220, 200, 120, 40 + SLOT * len(entering)]},
        "outputNode": {"id": OUTPUT_NODE, "bounding": [right + 100, 200, 120, 40 + SLOT * len(leaving)]},
        "inputs": entering,
        "outputs": leaving,
        "widgets": [],
        "nodes": [node.entry for node in sheet.nodes],
        "groups": [],
        "links": links,
        "extra": {},
    }
    shown = [[str(nodes[kind].entry["id"]), widget] for kind, names in widgets.items() for widget in names]
    closed = {
        "id": len(nodes) + 1,
        "type": definition["id"],
        "title": name,
        "pos": [0, 0],
        "size": [SIDE, len(leaving) * SLOT + len(shown) * WIDGET + 16],
        "flags": {},
        "order": 0,
        "mode": 0,
        "inputs": [{"name": entry["name"], "type": entry["type"], "link": None} for entry in entering],
        "outputs": [{"name": entry["name"], "type": entry["type"], "links": []} for entry in leaving],
        "properties": {"proxyWidgets": shown},
        "widgets_values": [],
    }
    return {
        "id": identifier(name, "workflow"),
        "revision": 0,
        "last_node_id": closed["id"],
        "last_link_id": 0,
        "nodes": [closed],
        "links": [],
        "version": 0.4,
        "definitions": {"subgraphs": [definition]},
        "extra": {
            "BlueprintDescription": BLUEPRINT_DESCRIPTION,
            "BlueprintSearchAliases": ["face restore", "reference"],
        },
    }


def identifier(name: str, part: str) -> str:
    """An id that stays the same whenever the file is written."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"headsup/subgraphs/{name}/{part}"))
