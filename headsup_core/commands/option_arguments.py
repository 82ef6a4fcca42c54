"""A command's arguments made from declared options (`option_fields`), and the options back from what was typed."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from typing import Any

from ..option_fields import OptionField, declared_options

_METAVARS = {int: "N", float: "X"}


def add_option_arguments(parser: argparse.ArgumentParser, options: type, names: Iterable[str] | None = None) -> None:
    """Give `parser` a flag for each option of a dataclass of `option` fields: `tile_batch` becomes `--tile-batch`.

    Args:
        names: which of them; None: all.
    """
    declared = declared_options(options)
    for name in declared if names is None else names:
        add_option_argument(parser, declared[name])


def add_option_argument(parser: argparse.ArgumentParser, field: OptionField) -> None:
    """The flag of one option; of a `bool` with its opposite, as `--merge` and `--no-merge`."""
    flag, said = f"--{field.name.replace('_', '-')}", help_text(field).replace("%", "%%")
    if field.kind is bool:
        parser.add_argument(flag, action=argparse.BooleanOptionalAction, default=field.default, help=said)
    elif field.choices:
        parser.add_argument(flag, choices=field.choices, default=field.default, help=said)
    else:
        metavar = _METAVARS.get(field.kind)
        parser.add_argument(flag, type=field.kind, default=field.default, metavar=metavar, help=said)


def given_arguments(options: type, args: argparse.Namespace) -> dict[str, Any]:
    """Option -> value, of those options of the dataclass that `args` has."""
    return {name: getattr(args, name) for name in declared_options(options) if hasattr(args, name)}


def help_text(field: OptionField) -> str:
    """The help with range and default in parentheses."""
    default = field.unset or "chosen automatically" if field.default is None else _shown(field.default)
    facts = [field.range_text] if field.range_text else []
    return f"{field.help} ({'; '.join([*facts, f'default: {default}'])})"


def _shown(value: Any) -> str:  # noqa: ANN401 - of any of the kinds
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return f"{value:g}"
    return str(value) or "none"
