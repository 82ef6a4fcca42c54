"""Saved workflows keep node ids, and widget values by position: neither may change after a release.

After a change that only appends inputs: scripts/test comfyui -k snapshot --update-snapshot
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from harness.executor import Executor
from support.workflow import input_spec

SNAPSHOT = Path(__file__).with_name("node_snapshot.json")
KEPT_OPTIONS = ("default", "min", "max", "step", "multiline", "options")


def summary(info: dict[str, Any]) -> dict[str, Any]:
    """What a saved workflow depends on, and what every supported ComfyUI says alike."""
    return {
        "category": info["category"],
        "display_name": info["display_name"],
        "output_node": info["output_node"],
        "inputs": {
            section: [[name.split(".")[0], *input_summary(specs[name])] for name in info["input_order"][section]]
            for section, specs in info["input"].items()
            if section in ("required", "optional")
        },
        "outputs": list(map(list, zip(info["output_name"], info["output"], info["output_is_list"], strict=True))),
    }


def input_summary(spec: Any) -> list[Any]:
    """Type and options of an input."""
    kind, options = input_spec(spec)
    if isinstance(kind, list):
        kind, options = "COMBO", {**options, "options": kind}
    if kind == "COMFY_AUTOGROW_V3":  # an older version has the first socket alone
        kind = next(iter(options["template"]["input"]["required"].values()))[0]
    kept = {key: options[key] for key in KEPT_OPTIONS if options.get(key) is not None}
    if options.get("control_after_generate"):  # True or a word, depending on the version
        kept["control_after_generate"] = True
    return [kind, kept]


def test_node_snapshot(executor: Executor, request: pytest.FixtureRequest) -> None:
    infos = executor.object_info()
    found = {name: summary(info) for name, info in sorted(infos.items()) if info["category"].startswith("HeadsUp")}
    if request.config.getoption("--update-snapshot"):
        SNAPSHOT.write_text(json.dumps(found, indent=2) + "\n")

    assert found, "no node of the category HeadsUp"
    assert SNAPSHOT.is_file(), f"{SNAPSHOT.name} is missing: make it with --update-snapshot and commit it"
    assert found == json.loads(SNAPSHOT.read_text())
