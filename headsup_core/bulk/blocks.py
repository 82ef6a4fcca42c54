"""A worker's block of pictures: the next is read and the last is written while one is computed; each ends by itself."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Protocol

from ..errors import HeadsUpError
from ..host import is_out_of_memory
from .addresses import reason
from .destinations import Destination
from .items import Item
from .tries import MOST_TRIES, Tries

Status = Literal["done", "kept", "failed"]


class Worker(Protocol):
    """What a worker process holds (models) and does with a picture, in three steps that run side by side."""

    def read(self, item: Item) -> Any:  # noqa: ANN401 - goes to `work`
        """Read a picture, in another thread; None when its result is there already."""
        ...

    def work(self, item: Item, read: Any) -> Any:  # noqa: ANN401 - goes to `write`
        """Compute, in the main thread."""
        ...

    def write(self, item: Item, worked: Any) -> dict[str, Any]:  # noqa: ANN401 - from `work`
        """Write the result, in another thread; what is returned, as JSON, goes to the run."""
        ...


MakeWorker = Callable[[], Worker]
"""Makes the worker in its process; it is pickled."""


@dataclass
class Result:
    """What became of a picture.

    Attributes:
        seconds: that the worker's computing thread was busy with it.
        worker: id of the worker.
        began, ended: when reading began and its result was written, in seconds since 1970 by the worker's clock.
        more: what the worker said of it.
    """

    item: Item
    status: Status
    error: str = ""
    seconds: float = 0.0
    worker: str = ""
    began: float = 0.0
    ended: float = 0.0
    more: dict[str, Any] = field(default_factory=dict[str, Any])

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> Result:
        """What `to_json` gave."""
        fields: dict[str, Any] = {**record, "item": Item(**record["item"])}
        return cls(**fields)


@dataclass(frozen=True)
class Block:
    """How a worker treats its blocks.

    Attributes:
        destination: address of the output, for the notes of what is in work; "" : none are kept.
        run: id of the run.
    """

    destination: str
    run: str


class BlockWork:
    """A worker, and the threads beside it that read and write. One for each worker process."""

    def __init__(self, worker: Worker, block: Block) -> None:
        self._worker, self._id = worker, uuid.uuid4().hex[:12]
        self._tries = Tries(Destination(block.destination), block.run) if block.destination else None
        self._reader, self._writer = ThreadPoolExecutor(1, "read"), ThreadPoolExecutor(1, "write")

    def __call__(self, items: Sequence[Item]) -> list[Result]:
        """What became of each picture. One that fails takes no other along; only `KeyboardInterrupt` ends a block.

        Where a worker died in this block before, pictures are done strictly one after the other: so only the one that
        kills its worker is ever counted up to `MOST_TRIES`.
        """
        before = [0 if self._tries is None else self._tries.count(item) for item in items]
        careful = any(before)
        todo = [(item, tries) for item, tries in zip(items, before, strict=True) if tries < MOST_TRIES]
        given_up = [self._given_up(item) for item, tries in zip(items, before, strict=True) if tries >= MOST_TRIES]
        results: list[Result] = []
        writing: Future[Result] | None = None
        ahead = self._reader.submit(self._read, *todo[0]) if todo else None
        for index, (item, _) in enumerate(todo):
            assert ahead is not None  # noqa: S101 - there is one for each
            began, read = ahead.result()
            if not careful and index + 1 < len(todo):
                ahead = self._reader.submit(self._read, *todo[index + 1])
            result, worked = self._work(item, read)
            result.worker, result.began = self._id, began
            if writing is not None:
                results.append(writing.result())
            writing = self._writer.submit(self._write, result, worked)
            if careful:
                results.append(writing.result())
                writing = None
                if index + 1 < len(todo):
                    ahead = self._reader.submit(self._read, *todo[index + 1])
        if writing is not None:
            results.append(writing.result())
        return results + given_up

    def _given_up(self, item: Item) -> Result:
        if self._tries is not None:
            self._tries.end(item)
        return Result(item, "failed", f"{item.name}: its worker died {MOST_TRIES} times over it, it is given up")

    def _read(self, item: Item, before: int) -> tuple[float, Any]:
        """When it began, and what the worker's `read` gave, or its error."""
        began = time.time()
        try:
            if self._tries is not None:
                self._tries.begin(item, before)
            return began, self._worker.read(item)
        except Exception as error:
            return began, error

    def _work(self, item: Item, read: Any) -> tuple[Result, Any]:  # noqa: ANN401 - from the worker's read
        started = time.perf_counter()
        if read is None:
            return Result(item, "kept"), None
        try:
            if isinstance(read, Exception):
                raise read
            worked = self._worker.work(item, read)
        except Exception as error:
            return Result(item, "failed", _named(item, error), time.perf_counter() - started), None
        return Result(item, "done", seconds=time.perf_counter() - started), worked

    def _write(self, result: Result, worked: Any) -> Result:  # noqa: ANN401 - from the worker's work
        item = result.item
        try:
            if result.status == "done":
                result.more = self._worker.write(item, worked)
        except Exception as error:
            result.status, result.error = "failed", _named(item, error)
        if self._tries is not None:
            self._tries.end(item)
        result.ended = time.time()
        return result


def _named(item: Item, error: Exception) -> str:
    """One line that names the picture and says why it failed."""
    text = reason(error)
    if is_out_of_memory(error):
        text = "memory ran out: make it smaller, or give a --tile"
    elif not isinstance(error, HeadsUpError):
        text = f"{type(error).__name__}: {text}"
    return text if item.name in text else f"{item.name}: {text}"
