"""Draws a workflow as ComfyUI's page saves it: nodes in columns, a group around each column or part of it.

Positions are computed from the node schemas of `/object_info`; the files that come out are plain JSON.
"""

from __future__ import annotations

import math
import uuid
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .bends import Bends
from .workflow import PAGE_ONLY, Schema, input_spec, is_widget, widget_names

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

# pixels of a node's title, a socket, a widget and a text field: those of Nodes 2.0, whose boxes are the taller ones
TITLE, SLOT, WIDGET, TEXT_BOX = 40, 24, 38, 130
PREVIEW = 320  # and of a picture or text that a node shows
COLUMN_GAP, ROW_GAP, GROUP_PAD, GROUP_TITLE = 100, 50, 15, 50
LANE, LANE_STEP = -50, 26  # where wires run that pass other columns, above all nodes
FAR = 200  # pixels up or down from which on a wire is led through the gap
SHOWS = {
    "LoadImage", "SaveImage", "PreviewImage", "PreviewAny", "HeadsUpEncodeIdentity", "HeadsUpDetectFaces",
    "HeadsUpAssignIdentities", "HeadsUpLoadIdentity", "HeadsUpCompareIdentity", "ImageCompare",
    "HeadsUpUpscale", "HeadsUpFaceRestorePortrait",
}  # fmt: skip
UPLOAD_VALUE = "image"  # what the page keeps in the place of an upload button
SEED_CONTROL = "fixed"
OPTIONAL_SHAPE = 7  # a hollow socket
GROWING = "COMFY_AUTOGROW_V3"
Output = tuple["Node", str]


@dataclass(eq=False)
class Node:
    """A node of a drawing; `node["image"]` is its output of that name."""

    entry: dict[str, Any]
    schema: Schema

    def __getitem__(self, output: str) -> Output:
        return self, output

    @property
    def bottom(self) -> float:
        """Where it ends, in pixels."""
        return self.entry["pos"][1] + self.entry["size"][1]


