"""Turns a workflow as people edit and share it into the prompt that ComfyUI's server runs.

The browser does this when Run is pressed; here it is done from the node schemas of `/object_info`. A workflow
keeps the values of a node's widgets as a list in the order of the inputs, so that order is what matters.
"""

from __future__ import annotations

from typing import Any

Prompt = dict[str, dict[str, Any]]
Schema = dict[str, Any]
Link = tuple[str, int]
LinkEntry = list[Any] | dict[str, Any]

WIDGET_TYPES = {"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO"}
SEED_NAMES = {"seed", "noise_seed"}
UPLOAD_OPTIONS = {"image_upload", "video_upload", "audio_upload", "animated_image_upload"}
PAGE_ONLY: dict[str, Any] = {"IMAGECOMPARE": {"__value__": ["", ""]}}
"""Widgets that only show: no socket, no value in a workflow; what the page puts into the prompt for them."""
NOTE_TYPES = {"Note", "MarkdownNote"}
MUTED, BYPASSED = 2, 4


class WorkflowError(ValueError):
    """The workflow cannot be turned into a prompt; the message names the node and why."""


def to_prompt(workflow: dict[str, Any], schemas: dict[str, Schema]) -> Prompt:
    """The prompt of a workflow.

    Args:
        workflow: the JSON that ComfyUI's browser page saves (version 0.4 or 1).
        schemas: the answer of `/object_info`.

    Raises:
        WorkflowError: an unknown node, a bypassed node, or widget values that do not fit the node's inputs.
    """
    nodes = [n for n in workflow["nodes"] if n["type"] not in NOTE_TYPES and n.get("mode", 0) != MUTED]
    links = {link_id(entry): link_origin(entry) for entry in workflow.get("links", [])}
    reroutes = {str(n["id"]): n for n in nodes if n["type"] == "Reroute"}
    prompt: Prompt = {}
    for node in nodes:
        if node["type"] == "Reroute":
            continue
        schema = schemas.get(node["type"])
        if schema is None:
            raise WorkflowError(f"node {node['id']}: ComfyUI has no node {node['type']!r}")
        if node.get("mode", 0) == BYPASSED:
            raise WorkflowError(f"node {node['id']} ({node['type']}) is bypassed, which only the browser can resolve")
        inputs = page_only_inputs(schema) | widget_inputs(node, schema)
        for entry in node.get("inputs", []):
            if entry.get("link") is not None:
                inputs[entry["name"]] = list(follow(links[entry["link"]], reroutes, links))
        title = node.get("title") or schema.get("display_name") or node["type"]
        prompt[str(node["id"])] = {"class_type": node["type"], "inputs": inputs, "_meta": {"title": title}}
    return prompt


def link_id(entry: LinkEntry) -> int:
    """The id of a link, which is a list in version 0.4 of the format and a mapping in version 1."""
    return entry["id"] if isinstance(entry, dict) else entry[0]


def link_origin(entry: LinkEntry) -> Link:
    """The node and the output that a link comes from."""
    if isinstance(entry, dict):
        return str(entry["origin_id"]), entry["origin_slot"]
    return str(entry[1]), entry[2]


def follow(origin: Link, reroutes: dict[str, Any], links: dict[int, Link]) -> Link:
    """The output behind a chain of reroute nodes."""
    while origin[0] in reroutes:
        origin = links[reroutes[origin[0]]["inputs"][0]["link"]]
    return origin


def widget_inputs(node: dict[str, Any], schema: Schema) -> dict[str, Any]:
    """The values of a node's widgets by input name."""
    values = node.get("widgets_values", [])
    names = widget_names(schema)
    if isinstance(values, dict):
        return {name: values[name] for name in names if name is not None and name in values}
    # what follows the inputs belongs to the page alone (for example the name under a preview)
    given = {name: value for name, value in zip(names, values, strict=False) if name is not None}
    missing = [name for name in names[len(values) :] if name is not None and not is_optional(name, schema)]
    if missing:
        raise WorkflowError(
            f"node {node['id']} ({node['type']}): {len(values)} widget values, but {', '.join(missing)} "
            f"would come after them; the node has {len(names)}"
        )
    return given


def page_only_inputs(schema: Schema) -> dict[str, Any]:
    """The values of a node's inputs that only show something."""
    specs = {**schema["input"].get("required", {}), **schema["input"].get("optional", {})}
    return {name: PAGE_ONLY[spec[0]] for name, spec in specs.items() if str(spec[0]) in PAGE_ONLY}


def widget_names(schema: Schema) -> list[str | None]:
    """The names of a node's inputs that are widgets, in order; None for a value that the page keeps for itself."""
    names: list[str | None] = []
    for section in ("required", "optional"):
        has_upload = False
        for name in schema.get("input_order", schema["input"]).get(section, []):
            kind, options = input_spec(schema["input"][section][name])
            if not is_widget(kind, options):
                continue
            names.append(name)
            has_upload = has_upload or any(options.get(option) for option in UPLOAD_OPTIONS)
            if kind == "INT" and options.get("control_after_generate", name in SEED_NAMES):
                names.append(None)
        if has_upload:
            names.append(None)
    return names


def input_spec(spec: list[Any]) -> tuple[object, dict[str, Any]]:
    """The type and the options of an input, of which the options may be left out."""
    return spec[0], spec[1] if len(spec) > 1 and isinstance(spec[1], dict) else {}


def is_widget(kind: object, options: dict[str, Any]) -> bool:
    """Whether the page shows a widget for an input; older nodes give a combo as the list of its choices."""
    return (isinstance(kind, list) or kind in WIDGET_TYPES) and not options.get("forceInput")


def is_optional(name: str, schema: Schema) -> bool:
    """Whether an input may be left out of a prompt."""
    return name in schema["input"].get("optional", {})
