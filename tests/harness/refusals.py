"""What a refusal must say, without its prose: the kind of the error, and the numbers and names in its message."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

NUMBER = re.compile(r"(?<![\w.-])-?(?:\d+(?:\.\d+)?(?:e[+-]?\d+)?|nan|inf)(?!\w|\.\d)")


@contextmanager
def raises_naming(kind: type[BaseException], *named: object) -> Iterator[pytest.ExceptionInfo[BaseException]]:
    """The block raises `kind`, and the message has each of `named` in it.

    A number counts where it stands by itself: 12 is not found in 512, 1.2 or 12x9, but in 12.0. Texts are searched
    as they are.
    """
    with pytest.raises(kind) as caught:
        yield caught
    message = str(caught.value)
    missing = [each for each in named if not is_named(each, message)]
    assert missing == [], message


def is_named(each: object, message: str) -> bool:
    """Whether a number or a text occurs in a message."""
    if isinstance(each, int | float):
        return f"{float(each):.12g}" in {f"{float(number):.12g}" for number in NUMBER.findall(message)}
    return str(each) in message