@dataclass
class Drawing:
    """A workflow being put together, column by column, from left to right."""

    name: str
    schemas: dict[str, Schema]
    nodes: list[Node] = field(default_factory=list)
    links: list[list[Any]] = field(default_factory=list)
    groups: list[dict[str, Any]] = field(default_factory=list)
    extra: dict[str, Any] = field(default_factory=dict)
    _columns: list[tuple[float, float]] = field(default_factory=list)
    _x: float = -COLUMN_GAP
    _y: float = 0
    _width: float = 0

    def column(self, width: float) -> None:
        """Begin a column to the right of the last one."""
        self._x += self._width + COLUMN_GAP
        self._y, self._width = 0, width
        self._columns.append((self._x, self._x + width))

    @contextmanager
    def group(self, title: str, color: str = "#3f789e") -> Iterator[None]:
        """A frame around the nodes that are added inside, in one column."""
        top = self._y
        self._y += GROUP_TITLE
        yield
        bottom = self.nodes[-1].bottom + GROUP_PAD
        left, width = self._x - GROUP_PAD, self._width + 2 * GROUP_PAD
        bounding = [left, top, width, bottom - top]
        number = len(self.groups) + 1
        self.groups.append(
            {"id": number, "title": title, "bounding": bounding, "color": color, "font_size": 24, "flags": {}}
        )
        self._y = bottom + ROW_GAP

    def note(self, text: str, height: float, title: str = "How to use") -> None:
        """Explanations in Markdown."""
        self._place("MarkdownNote", height, [], [], [text], title=title, color="#432", bgcolor="#653")

    def add(self, kind: str, title: str = "", tall: float = 0, **inputs: Any) -> Node:  # noqa: ANN401
        """A node; inputs are values of widgets or outputs of nodes, widgets not named or None take their defaults.

        Raises:
            KeyError: the schema has no such node or input.
        """
        inputs = {name: value for name, value in inputs.items() if value is not None}
        schema = self.schemas[kind]
        specs = {name: spec for section in ("required", "optional") for name, spec in section_of(schema, section)}
        if unknown := {name for name in inputs if name.split(".")[0] not in specs}:
            raise KeyError(f"{kind} has no input {', '.join(unknown)}")
        sockets, widgets = sockets_of(schema, inputs.keys()), widgets_of(schema)
        values = {name: value for name, value in inputs.items() if name in widgets and not isinstance(value, tuple)}
        height = tall or height_of(kind, schema, len(sockets), values)
        entry = self._place(
            kind, height, sockets + widgets_as_inputs(widgets), outputs_of(schema),
            values_of(schema, values), **({"title": title} if title else {}),
        )  # fmt: skip
        node = Node(entry, schema)
        self.nodes[-1] = node
        for name, value in inputs.items():
            if isinstance(value, tuple):
                self._link(*value, node, name)
        return node

    def to_json(self) -> dict[str, Any]:
        """The workflow in version 0.4 of ComfyUI's format.

        Raises:
            ValueError: a wire does not go to the right.
        """
        return {
            "id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"headsup/workflows/{self.name}")),
            "revision": 0,
            "last_node_id": len(self.nodes),
            "last_link_id": len(self.links),
            "nodes": [node.entry for node in self.nodes],
            "links": self.links,
            "groups": self.groups,
            "config": {},
            "extra": self.extra | self._bends(),
            "version": 0.4,
        }

    def _bends(self) -> dict[str, Any]:
        """Points that keep wires in the gaps between columns, where they would run or swing out behind a node.

        Above the columns that a wire passes each output has a lane.
        """
        entries = {node.entry["id"]: node for node in self.nodes}
        bends = Bends()
        for link, source, slot, target, place, _kind in self.links:
            first, last = self._column_of(entries[source]), self._column_of(entries[target])
            if first >= last:
                raise ValueError(f"{self.name}: the wire from node {source} to {target} does not go to the right")
            left, right = self._columns[first][1] + COLUMN_GAP / 2, self._columns[last][0] - COLUMN_GAP / 2
            start, end = (entries[number].entry["pos"][1] + SLOT / 2 for number in (source, target))
            start, end = start + SLOT * slot, end + SLOT * place
            if last - first > 1:
                lane = bends.lane(source, slot)
                y, aside = LANE - LANE_STEP * lane, 12 * (lane % 4) - 18
                down = [(right + aside, end - SLOT)] if end - y > 2 * FAR else []
                up = [(left + aside, start - SLOT)] if start - y > 2 * FAR else []
                bends.add(link, [*up, (left + aside, y), (right + aside, y), *down])
            elif abs(end - start) > FAR:
                nearer = math.copysign(SLOT, end - start)
                aside = 8 * (bends.far % 5) - 16
                bends.far += 1
                bends.add(link, [(left + aside, start + nearer), (left + aside, end - nearer)])
        return bends.to_json()

    def _column_of(self, node: Node) -> int:
        return next(number for number, (left, _) in enumerate(self._columns) if left == node.entry["pos"][0])

    def _place(
        self, kind: str, height: float, inputs: list[Any], outputs: list[Any], values: list[Any], **looks: str
    ) -> dict[str, Any]:
        number = len(self.nodes) + 1
        entry: dict[str, Any] = {
            "id": number,
            "type": kind,
            **looks,
            "pos": [self._x, self._y + TITLE],
            "size": [self._width, height],
            "flags": {},
            "order": number - 1,
            "mode": 0,
            "inputs": inputs,
            "outputs": outputs,
            "properties": {"Node name for S&R": kind} if kind != "MarkdownNote" else {},
            "widgets_values": values,
        }
        self.nodes.append(Node(entry, {}))
        self._y += TITLE + height + ROW_GAP
        return entry

    def _link(self, source: Node, output: str, target: Node, name: str) -> None:
        slot = source.schema["output_name"].index(output)
        place, entry = next((i, e) for i, e in enumerate(target.entry["inputs"]) if e["name"] == name)
        number = len(self.links) + 1
        out = source.entry["outputs"][slot]
        out["links"] = [*(out["links"] or []), number]
        entry["link"] = number
        self.links.append([number, source.entry["id"], slot, target.entry["id"], place, out["type"]])


def section_of(schema: Schema, section: str) -> list[tuple[str, list[Any]]]:
    """The inputs of a section ("required", "optional") in order."""
    names = schema.get("input_order", schema["input"]).get(section, [])
    return [(name, schema["input"][section][name]) for name in names]


