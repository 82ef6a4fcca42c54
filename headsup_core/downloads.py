"""Fetches a published file when the user asks.

Nothing else in the package downloads anything. What arrives is kept only when its sha256 is the published one. The
transfer is pooch's (https://www.fatiando.org/pooch), which is imported only then.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
import zipfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from tqdm import tqdm

from .errors import DownloadError
from .libraries import need
from .published_files import Download
from .whole_files import remove_leftovers, whole_file

log = logging.getLogger(__name__)
CHUNK = 1 << 16
PURPOSE = "downloading"


def download(record: Download, folders: Sequence[Path], *, quiet: bool = False) -> Path:
    """The file, or the folder of a pack: found in one of `folders`, else fetched into the first.

    It appears whole or not at all: an interrupted transfer, or another content than the published one, leaves nothing.
    Nothing that stands under its name is overwritten.

    Args:
        record: what to fetch.
        folders: the folders of its kind, as `PlainHost.model_folders` gives them; at least one.
        quiet: no progress bar.

    Raises:
        DownloadError: no connection, cut off, another content than published, no room on the disk, a folder that
            cannot be written, or something else under the target's name.
        InputError: pooch is not installed.
    """
    target = record.target(folders[0])
    try:
        for folder in folders:
            if _is_there(record, folder):
                log.info("%s is already there: %s", record.name, record.target(folder))
                return record.target(folder)
        if target.is_file() or (target.is_dir() and any(target.iterdir())):
            raise DownloadError(f"{target} is there, but is not the published {record.name}: move it away first")
        target.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(target.parent)
        _check_space(record, target.parent, record.size)
        if record.networks:
            _fetch_pack(record, target, quiet)
        else:
            with whole_file(target, replace=False) as arriving:
                _fetch(record, arriving, target, quiet)
    except OSError as error:
        raise DownloadError(f"{record.name} cannot be put into {target.parent} ({error})") from error
    log.info("%s is ready: %s", record.name, target)
    return target


def sha256_of(path: Path) -> str:
    """The sha256 of a file in hexadecimal. Raises `OSError` when it cannot be read."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def _is_there(record: Download, folder: Path) -> bool:
    """Whether the published content lies in `folder`; a pack's networks count at any depth below its folder."""
    target = record.target(folder)
    if not record.networks:
        return target.is_file() and sha256_of(target) == record.sha256
    return all(any(sha256_of(file) == sha256 for file in target.rglob(name)) for name, sha256 in record.networks)


def _fetch(record: Download, path: Path, target: Path, quiet: bool) -> None:
    """Write the published file to `path`; what was written is the caller's to remove.

    Raises:
        DownloadError: not https, no connection, cut off, or another content than published.
        InputError: pooch is not installed.
        OSError: cannot be written.
    """
    address = urlsplit(record.url)
    if address.scheme != "https" and (address.scheme, address.hostname) != ("http", "127.0.0.1"):
        raise DownloadError(f"{record.url} is not an https address")
    pooch, requests = need("pooch", purpose=PURPOSE), need("requests", purpose=PURPOSE)
    # A redirect may lead to another host, as GitHub's and Hugging Face's do: what counts is the sha256.
    headers = {"User-Agent": "headsup_core", "Accept-Encoding": "identity"}
    with tqdm(
        desc=record.file, total=record.size, unit="B", unit_scale=True, disable=True if quiet else None, leave=False
    ) as bar:
        try:
            pooch.HTTPDownloader(progressbar=bar, chunk_size=CHUNK, headers=headers)(record.url, str(path), None)
        except requests.RequestException as error:
            what = f"unpack it into {target}" if record.networks else f"put it there as {target}"
            raise DownloadError(
                f"{record.name} could not be fetched whole from {record.url} ({_reason(error)}); nothing was kept. "
                f"Check the connection and try again, or fetch it with a browser and {what}"
            ) from error
    found = sha256_of(path)
    if found != record.sha256:
        raise DownloadError(
            f"what came from {record.url} is not the published {record.name} and was removed: sha256 {found}, "
            f"expected {record.sha256}"
        )


def _reason(error: BaseException) -> str:
    """The innermost cause: what requests and urllib3 wrap around it repeats the address."""
    while cause := error.__cause__ or error.__context__:
        error = cause
    return str(error) or type(error).__name__


def _check_space(record: Download, folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        numbers = f"{needed / 1e6:.1f} MB, {free / 1e6:.1f} MB are free"
        raise DownloadError(f"{record.name} needs {numbers} in {folder}: make room there")


def _fetch_pack(record: Download, target: Path, quiet: bool) -> None:
    """Fetch an archive, and unpack its .onnx files, flat, into the new folder `target`.

    Raises:
        DownloadError: as `_fetch`; no zip archive, an entry that leaves the folder, or networks missing or others than
            published.
        OSError: cannot be written.
    """
    staging = target.with_name(f".{target.name}.arriving")
    shutil.rmtree(staging, ignore_errors=True)  # of a killed process
    try:
        unpacked = staging / target.name
        unpacked.mkdir(parents=True)
        archive = staging / record.file
        _fetch(record, archive, target, quiet)
        _unpack(record, archive, unpacked)
        if target.is_dir():
            target.rmdir()  # empty, as `download` has checked; a rename onto it fails on Windows
        unpacked.rename(target)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _unpack(record: Download, path: Path, folder: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            entries = _networks(archive, record.file)
            _check_space(record, folder, sum(entry.file_size for entry in entries.values()))
            for name, entry in entries.items():
                with archive.open(entry) as source, (folder / name).open("wb") as sink:
                    shutil.copyfileobj(source, sink, 1 << 20)
    except (zipfile.BadZipFile, RuntimeError) as error:  # RuntimeError: encrypted, or an unknown compression
        raise DownloadError(f"{record.file} cannot be unpacked ({error})") from error
    for name, sha256 in record.networks:
        if name not in entries or sha256_of(folder / name) != sha256:
            raise DownloadError(f"{record.file} does not hold the published {name}")


def _networks(archive: zipfile.ZipFile, file: str) -> dict[str, zipfile.ZipInfo]:
    """The .onnx entries by plain file name. Raises `DownloadError` for an entry that leaves the folder, or a double."""
    entries: dict[str, zipfile.ZipInfo] = {}
    for entry in archive.infolist():
        path = PurePosixPath(entry.filename.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or ":" in entry.filename:
            raise DownloadError(f"{file} is not unpacked: its entry {entry.filename!r} leaves the folder")
        if entry.is_dir() or path.suffix != ".onnx" or path.name.startswith("."):
            continue
        if path.name in entries:
            raise DownloadError(f"{file} holds {path.name} twice")
        entries[path.name] = entry
    return entries
