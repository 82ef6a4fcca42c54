"""What comes into a node is looked at before the node works with it.

ComfyUI checks widgets against their schema, and links by the kinds that they name. What a link that takes anything
(`*`) brings along is checked by nobody else.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, Protocol

from ...headsup_core import Faces, HeadsUpModel, Identity, InputError
from ...headsup_core.idfsr.idfsr_model import IDFSRModel

SHOWN = 40
"""Characters of a wrong value that a message shows."""


class DeclaredInput(Protocol):
    """One input of a schema; numbers also have `min` and `max`, widgets and links `optional`."""

    @property
    def id(self) -> str: ...

    def get_io_type(self) -> str:
        """INT, FLOAT, BOOLEAN, STRING, COMBO, IMAGE or another kind."""
        ...


class DeclaredInputs(Protocol):
    """The part of a schema that is read here."""

    @property
    def inputs(self) -> Sequence[DeclaredInput]: ...

    @property
    def is_input_list(self) -> bool: ...


@dataclass(frozen=True)
class OwnKind:
    """What one of the pack's own sockets carries.

    Attributes:
        holds: whether a value is that.
        words: for a message.
    """

    holds: Callable[[object], bool]
    words: str


def _are_people(value: object) -> bool:
    return isinstance(value, (tuple, list)) and all(isinstance(one, Identity) for one in value)


OWN = {
    "HEADSUP_MODEL": OwnKind(lambda value: isinstance(value, HeadsUpModel), "a model from HeadsUp Load Model"),
    "HEADSUP_FACES": OwnKind(lambda value: isinstance(value, Faces), "faces from HeadsUp Detect Faces"),
    "HEADSUP_IDENTITIES": OwnKind(_are_people, "people from HeadsUp Encode Identity"),
    "HEADSUP_IDFSR_MODEL": OwnKind(lambda value: isinstance(value, IDFSRModel), "a model from HeadsUp Load IDFSR"),
    "HEADSUP_FACE_ANALYZER": OwnKind(lambda value: hasattr(value, "detect"), "one of HeadsUp Load Face Analyzer"),
}
"""By the socket's kind."""
PLAIN: dict[str, tuple[tuple[type[Any], ...], str]] = {
    "BOOLEAN": ((bool, int), "true or false"),
    "STRING": ((str,), "a text"),
    "COMBO": ((str,), "one of its choices, as a text"),
}


def checked(execute: Callable[..., Any]) -> Callable[..., Any]:
    """`execute(cls, **inputs)` of a node class, which raises `InputError` for an input that is not of its schema's kind
    and range: it names the input, what came, and what is expected.

    Pictures and masks are left to `pictures.Pictures` and `pictures.mask_planes`, which say more.
    """

    @functools.wraps(execute)
    def execute_checked(cls: Any, *values: Any, **named: Any) -> Any:  # noqa: ANN401 - as the node has it
        check_inputs(cls.SCHEMA or cls.define_schema(), named)
        return execute(cls, *values, **named)

    return execute_checked


def check_inputs(schema: DeclaredInputs, named: dict[str, Any]) -> None:
    """Raises `InputError` for the first value that is not what `schema` says; in lists each is looked at."""
    for declared in schema.inputs:
        if declared.id not in named:
            continue
        given = named[declared.id]
        for value in given if schema.is_input_list and isinstance(given, list) else [given]:
            _check(declared, value)


def _check(declared: DeclaredInput, value: object) -> None:
    kind = str(declared.get_io_type())
    if value is None and getattr(declared, "optional", False):
        return
    if kind in ("INT", "FLOAT"):
        _check_number(declared, value)
    elif kind in PLAIN and not isinstance(value, PLAIN[kind][0]):
        raise _wrong(declared, value, PLAIN[kind][1])
    elif kind in OWN and not OWN[kind].holds(value):
        raise _wrong(declared, value, OWN[kind].words)


def _check_number(declared: DeclaredInput, value: object) -> None:
    least, most = getattr(declared, "min", None), getattr(declared, "max", None)
    expected = "a number" if least is None or most is None else f"a number from {least:g} to {most:g}"
    if not isinstance(value, Real) or not math.isfinite(value):
        raise _wrong(declared, value, expected)
    if (least is not None and value < least) or (most is not None and value > most):
        raise _wrong(declared, value, expected)


def _wrong(declared: DeclaredInput, value: object, expected: str) -> InputError:
    shown = repr(value).replace("\n", " ")
    shown = shown if len(shown) <= SHOWN else shown[:SHOWN] + "…"
    return InputError(f"{declared.id}: {expected} is expected, not {shown} ({type(value).__name__})")