def sockets_of(schema: Schema, given: Collection[str] = ()) -> list[dict[str, Any]]:
    """The inputs that are no widgets; of one that grows, those that are `given`, and the next."""
    sockets: list[dict[str, Any]] = []
    for section in ("required", "optional"):
        for name, spec in section_of(schema, section):
            if spec[0] == GROWING:
                template = spec[1]["template"]
                kind = next(iter(template["input"]["required"].values()))[0]
                used = [number for number, one in enumerate(template["names"]) if f"{name}.{one}" in given]
                for one in template["names"][: max(used, default=-1) + 2]:
                    entry = {"name": f"{name}.{one}", "label": one, "type": kind, "link": None, "shape": OPTIONAL_SHAPE}
                    sockets.append(entry)
            elif not is_widget(*input_spec(spec)) and str(spec[0]) not in PAGE_ONLY:
                shape = {"shape": OPTIONAL_SHAPE} if section == "optional" else {}
                sockets.append({"name": name, "type": spec[0], "link": None, **shape})
    return sockets


def widgets_of(schema: Schema) -> dict[str, str]:
    """The widgets' names and types."""
    return {
        name: "COMBO" if isinstance(spec[0], list) else spec[0]
        for section in ("required", "optional")
        for name, spec in section_of(schema, section)
        if is_widget(*input_spec(spec))
    }


def widgets_as_inputs(widgets: dict[str, str]) -> list[dict[str, Any]]:
    """The sockets that widgets have, too."""
    return [{"name": name, "type": kind, "widget": {"name": name}, "link": None} for name, kind in widgets.items()]


def outputs_of(schema: Schema) -> list[dict[str, Any]]:
    """The outputs."""
    named = zip(schema["output_name"], schema["output"], schema["output_is_list"], strict=True)
    return [
        {"name": name, "type": kind, "links": None, **({"shape": 6} if is_list else {})}
        for name, kind, is_list in named
    ]


def values_of(schema: Schema, given: dict[str, Any]) -> list[Any]:
    """The list of widget values that the page keeps."""
    specs = {name: spec for section in ("required", "optional") for name, spec in section_of(schema, section)}
    given = own_defaults(specs, given) | given
    values: list[Any] = []
    before = ""
    for name in widget_names(schema):
        if name is None:
            values.append(SEED_CONTROL if input_spec(specs[before])[0] == "INT" else UPLOAD_VALUE)
        else:
            values.append(given[name] if name in given else default_of(specs[name]))
            before = name
    return values


def own_defaults(specs: dict[str, list[Any]], given: dict[str, Any]) -> dict[str, Any]:
    """Option -> its default in the chosen model, which the page shows (nodes/models/model_options.py)."""
    found: dict[str, Any] = {}
    for name, spec in specs.items():
        of_choices = input_spec(spec)[1].get("headsup_options_of_choices", {})
        found |= of_choices.get(given.get(name, default_of(spec)), {})
    return {name: value for name, value in found.items() if value is not None}


def default_of(spec: list[Any]) -> Any:  # noqa: ANN401 - any widget's
    """A widget's default: its own, or the first of its choices."""
    kind, options = input_spec(spec)
    if "default" in options:
        return options["default"]
    choices = kind if isinstance(kind, list) else options.get("options", [])
    return choices[0] if choices else ""


def height_of(kind: str, schema: Schema, sockets: int, given: dict[str, Any]) -> float:
    """The height that a node needs in either page; inputs that are folded away or of other models take none."""
    specs = {name: spec for section in ("required", "optional") for name, spec in section_of(schema, section)}
    own = own_defaults(specs, given)
    named = {name: input_spec(spec)[1] for name, spec in specs.items() if is_widget(*input_spec(spec))}
    options = [one for name, one in named.items() if name in own or not one.get("headsup_option_of_models")]
    hidden = len(named) - len(options)
    shown = [option for option in options if not option.get("advanced")]
    texts = sum(option.get("multiline") is True for option in shown)
    buttons = len(widget_names(schema)) - hidden - len(options)  # of an upload, or of a seed
    folded = len(options) > len(shown)  # Nodes 2.0 has a button that shows them
    slots = max(sockets, len(schema["output"]))
    widgets = len(shown) - texts + buttons + folded
    return slots * SLOT + widgets * WIDGET + texts * TEXT_BOX + 16 + PREVIEW * (kind in SHOWS)
