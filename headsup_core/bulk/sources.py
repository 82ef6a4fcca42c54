"""What was given, as single pictures: folders, globs, lists of paths, tar and Parquet shards, on disks and by URL."""

from __future__ import annotations

import glob
import io
import logging
import os
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, cast

from ..errors import InputError
from ..image_files import PICTURE_SUFFIXES, pictures_in
from ..whole_files import fitting_name
from .addresses import file_system, is_url, local_path, read_bytes, reason, shown
from .items import Item, open_parquet

log = logging.getLogger(__name__)

TARS, PARQUET, LISTS = (".tar",), (".parquet",), (".txt", ".lst")
PATH_COLUMNS = ("path", "file", "url", "file_name", "filename", "image_path")
"""Columns of a Parquet file that may name pictures, the first that is there and holds text."""
PICTURE_COLUMNS = ("image", "jpg", "png", "webp", "bytes", "picture", "content")
"""Columns that may hold pictures."""
NAME_COLUMNS = ("__key__", "key", "id", "name", *PATH_COLUMNS)
"""Columns that may name the rows of pictures."""


def list_items(sources: Sequence[str], *, recursive: bool = True, without: str = "") -> list[Item]:
    """Every picture of the sources, once, each with its place below its source.

    Args:
        sources: picture files, folders, globs, text files with a path or URL in each line, `.tar` shards (webdataset)
            and `.parquet` files (with pictures, or with their paths); each a path or a URL that fsspec knows.
        recursive: pictures of the folders in a folder, too.
        without: path or URL of a folder that is not searched.

    Raises:
        InputError: nothing there, or a list or shard that cannot be read.
    """
    found: dict[tuple[str, str], Item] = {}
    for source in sources:
        for item in _listed(source, recursive, without):
            found.setdefault((item.address, item.member), item)
    if not found:
        raise InputError(f"no pictures in {', '.join(map(shown, sources))}")
    return list(found.values())


def give_places(items: Iterable[Item], ending: str) -> list[Item]:
    """The items with the places of their results: the source's with another suffix, and no two alike.

    Of items with one place (also when only the case differs) the first gets it, the next keeps its suffix (a.jpg.png),
    further ones are numbered. The same items in the same order get the same places.
    """
    taken: set[str] = set()
    placed: list[Item] = []
    for item in items:
        place = PurePosixPath(item.place)
        stem, number = fitting_name(place.stem), 2
        plain = place.with_name(stem + ending)
        if str(plain).casefold() in taken:
            plain = place.with_name(fitting_name(place.name) + ending)
        while str(plain).casefold() in taken:
            plain = place.with_name(f"{stem}_{number}{ending}")
            number += 1
        taken.add(str(plain).casefold())
        placed.append(replace(item, place=str(plain), shard=""))
    return placed


def _listed(source: str, recursive: bool, without: str) -> Iterator[Item]:
    if is_url(source):
        yield from _listed_url(source, recursive, without)
        return
    path = local_path(source)
    if os.path.isdir(path):
        left_out = None if not without or is_url(without) else Path(os.path.realpath(local_path(without)))
        shards = _shards_in(path, recursive, left_out)
        try:
            pictures = pictures_in(path, recursive=recursive, without=left_out, expected=(*TARS, *PARQUET))
        except InputError:
            if not shards:
                raise
            pictures = []
        yield from (Item(str(file), place=file.relative_to(path).as_posix()) for file in pictures)
        for shard in shards:
            yield from _single(str(shard), shard.relative_to(path).as_posix())
    elif not os.path.exists(path) and glob.has_magic(source):
        matches = _matches(path)
        if not matches:
            raise InputError(f"{source} matches nothing")
        for match in matches:
            yield from _listed(match, recursive, without)
    else:
        yield from _single(str(path), path.name)


def _matches(pattern: Path) -> list[str]:
    """What there is of a pattern. Without what is hidden; `**` leads into no linked folder, which may lead back."""
    first = next(index for index, part in enumerate(pattern.parts) if glob.has_magic(part))
    start, wanted = Path(*pattern.parts[:first]), pattern.parts[first:]
    hidden = any(part.startswith(".") for part in wanted)
    found = start.glob("/".join(wanted))
    return sorted(str(path) for path in found if hidden or not _hidden(path.relative_to(start).as_posix()))


def _shards_in(folder: Path, recursive: bool, without: Path | None) -> list[Path]:
    found = folder.rglob("*") if recursive else folder.glob("*")
    return sorted(
        path
        for path in found
        if path.suffix.lower() in (*TARS, *PARQUET)
        and not _hidden(path.relative_to(folder).as_posix())
        and not (without is not None and Path(os.path.realpath(path)).is_relative_to(without))
        and os.path.isfile(path)
    )


def _hidden(place: str) -> bool:
    """Whether a file or a folder on the way to it has a name that begins with a dot."""
    return any(part.startswith(".") for part in PurePosixPath(place).parts)


