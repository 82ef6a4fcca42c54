"""A host that is asked to stop."""

from __future__ import annotations

from headsup_core.host import PlainHost


class CancellingHost(PlainHost):
    """Raises `error` at the given call of `check_cancelled`, counted from 1."""

    def __init__(self, at: int, error: type[BaseException]) -> None:
        super().__init__("cpu", quiet=True)
        self._left, self._error = at, error

    def check_cancelled(self) -> None:
        self._left -= 1
        if self._left == 0:
            raise self._error
