"""The helper that checks refusals finds what a message names, and nothing else."""

from __future__ import annotations

import math

import pytest
from harness.refusals import is_named, raises_naming


@pytest.mark.parametrize(
    ("each", "message", "found"),
    [
        (512, "tile 512 with overlap 64", True),
        (12, "tile 512", False),
        (51, "tile 512", False),
        (5, "scale 5.5", False),
        (5.5, "scale 5.5: too much", True),
        (4, "at most 4.", True),
        (-1, "overlap -1: must be", True),
        (1, "overlap -1", False),
        (0, "length 0.0:", True),
        (12, "12x9 px", False),
        (1e300, "scale 1e+300", True),
        (math.nan, "scale nan", True),
        ("lab", "use lab", True),
        ("tile", "overlap 1", False),
    ],
)
def test_numbers_count_where_they_stand_by_themselves(each: object, message: str, found: bool) -> None:
    assert is_named(each, message) is found


def test_other_kinds_and_unnamed_numbers_fail() -> None:
    with raises_naming(ValueError, 3, "tile"):
        raise ValueError("tile 3")
    with pytest.raises(AssertionError), raises_naming(ValueError, 4):
        raise ValueError("tile 3")
    with pytest.raises(KeyError), raises_naming(ValueError, 3):
        raise KeyError("tile 3")
    with pytest.raises(pytest.fail.Exception), raises_naming(ValueError):
        pass