def _listed_url(source: str, recursive: bool, without: str) -> Iterator[Item]:
    system, path = file_system(source)
    results = file_system(without)[1].rstrip("/") + "/" if is_url(without) else ""
    try:
        if glob.has_magic(path):
            names, start = sorted(system.glob(path)), path[: min(path.find(sign) for sign in "*?[" if sign in path)]
            start = start.rpartition("/")[0]
        elif system.isdir(path):
            names, start = sorted(system.find(path, maxdepth=None if recursive else 1)), path
        else:
            yield from _single(source, PurePosixPath(path).name)
            return
    except Exception as error:  # each file system's library has errors of its own
        raise InputError(f"{shown(source)} cannot be listed ({reason(error, source)})") from None
    wanted = (*PICTURE_SUFFIXES, *TARS, *PARQUET)
    for name in names:
        place = name.removeprefix(start).lstrip("/")
        if (results and name.startswith(results)) or _hidden(place):
            continue
        if PurePosixPath(name).suffix.lower() in wanted:
            yield from _single(system.unstrip_protocol(name), place)


def _single(address: str, place: str) -> Iterator[Item]:
    suffix = PurePosixPath(place).suffix.lower()
    if suffix in TARS:
        yield from _tar_members(address, place)
    elif suffix in PARQUET:
        yield from _parquet_rows(address, place)
    elif suffix in LISTS:
        yield from _lines(address)
    else:
        if not is_url(address) and not os.path.exists(local_path(address)):
            raise InputError(f"{address} is not there")
        yield Item(address, place=place)


def _lines(address: str) -> Iterator[Item]:
    """Relative paths count from the list's folder; empty lines and those that begin with # are left out."""
    try:
        lines = [line.strip() for line in read_bytes(address).decode("utf-8").splitlines()]
    except UnicodeDecodeError as error:
        raise InputError(f"list {shown(address)} is not UTF-8 (byte {error.start}): save it as UTF-8") from error
    yield from _named((line for line in lines if line and not line.startswith("#")), address)


def _named(paths: Iterable[str], beside: str) -> Iterator[Item]:
    """Pictures that a list beside them names, each at its own place; absolute ones at their path without the root."""
    folder = None if is_url(beside) else local_path(beside).absolute().parent
    for text in paths:
        if is_url(text):
            yield Item(text, place=_place_of(file_system(shown(text))[1]))
            continue
        path = local_path(text)
        if not path.is_absolute() and folder is None:
            yield Item(f"{beside.rpartition('/')[0]}/{text}", place=_place_of(text))
        else:
            yield Item(str(path if folder is None else folder / path), place=_place_of(text))


def _place_of(path: str) -> str:
    """A relative place without `..`, so that nothing leaves the output."""
    parts = [part for part in PurePosixPath(path.replace("\\", "/")).parts if part not in ("/", "..", ".")]
    return "/".join(part.replace(":", "_") for part in parts) or "picture"


def _tar_members(address: str, place: str) -> Iterator[Item]:
    below = PurePosixPath(place).with_suffix("")
    try:
        with _opened(address) as file, tarfile.open(fileobj=file, mode="r:") as archive:
            for member in archive:
                if member.isfile() and PurePosixPath(member.name).suffix.lower() in PICTURE_SUFFIXES:
                    inside = str(below / _place_of(member.name))
                    yield Item(
                        address, "tar", member.name, member.offset_data, member.size, place=inside, shard=place
                    )
    except (tarfile.TarError, OSError, EOFError) as error:
        raise InputError(
            f"shard {shown(address)} cannot be read ({reason(error, address)}): it must be an uncompressed .tar"
        ) from None


def _opened(address: str) -> BinaryIO:
    if is_url(address):
        system, path = file_system(address)
        return cast(BinaryIO, system.open(path, "rb"))
    return cast(BinaryIO, io.open(local_path(address), "rb"))  # noqa: UP020 - typed as the other


def _parquet_rows(address: str, place: str) -> Iterator[Item]:
    file = open_parquet(address)
    schema: Any = file.schema_arrow
    kinds = {field.name: str(field.type) for field in schema}
    binary = ("binary", "large_binary", "struct")
    held = next((name for name in PICTURE_COLUMNS if kinds.get(name, "").startswith(binary)), "")
    named = next((name for name in PATH_COLUMNS if kinds.get(name, "").endswith("string")), "")
    if not held and not named:
        raise InputError(
            f"{shown(address)} has columns {', '.join(kinds)}: pictures are looked for in "
            f"{', '.join(PICTURE_COLUMNS)}, paths in {', '.join(PATH_COLUMNS)}"
        )
    if not held:
        for batch in file.iter_batches(columns=[named]):
            yield from _named((str(value) for value in batch.column(0).to_pylist() if value), address)
        return
    label = next((name for name in NAME_COLUMNS if name in kinds), "")
    below, row = PurePosixPath(place).with_suffix(""), 0
    for batch in file.iter_batches(columns=[label or held] if label else [held]):
        labels = batch.column(0).to_pylist() if label else [None] * batch.num_rows
        for value in labels:
            name = f"{row:09d}.img" if value is None else _place_of(str(value))
            inside = str(below / name)
            yield Item(address, "parquet", f"row {row}", row=row, column=held, place=inside, shard=place)
            row += 1
