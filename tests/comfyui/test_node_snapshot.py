"""Saved workflows keep node ids, and widget values by position: neither may change after a release.

`node_snapshot.json` holds the nodes as the last release had them; what came since may still change. With each release,
and after a change that is meant: scripts/test comfyui -k snapshot --update-snapshot
"""

from __future__ import annotations

import json
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pytest
from harness.executor import Executor
from support.help_lists import FILE_LISTS
from support.workflow import input_spec

pytestmark = pytest.mark.every_comfyui

SNAPSHOT = Path(__file__).with_name("node_snapshot.json")
KEPT_OPTIONS = ("default", "min", "max", "step", "multiline", "options")


def summary(info: dict[str, Any]) -> dict[str, Any]:
    """What a saved workflow depends on, and what every supported ComfyUI says alike."""
    return {
        "category": info["category"],
        "display_name": info["display_name"],
        "output_node": info["output_node"],
        "inputs": {
            section: [[name.split(".")[0], *input_summary(name, specs[name])] for name in info["input_order"][section]]
            for section, specs in info["input"].items()
            if section in ("required", "optional")
        },
        "outputs": list(map(list, zip(info["output_name"], info["output"], info["output_is_list"], strict=True))),
    }


def input_summary(name: str, spec: Any) -> list[Any]:
    """Type and options of an input; of one that lists the user's files, not which there are."""
    kind, options = input_spec(spec)
    if isinstance(kind, list):
        kind, options = "COMBO", {**options, "options": kind}
    if kind == "COMFY_AUTOGROW_V3":  # an older version has the first socket alone
        kind = next(iter(options["template"]["input"]["required"].values()))[0]
    kept = {key: options[key] for key in KEPT_OPTIONS if options.get(key) is not None}
    if name in FILE_LISTS:
        kept.pop("options", None)
    if options.get("control_after_generate"):  # True or a word, depending on the version
        kept["control_after_generate"] = True
    return [kind, kept]


def broken_by(found: dict[str, Any], kept: dict[str, Any]) -> list[str]:
    """What a workflow that was saved with the nodes `kept` would miss or find changed in `found`.

    What may come: nodes, optional inputs after the others, outputs after the others, and choices.
    """
    wrong: list[str] = []
    for name, old in kept.items():
        new = found.get(name)
        if new is None:
            wrong.append(f"{name} is gone")
            continue
        wrong += [f"{name}: {key}" for key in ("category", "display_name", "output_node") if new[key] != old[key]]
        if new["outputs"][: len(old["outputs"])] != old["outputs"]:
            wrong.append(f"{name}: outputs")
        if len(new["inputs"].get("required", [])) > len(old["inputs"].get("required", [])):
            wrong.append(f"{name}: more required inputs")
        for section, inputs in old["inputs"].items():
            there = new["inputs"].get(section, [])
            pairs = zip_longest(inputs, there[: len(inputs)])
            wrong += [f"{name}: {one[0]}" for one, other in pairs if other is None or not still_fits(one, other)]
    return wrong


def still_fits(old: list[Any], new: list[Any]) -> bool:
    """Whether an input has its name, type and options; there may be more choices."""
    *same, options = old
    *others, now = new
    choices, more = options.get("options", []), now.get("options", [])
    return same == others and options | {"options": more} == now | {"options": more} and set(choices) <= set(more)


def test_saved_workflows_still_fit(executor: Executor, request: pytest.FixtureRequest) -> None:
    infos = executor.object_info()
    found = {name: summary(info) for name, info in sorted(infos.items()) if info["category"].startswith("HeadsUp")}
    if request.config.getoption("--update-snapshot"):
        SNAPSHOT.write_text(json.dumps(found, indent=2) + "\n")

    assert SNAPSHOT.is_file(), f"{SNAPSHOT.name} is missing: make it with --update-snapshot and commit it"
    kept = json.loads(SNAPSHOT.read_text())
    assert len(kept) >= 17
    assert broken_by(found, kept) == []


NODE = {
    "category": "c",
    "display_name": "Node",
    "output_node": False,
    "inputs": {
        "required": [["scale", "FLOAT", {"default": 4.0}]],
        "optional": [["fix", "COMBO", {"default": "a", "options": ["a", "b"]}]],
    },
    "outputs": [["image", "IMAGE", False]],
}


def changed(**inputs: Any) -> dict[str, Any]:
    return NODE | {"inputs": NODE["inputs"] | inputs}


SEED = ["seed", "INT", {"default": 0}]
FIX = NODE["inputs"]["optional"][0]


@pytest.mark.parametrize(
    ("node", "wrong"),
    [
        (NODE, []),
        (changed(optional=[FIX, SEED]), []),
        (changed(optional=[["fix", "COMBO", {"default": "a", "options": ["a", "c", "b"]}]]), []),
        (NODE | {"outputs": [*NODE["outputs"], ["mask", "MASK", False]]}, []),
        (changed(optional=[SEED, FIX]), ["N: fix"]),
        (changed(optional=[]), ["N: fix"]),
        (changed(optional=[["fix", "COMBO", {"default": "a", "options": ["a"]}]]), ["N: fix"]),
        (changed(optional=[["fix", "COMBO", {"default": "b", "options": ["a", "b"]}]]), ["N: fix"]),
        (changed(required=[["scale", "FLOAT", {"default": 2.0}]]), ["N: scale"]),
        (changed(required=[["scale", "INT", {"default": 4.0}]]), ["N: scale"]),
        (changed(required=[*NODE["inputs"]["required"], SEED]), ["N: more required inputs"]),
        (NODE | {"outputs": [["mask", "MASK", False], *NODE["outputs"]]}, ["N: outputs"]),
        (NODE | {"display_name": "Other"}, ["N: display_name"]),
        (None, ["N is gone"]),
    ],
)
def test_what_breaks_a_saved_workflow_is_named(node: dict[str, Any] | None, wrong: list[str]) -> None:
    assert broken_by({"M": NODE} | ({"N": node} if node else {}), {"N": NODE}) == wrong
