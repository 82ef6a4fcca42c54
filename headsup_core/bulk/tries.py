"""Who was in work when a worker died: notes beside the results, so that a picture that kills its worker is given up."""

from __future__ import annotations

import json
from typing import Any

from .destinations import Destination
from .items import Item

MOST_TRIES = 3
"""Times that a picture's worker may die before the picture is given up."""
FOLDER = ".headsup-bulk"
"""Below the output: all that a run keeps for itself."""


class Tries:
    """The notes of one run: a picture's is there while it is in work; notes of other runs count nothing.

    Args:
        run: id of the run.
    """

    def __init__(self, destination: Destination, run: str) -> None:
        self._destination, self._run = destination, run

    def count(self, item: Item) -> int:
        """How often the picture was begun and not ended."""
        data = self._destination.read(self._place(item))
        try:
            record: Any = json.loads(data or b"{}")
            return int(record["tries"]) if record.get("run") == self._run else 0
        except (ValueError, KeyError, TypeError, AttributeError):
            return 0  # cut short by a full disk: not counted

    def begin(self, item: Item, before: int = 0) -> None:
        """Note that the picture is in work, for one more time than `before`."""
        record = {"run": self._run, "tries": before + 1, "picture": item.name}
        self._destination.write(self._place(item), json.dumps(record).encode(), brief=True)

    def end(self, item: Item) -> None:
        """The picture is no more in work."""
        self._destination.remove(self._place(item))

    @staticmethod
    def _place(item: Item) -> str:
        return f"{FOLDER}/tries/{item.key}.json"
