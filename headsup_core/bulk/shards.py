"""Results in shards: which picture goes into which one, what a shard holds already, and how it is written."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any, BinaryIO

from ..errors import InputError
from ..identity.names import readable
from ..libraries import need
from ..whole_files import fitting_name
from .addresses import join
from .destinations import Destination
from .items import Item, forget_parquet
from .sources import list_items
from .tries import FOLDER

SHARD_SUFFIXES = {"tar": ".tar", "parquet": ".parquet"}
"""What can be written -> the suffix of its files."""
SHARD_SIZE = 1000
"""Pictures of a shard, of those that come from no shard themselves."""
NAME, PICTURE = "path", "image"
"""Columns of a Parquet shard: the member's name, and the picture file."""
ROW_GROUP = 64
"""Pictures that a Parquet shard is written by."""


@dataclass(frozen=True)
class Sharding:
    """How results are put into shards.

    Attributes:
        kind: one of `SHARD_SUFFIXES`.
        size: pictures of a shard, but of those that come from a shard, which stay together.
    """

    kind: str
    size: int = SHARD_SIZE

    def __post_init__(self) -> None:
        if self.size < 1:
            raise InputError(f"--shard-size {self.size}: must be at least 1")


def give_shards(items: Iterable[Item], ending: str, sharding: Sharding) -> list[Item]:
    """The items with the shards of their results, and their names in these; the same for the same items in order.

    Pictures of a shard go into one at the same place below the output, all others into pictures-00000 and so on. Names
    have one dot, that of `ending`: a webdataset ends a sample's key at the first.
    """
    suffix, others = SHARD_SUFFIXES[sharding.kind], 0
    shards: dict[str, str] = {}
    taken: dict[str, set[str]] = {}
    placed: list[Item] = []
    for item in items:
        place = PurePosixPath(item.place)
        if item.shard:
            below = PurePosixPath(item.shard)
            shard = shards.setdefault(item.address, _free(below.with_suffix(""), suffix, taken))
            place = place.relative_to(below.with_suffix(""))
        else:
            key = f"pictures-{others // sharding.size:05d}"
            shard = shards.setdefault(f"\0{key}", _free(PurePosixPath(key), suffix, taken))
            others += 1
        names = taken.setdefault(shard.casefold(), set())
        plain = _member(place)
        member = _free(plain, ending, names)
        names.add(member.casefold())
        placed.append(replace(item, place=member, shard=shard))
    return placed


def _member(place: PurePosixPath) -> PurePosixPath:
    """A name in a shard, without its suffix: text, since Parquet takes nothing else, without dots, and not too long."""
    folder, stem = readable(str(place.parent)), readable(place.stem)
    return PurePosixPath(folder) / fitting_name(stem.replace(".", "_"))


def _free(plain: PurePosixPath, ending: str, taken: Iterable[str]) -> str:
    """`plain` with an ending, numbered where it is taken."""
    name, number = f"{plain}{ending}", 2
    while name.casefold() in taken:
        name, number = f"{plain}_{number}{ending}", number + 1
    return name


def shards_of(items: Iterable[Item]) -> dict[str, list[str]]:
    """Shard -> the names of its members."""
    found: dict[str, list[str]] = {}
    for item in items:
        if item.shard:
            found.setdefault(item.shard, []).append(item.place)
    return found


class Results:
    """The results of a run, as single files or in shards.

    What is to go into a shard lies beside it as single files until all of the run is done: so a killed run loses no
    picture that was written, and a shard appears whole.
    """

    def __init__(self, destination: Destination) -> None:
        self.destination = destination
        self._shard, self._members = "", dict[str, Item]()

    def name(self, item: Item) -> str:
        """What a result is called in messages."""
        if not item.shard:
            return self.destination.name(item.place)
        return f"{self.destination.name(item.shard)}::{item.place}"

    def read(self, item: Item) -> bytes | None:
        """An earlier result, None when there is none. Raises `InputError` when it cannot be read."""
        if not item.shard:
            return self.destination.read(item.place)
        staged = self.destination.read(_staged(item.shard, item.place))
        if staged is not None:
            return staged
        if item.shard != self._shard:
            self._shard, self._members = item.shard, members_of(self.destination, item.shard)
        found = self._members.get(item.place)
        return None if found is None else found.read()

    def write(self, item: Item, data: bytes) -> None:
        """Put a result into its place. Raises `InputError` when that cannot be."""
        self.destination.write(_staged(item.shard, item.place) if item.shard else item.place, data)


def members_of(destination: Destination, shard: str) -> dict[str, Item]:
    """The pictures in a shard of the output by their names; {} when there is no such file."""
    if not destination.exists(shard):
        return {}
    below = PurePosixPath(PurePosixPath(shard).name).with_suffix("")
    items = list_items([join(destination.address, shard)])
    return {str(PurePosixPath(item.place).relative_to(below)): item for item in items}


def check_shards(destination: Destination, planned: Mapping[str, Sequence[str]]) -> None:
    """Refuse shards that are there and hold what this run would not put there. Raises `InputError`."""
    for shard, names in planned.items():
        if others := sorted(members_of(destination, shard).keys() - set(names)):
            raise InputError(
                f"{destination.name(shard)} is there and holds {len(others)} other pictures, as {others[0]}: choose "
                "another --output, or move it away"
            )


class Packer:
    """A worker that makes shards of what lies ready for them; an item's place is that of its shard."""

    def __init__(self, output: str) -> None:
        self._destination = Destination(output)

    def read(self, item: Item) -> list[str] | None:
        """The names of what is ready; None when nothing is."""
        return sorted(self._destination.files_in(_staged(item.place))) or None

    def work(self, item: Item, read: list[str]) -> list[str]:
        return read

    def write(self, item: Item, worked: list[str]) -> dict[str, Any]:
        shard = item.place
        kept = members_of(self._destination, shard)
        names = sorted({*kept, *worked})
        write = {".tar": _write_tar, ".parquet": _write_parquet}[PurePosixPath(shard).suffix]
        with self._destination.written(shard) as file:
            write(file, self._contents(shard, names, kept))
        forget_parquet()
        self._destination.remove_folder(_staged(shard))
        return {"members": len(names)}

    def _contents(self, shard: str, names: Sequence[str], kept: Mapping[str, Item]) -> Iterator[tuple[str, bytes]]:
        for name in names:
            data = self._destination.read(_staged(shard, name))
            yield name, kept[name].read() if data is None else data


def _staged(shard: str, member: str = "") -> str:
    return f"{FOLDER}/ready/{shard}/{member}".rstrip("/")


def _write_tar(file: BinaryIO, members: Iterable[tuple[str, bytes]]) -> None:
    """A webdataset shard; the same members give the same bytes."""
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, data in members:
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))


def _write_parquet(file: BinaryIO, members: Iterable[tuple[str, bytes]]) -> None:
    arrow: Any = need("pyarrow", "pyarrow", "Parquet")
    parquet: Any = need("pyarrow.parquet", "pyarrow", "Parquet")
    schema = arrow.schema([(NAME, arrow.string()), (PICTURE, arrow.binary())])
    with parquet.ParquetWriter(file, schema) as writer:
        rows: list[dict[str, Any]] = []
        for name, data in members:
            rows.append({NAME: name, PICTURE: data})
            if len(rows) == ROW_GROUP:
                writer.write_table(arrow.Table.from_pylist(rows, schema))
                rows = []
        if rows:
            writer.write_table(arrow.Table.from_pylist(rows, schema))
