"""Options written once: a dataclass field that carries its own range, unit and help text.

`RestoreOptions` and the options that each published system declares are made of these fields. Node schemas, the command
line, records and documentation read them with `declared_options`, so nothing about an option is copied by hand.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, get_args, get_origin, get_type_hints

from .errors import InputError

_KEY = "headsup_option"
_TOO_LARGE_TO_SAY = 10**9
"""Larger maxima are bounds of a machine, of which nobody needs to read."""


@dataclass(frozen=True)
class OptionField:
    """What is known of one option.

    Attributes:
        name: of the dataclass field, the keyword in Python and, with hyphens, the flag on the command line.
        kind: `bool`, `int`, `float` or `str`; a `str` with `choices` is one of them.
        default: the value when nothing is given.
        help: plain full sentences for tooltips, `--help` and help pages.
        minimum, maximum: inclusive range of a number; None: no bound.
        step: by which a slider moves; None: the host's own choice.
        unit: of a number, for people ("px", "megapixels"); "" without one.
        choices: the allowed texts; () for any.
        optional: None is allowed, and means that the value is chosen when the option is used.
        unset: what None means, to stand after a colon ("chosen by the free memory"); "" when None is not allowed.
        multiline: the text may have several lines.
        advanced: few people need it; interfaces may fold it away.
        literally: messages write the name as it is, which is how a file has it.
    """

    name: str
    kind: type
    default: Any
    help: str
    minimum: float | None = None
    maximum: float | None = None
    step: float | None = None
    unit: str = ""
    choices: tuple[str, ...] = ()
    optional: bool = False
    unset: str = ""
    multiline: bool = False
    advanced: bool = False
    literally: bool = False

    def check(self, value: Any) -> Any:  # noqa: ANN401 - of any of the kinds
        """The value as the option takes it.

        Raises:
            InputError: the value has another type, is not among the choices, is not finite or is out of range.
        """
        if value is None and self.optional:
            return None
        if self.kind is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if not isinstance(value, self.kind) or (self.kind is int and isinstance(value, bool)):
            raise InputError(f"{self.label} is {value!r}: must be {_KIND_WORDS[self.kind]}")
        if self.choices and value not in self.choices:
            named = ", ".join(choice or '""' for choice in self.choices)
            raise InputError(f"{self.label} {value!r} is unknown: choose one of {named}")
        if isinstance(value, int | float) and self.kind is not bool:
            self._check_range(value)
        return value

    def _check_range(self, value: float) -> None:
        low = -math.inf if self.minimum is None else self.minimum
        high = math.inf if self.maximum is None else self.maximum
        if not low <= value <= high:  # NaN lies in no range
            raise InputError(f"{self.label} {value:g}: must be {self.range_text or 'a finite number'}")

    @property
    def label(self) -> str:
        """The name as people read it: `tile batch`."""
        return self.name if self.literally else self.name.replace("_", " ")

    @property
    def range_text(self) -> str:
        """The range in words: `from 0 to 16`, `at least 0 px`, or "" without one."""
        unit = f" {self.unit}" if self.unit else ""
        maximum = None if self.maximum is None or self.maximum > _TOO_LARGE_TO_SAY else self.maximum
        if self.minimum is not None and maximum is not None:
            return f"from {self.minimum:g} to {maximum:g}{unit}"
        if self.minimum is not None:
            return f"at least {self.minimum:g}{unit}"
        return "" if maximum is None else f"at most {maximum:g}{unit}"


_KIND_WORDS: Mapping[type, str] = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}


def option(
    default: Any,  # noqa: ANN401 - the field's own type
    help: str,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    step: float | None = None,
    unit: str = "",
    choices: tuple[str, ...] = (),
    unset: str = "",
    multiline: bool = False,
    advanced: bool = False,
) -> Any:  # noqa: ANN401 - a dataclass field, which stands for a value of the annotated type
    """A dataclass field that is an option; the arguments are those of `OptionField`.

    The field's annotation gives the kind: `int`, `float | None` (optional), `bool`, `str`, or a `Literal` of texts,
    whose members are the choices.
    """
    described = {
        "help": help,
        "minimum": minimum,
        "maximum": maximum,
        "step": step,
        "unit": unit,
        "choices": choices,
        "unset": unset,
        "multiline": multiline,
        "advanced": advanced,
    }
    return dataclasses.field(default=default, metadata={_KEY: described})


@functools.cache
def declared_options(options: type) -> Mapping[str, OptionField]:
    """The options of a dataclass by name, in the order in which they were written.

    Raises:
        TypeError: an option's annotation is none of the kinds that `option` names.
    """
    hints = get_type_hints(options)
    found: dict[str, OptionField] = {}
    for each in dataclasses.fields(options):
        described: dict[str, Any] | None = each.metadata.get(_KEY)
        if described is None:
            continue
        kind, choices, optional = _kind_of(hints[each.name])
        record: dict[str, Any] = {**described, "choices": described["choices"] or choices}
        found[each.name] = OptionField(name=each.name, kind=kind, default=each.default, optional=optional, **record)
    return MappingProxyType(found)


def check_options(options: object) -> None:
    """Check every option of an instance, for its `__post_init__`; a whole number given for a `float` becomes one.

    Raises:
        InputError: as `OptionField.check`.
    """
    for name, field in declared_options(type(options)).items():
        object.__setattr__(options, name, field.check(getattr(options, name)))


def within(default: Any, minimum: float, maximum: float | None = None) -> Any:  # noqa: ANN401 - as `option`
    """A dataclass field of a number with an inclusive range for `check_fields`, and without a help text."""
    return option(default, "", minimum=minimum, maximum=maximum)


def check_fields(record: object, of: str = "") -> None:
    """Check every field of a dataclass that an option could be, as `check_options` checks those that are one.

    Args:
        of: what holds the field, for the message: "loss" says "loss.l1 is 'x': must be a number".

    Raises:
        InputError: as `OptionField.check`.
    """
    for name, field in _plain_fields(type(record)).items():
        named = dataclasses.replace(field, name=f"{of}.{name}" if of else name, literally=True)
        object.__setattr__(record, name, named.check(getattr(record, name)))


@functools.cache
def _plain_fields(record: type) -> Mapping[str, OptionField]:
    """The fields of the kinds that `option` names, whether they are options or not."""
    hints, found = get_type_hints(record), dict(declared_options(record))
    for each in dataclasses.fields(record):
        with contextlib.suppress(TypeError):  # another kind
            kind, choices, optional = _kind_of(hints[each.name])
            found.setdefault(each.name, OptionField(each.name, kind, None, "", choices=choices, optional=optional))
    return MappingProxyType(found)


def _kind_of(annotation: Any) -> tuple[type, tuple[str, ...], bool]:  # noqa: ANN401 - any type expression
    """Kind, choices and whether None is allowed."""
    members = [member for member in get_args(annotation) if member is not type(None)]
    optional = type(None) in get_args(annotation)
    inner = members[0] if optional and len(members) == 1 else annotation
    if inner in _KIND_WORDS:
        return inner, (), optional
    texts = get_args(inner)
    if get_origin(inner) is not None and texts and all(isinstance(text, str) for text in texts):
        return str, texts, optional
    raise TypeError(f"an option cannot be of type {annotation!r}: use bool, int, float, str or a Literal of texts")
