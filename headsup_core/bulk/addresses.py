"""Paths and URLs: which is which, what of a URL may be shown, and the file systems behind them (fsspec)."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import fsspec

from ..errors import InputError
from ..image_files import check_is_file
from ..libraries import need

_SCHEME = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]+)://")
_LOCAL = ("file://", "local://")
_LOGIN = re.compile(r"(?<=://)[^/@\s]+@")
_QUERY = re.compile(r"(?<=[^\s])\?[^\s'\"]+=[^\s'\"]*")
_PACKAGES = {"s3": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "abfs": "adlfs", "az": "adlfs", "hf": "huggingface_hub"}


def is_url(address: str) -> bool:
    """Whether `address` names something on another file system, as `s3://bucket/folder`."""
    return _SCHEME.match(address) is not None and not address.startswith(_LOCAL)


def local_path(address: str) -> Path:
    """The path of an address that is no URL; `file://` in front is left out."""
    for scheme in _LOCAL:
        address = address.removeprefix(scheme)
    return Path(address)


def path_or_url(text: str) -> str:
    """An argument as it was typed, for argparse; `file://` in front is left out."""
    return text if is_url(text) else str(local_path(text))


def shown(text: str) -> str:
    """`text` without what may be a secret in URLs: the login (`https://user:key@host`) and the query (signatures)."""
    return _QUERY.sub("", _LOGIN.sub("", text)) if "://" in text else text


def file_system(address: str) -> tuple[Any, str]:
    """The fsspec file system of a URL and the path in it. Logins come from the environment, as its library reads them.

    Raises:
        InputError: an unknown scheme, or its library is missing (with the line that installs it).
    """
    match = _SCHEME.match(address)
    scheme = "" if match is None else match[1]
    if scheme in _PACKAGES:
        need(_PACKAGES[scheme], purpose=f"{scheme}://")
    try:
        system, path = fsspec.core.url_to_fs(address)
    except (ValueError, ImportError) as error:
        raise InputError(f"{shown(address)} cannot be opened ({reason(error, address)}): use a path or s3://") from None
    return system, str(path)


def read_bytes(address: str, offset: int = 0, size: int | None = None) -> bytes:
    """The content of a file, or `size` bytes of it from `offset`. Raises `InputError` when it cannot be read."""
    try:
        if is_url(address):
            system, path = file_system(address)
            end = None if size is None else offset + size
            return bytes(system.cat_file(path, start=offset or None, end=end))
        check_is_file(local_path(address))
        with local_path(address).open("rb") as file:
            file.seek(offset)
            return file.read() if size is None else file.read(size)
    except InputError:
        raise
    except (OSError, ValueError) as error:
        raise InputError(f"{shown(address)} cannot be read: {reason(error, address)}") from None
    except Exception as error:  # each file system's library has errors of its own
        kind = type(error).__name__
        raise InputError(f"{shown(address)} cannot be read ({kind}: {reason(error, address)})") from None


def reason(error: BaseException, address: str = "") -> str:
    """What an error says, in one line, without secrets, also where it repeats parts of the `address`."""
    text = " ".join(str(getattr(error, "strerror", None) or str(error) or type(error).__name__).split())
    if is_url(address):
        rest = address.partition("://")[2]
        login, query = rest.partition("/")[0].rpartition("@")[0], rest.partition("?")[2]
        for secret in (login, query, *login.split(":"), *(pair.partition("=")[2] for pair in query.split("&"))):
            text = text.replace(secret, "...") if len(secret) > 2 else text
    return shown(text)


def join(folder: str, place: str) -> str:
    """`place` below `folder`, of paths and of URLs."""
    return f"{folder.rstrip('/')}/{place}" if is_url(folder) else os.path.join(folder, place)
