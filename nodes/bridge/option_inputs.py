"""A node's inputs made from declared options (`headsup_core.option_fields`), and the options back from its widgets.

A widget always has a value. Of an option that may be unset, one value stands for that: the first choice `auto` of a
list, an empty text, and of a number 0, or -1 where 0 means something.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from ...headsup_core.option_fields import OptionField, declared_options
from .comfy import io

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

UNSET_CHOICE = "auto"
LARGEST = 2**31 - 1
"""Bound of a number that declares none; a widget needs one."""


def option_inputs(options: type, names: Iterable[str], **changes: Any) -> list[Any]:  # noqa: ANN401 - of the inputs
    """The inputs of the options `names` of a dataclass of `option` fields, in that order.

    Args:
        changes: keywords of ComfyUI's inputs, for all of them, as `optional=True`.
    """
    declared = declared_options(options)
    return [option_input(declared[name], **changes) for name in names]


def option_input(field: OptionField, **changes: Any) -> Any:  # noqa: ANN401 - ComfyUI's input
    """ComfyUI's input for an option: Boolean, Int, Float, String or Combo, with range, default and tooltip.

    Args:
        changes: keywords of ComfyUI's input that are to be added or replaced, as `default=4.0`.
    """
    unset = unset_value(field) if field.optional else None
    default = unset if field.default is None else field.default
    default = changes.get("default", default)
    settings: dict[str, Any] = {"default": default, "tooltip": tooltip(field, default)}
    if field.advanced:
        settings["advanced"] = True
    if field.choices:
        kind, more = io.Combo, {"options": [*([unset] if field.optional else []), *field.choices]}
    elif field.kind is bool:
        kind, more = io.Boolean, {}
    elif field.kind is str:
        kind, more = io.String, {"multiline": field.multiline}
    else:
        kind, more = (io.Int if field.kind is int else io.Float), _range(field, unset)
    return _built(kind, field.name, {**settings, **more, **changes})


def given_options(options: type, widgets: Mapping[str, Any]) -> dict[str, Any]:
    """Option -> value, of the widgets that belong to options of the dataclass; the others are left out."""
    declared = declared_options(options)
    return {name: given_option(declared[name], value) for name, value in widgets.items() if name in declared}


def given_option(field: OptionField, widget: Any) -> Any:  # noqa: ANN401 - of any of the kinds
    """The option's value that a widget's value stands for."""
    if isinstance(widget, str) and field.kind is str and not field.choices:
        widget = widget.strip()
    return None if field.optional and widget == unset_value(field) else widget


def unset_value(field: OptionField) -> Any:  # noqa: ANN401 - of the widget's kind
    """What a widget shows for None."""
    if field.choices:
        return UNSET_CHOICE
    if field.kind is str:
        return ""
    if field.kind is bool:
        raise TypeError(f"{field.name}: an option that is true, false or None needs choices")
    return field.kind(0 if field.minimum is not None and field.minimum > 0 else -1)


def tooltip(field: OptionField, default: Any = None) -> str:  # noqa: ANN401 - of any of the kinds
    """The help with range and default, in whole sentences."""
    unset = _shown(field, unset_value(field)) if field.optional else ""
    chosen = _shown(field, default)
    facts = [field.range_text] if field.range_text else []
    facts += [f"default {chosen}"] if chosen != unset else []
    said = [field.help]
    if facts:
        said.append(f"{facts[0][0].upper()}{', '.join(facts)[1:]}.")
    if field.optional:
        said.append(f"{unset}{' (default)' * (chosen == unset)}: {field.unset or 'chosen automatically'}.")
    return " ".join(said)


def _shown(field: OptionField, value: Any) -> str:  # noqa: ANN401 - of any of the kinds
    if field.kind is bool:
        return "on" if value else "off"
    if isinstance(value, int | float):
        return f"{value:g}"
    return str(value) or "Empty"


def _range(field: OptionField, unset: float | None) -> dict[str, Any]:
    low = -LARGEST if field.minimum is None else field.minimum
    low = low if unset is None else min(low, unset)
    high = LARGEST if field.maximum is None else field.maximum
    if field.kind is int:
        return {"min": int(low), "max": int(high), "step": int(field.step or 1)}
    # ComfyUI rounds what is typed to multiples of `round`
    return {"min": float(low), "max": float(high), "step": float(field.step or 0.05), "round": 0.001}


def advanced_input(kind: Any, name: str, **settings: Any) -> Any:  # noqa: ANN401 - ComfyUI's kinds and inputs
    """An input that few people need: the page folds it away where its version can. `advanced_input(io.Float, "x")`."""
    return _built(kind, name, {**settings, "advanced": True})


def _built(kind: Any, name: str, settings: dict[str, Any]) -> Any:  # noqa: ANN401 - ComfyUI's input
    """Without the keywords that an older version does not know (0.3.75: `advanced`)."""
    known = inspect.signature(kind.Input).parameters
    return kind.Input(name, **{key: value for key, value in settings.items() if key in known})
