"""One picture among millions: where its bytes are, and where its result goes."""

from __future__ import annotations

import hashlib
import os
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any, Literal

from ..errors import InputError
from ..libraries import need
from .addresses import file_system, is_url, local_path, read_bytes, shown

Kind = Literal["file", "tar", "parquet"]


@dataclass(frozen=True)
class Item:
    """A picture that nobody has read yet.

    Attributes:
        address: path or URL of the file, or of the shard that holds it.
        kind: a picture file, a member of a tar shard, or a row of a Parquet file.
        member: its name in the shard.
        offset, size: its bytes in a tar shard.
        row, column: its cell in a Parquet file.
        place: of its result below the output, with `/`, or in its shard; before `sources.give_places` or
            `shards.give_shards`, the place below its source.
        shard: of its result, below the output, "": a single file; before that the one that holds it, below its source.
        sampled: whether the report shows it.
    """

    address: str
    kind: Kind = "file"
    member: str = ""
    offset: int = 0
    size: int = 0
    row: int = 0
    column: str = ""
    place: str = ""
    shard: str = ""
    sampled: bool = False

    @property
    def name(self) -> str:
        """What it is called in messages; holds no secrets."""
        return shown(self.address) + (f"::{self.member}" if self.member else "")

    @property
    def key(self) -> str:
        """A hash of where it lies. For a file on a disk the one that `upscale` writes into results, too."""
        address = shown(self.address) if is_url(self.address) else os.path.realpath(local_path(self.address))
        whole = address + (f"::{self.member}" if self.member else "")
        return hashlib.sha256(os.fsencode(whole)).hexdigest()[:16]

    def read(self) -> bytes:
        """The picture file's content. Raises `InputError` when it cannot be read."""
        if self.kind == "file":
            return read_bytes(self.address)
        if self.kind == "tar":
            data = read_bytes(self.address, self.offset, self.size)
            if len(data) != self.size:
                raise InputError(f"{self.name} is cut short: {len(data)} of {self.size} bytes")
            return data
        return _cell(self)

    def to_json(self) -> dict[str, Any]:
        """As keywords of the constructor."""
        return asdict(self)


def _cell(item: Item) -> bytes:
    group, first = _group_of(item.address, item.row)
    value = _column(item.address, group, item.column)[item.row - first].as_py()
    if isinstance(value, dict):  # as Hugging Face's data sets have pictures
        value = value.get("bytes")
    if not isinstance(value, bytes):
        raise InputError(f"{item.name}: column {item.column} holds no bytes there")
    return value


@lru_cache(maxsize=4)
def _parquet(address: str) -> Any:  # noqa: ANN401 - pyarrow's ParquetFile
    return open_parquet(address)


def open_parquet(address: str) -> Any:  # noqa: ANN401 - pyarrow's ParquetFile
    """A Parquet file by path or URL. Raises `InputError` when it is none."""
    parquet = need("pyarrow.parquet", "pyarrow", "Parquet")
    try:
        if is_url(address):
            system, path = file_system(address)
            return parquet.ParquetFile(system.open(path, "rb"))
        return parquet.ParquetFile(local_path(address))
    except (OSError, ValueError) as error:  # pyarrow's errors are ValueErrors
        text = shown(" ".join(str(error).split()))
        raise InputError(f"{shown(address)} is no Parquet file that can be read ({text})") from None


def _group_of(address: str, row: int) -> tuple[int, int]:
    """(row group, its first row) of a row."""
    metadata, first = _parquet(address).metadata, 0
    for group in range(metadata.num_row_groups):
        count = metadata.row_group(group).num_rows
        if row < first + count:
            return group, first
        first += count
    raise InputError(f"{shown(address)} has {first} rows, none of number {row}: it was changed meanwhile")


def forget_parquet() -> None:
    """Open Parquet files anew: one of this process's own was replaced."""
    _parquet.cache_clear()
    _column.cache_clear()


@lru_cache(maxsize=2)
def _column(address: str, group: int, column: str) -> Any:  # noqa: ANN401 - a chunked array
    return _parquet(address).read_row_group(group, columns=[column]).column(0)
