"""A host that is asked to stop."""

from __future__ import annotations

from headsup_core.host import PlainHost


class CancellingHost(PlainHost):
    """Raises `error` at the given call of `check_cancelled`, counted from 1.

    Attributes:
        asked: how many calls there were.
    """

    def __init__(self, at: int, error: type[BaseException]) -> None:
        super().__init__("cpu", quiet=True)
        self._at, self._error = at, error
        self.asked = 0

    def check_cancelled(self) -> None:
        self.asked += 1
        if self.asked == self._at:
            raise self._error
