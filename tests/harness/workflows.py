"""The workflows that come with the pack, and the pictures that they load, for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from support.paths import ROOT
from support.portrait import read_workflow
from support.workflow import PAGE_ONLY

from headsup_core.image_files import write_picture

from .people import astronaut, group_photo, hanks

WORKFLOWS = sorted((ROOT / "workflows").glob("*.json"))
BLUEPRINTS = sorted((ROOT / "subgraphs").glob("*.json"))
NAMES = sorted(path.stem for path in WORKFLOWS)
APPS = [name for name in NAMES if name.startswith("App - ")]
GRAPHS = [name for name in NAMES if name not in APPS]
NOTES = {"Note", "MarkdownNote"}
FRIEND = (20, 230, 210, 420)  # left, top, right, bottom of somebody in insightface's group photo


def workflow(name: str) -> dict[str, Any]:
    """The JSON of a workflow."""
    return read_workflow(ROOT / "workflows" / f"{name}.json")


def as_drawn(schemas: dict[str, Any]) -> dict[str, Any]:
    """Schemas without the optional inputs that came since the workflows were drawn: in files these have defaults."""
    files = [read_workflow(path) for path in (*WORKFLOWS, *BLUEPRINTS)]
    graphs = [graph for file in files for graph in (file, *file.get("definitions", {}).get("subgraphs", []))]
    known: dict[str, set[str]] = {}
    for node in (node for graph in graphs for node in graph["nodes"]):
        names = {socket["name"].split(".")[0] for socket in node.get("inputs", [])}
        known.setdefault(node["type"], set()).update(names)
    return {kind: schema if kind not in known else _with(schema, known[kind]) for kind, schema in schemas.items()}


def _with(schema: dict[str, Any], names: set[str]) -> dict[str, Any]:
    """A schema whose optional inputs are those of these names, and those that have neither socket nor widget."""
    optional = schema["input"].get("optional", {})
    kept = {name: spec for name, spec in optional.items() if name in names or str(spec[0]) in PAGE_ONLY}
    order = schema.get("input_order", {})
    order = order | {"optional": [name for name in order.get("optional", optional) if name in kept]}
    return schema | {"input": schema["input"] | {"optional": kept}, "input_order": order}


def write_pictures(folder: Path) -> None:
    """Small pictures under all names that the workflows load, in place of those that come with the pack."""
    left, top, right, bottom = FRIEND
    friend = group_photo()[..., top:bottom, left:right].permute(0, 2, 3, 1)
    people = [resized(person, 128) for person in (astronaut(), hanks(), friend)]
    pictures = {
        "headsup_portrait": astronaut(96),
        "headsup_photo": astronaut(192),
        "headsup_group": torch.cat(people, dim=2),
        "headsup_person_1": astronaut(192),
        "headsup_person_2": hanks(112),
        "headsup_person_3": friend,
        "headsup_old_scan": astronaut(192).mean(-1, keepdim=True).expand(-1, -1, -1, 3) * 0.7 + 0.15,
        "headsup_fit": astronaut(192),
        "headsup_tiny_face": astronaut(44),
        "headsup_batch/1": astronaut(96),
        "headsup_batch/2": hanks(112),
        "headsup_batch/3": hanks(112),
    }
    for name, picture in pictures.items():
        path = folder / f"{name}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_picture(path, picture.permute(0, 3, 1, 2))


def resized(picture: torch.Tensor, side: int) -> torch.Tensor:
    """A square IMAGE at another size."""
    planes = torch.nn.functional.interpolate(picture.permute(0, 3, 1, 2), (side, side), mode="bilinear", antialias=True)
    return planes.permute(0, 2, 3, 1)
