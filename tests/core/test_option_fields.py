"""Options that carry their own range, unit and help text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pytest
from harness.refusals import raises_naming

from headsup_core.errors import InputError
from headsup_core.option_fields import declared_options, option


@dataclass(frozen=True)
class Sample:
    scale: float | None = option(None, "Enlargement.", minimum=0, maximum=16, step=0.25)
    tile: int = option(0, "Side of a tile.", minimum=0, unit="px", advanced=True)
    fix: Literal["none", "lab"] = option("none", "Where the colours come from.")
    loud: bool = option(False, "Say more.")
    other: int = 3


def test_fields_are_read_in_order_with_kind_and_range() -> None:
    found = declared_options(Sample)
    assert list(found) == ["scale", "tile", "fix", "loud"]
    assert [each.kind for each in found.values()] == [float, int, str, bool]
    assert found["scale"].optional
    assert found["fix"].choices == ("none", "lab")
    assert found["tile"].range_text == "at least 0 px"
    assert (found["tile"].default, found["tile"].advanced) == (0, True)


@pytest.mark.parametrize(
    ("name", "value"),
    [("scale", 4), ("scale", None), ("scale", 16.0), ("tile", 0), ("fix", "lab"), ("loud", True)],
)
def test_values_in_range_are_taken(name: str, value: object) -> None:
    taken = declared_options(Sample)[name].check(value)
    assert taken == value
    assert name != "scale" or value is None or isinstance(taken, float)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("scale", 16.5), ("scale", float("nan")), ("scale", "4"), ("tile", -1), ("tile", 1.5), ("tile", True)),
        *(("tile", None), ("fix", "LAB"), ("fix", None), ("loud", 1)),
    ],
)
def test_other_values_are_refused_with_the_option_named(name: str, value: object) -> None:
    with raises_naming(InputError, name):
        declared_options(Sample)[name].check(value)


def test_a_kind_that_no_interface_has_is_refused() -> None:
    @dataclass(frozen=True)
    class Odd:
        sizes: list[int] = option((), "Sizes.")  # noqa: RUF009 - makes a field

    with raises_naming(TypeError, "list"):
        declared_options(Odd)
