"""Every input and output is explained, in its tooltip and on the node's help page."""

from __future__ import annotations

from pathlib import Path

from harness.executor import Executor


def test_every_input_and_output_is_explained(executor: Executor, root: Path) -> None:
    infos = {name: info for name, info in executor.object_info().items() if info["category"].startswith("HeadsUp")}
    missing: list[str] = []
    for name, info in infos.items():
        page = root / "web" / "docs" / f"{name}.md"
        text = page.read_text() if page.is_file() else ""
        sections = (info["input"].get(section, {}) for section in ("required", "optional"))  # not "hidden"
        inputs = {key: spec for section in sections for key, spec in section.items()}
        missing += [f"{name}: tooltip of {key}" for key, spec in inputs.items() if not spec[1].get("tooltip")]
        tooltips = zip(info["output_name"], info["output_tooltips"], strict=True)
        missing += [f"{name}: tooltip of output {key}" for key, tooltip in tooltips if not tooltip]
        names = (*inputs, *info["output_name"])
        missing += [f"{name}: {key} on its help page" for key in names if f"**{key}**" not in text]
        if not info["description"]:
            missing.append(f"{name}: description")

    assert len(infos) >= 10
    assert missing == []
