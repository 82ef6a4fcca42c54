"""Where results go: a folder on a disk or a URL; each appears at its place whole or not at all."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

from ..errors import InputError
from ..whole_files import is_temporary, remove_leftovers, whole_file
from .addresses import file_system, is_url, join, local_path, reason, shown


class Destination:
    """A folder, by path or URL. On object stores an object is there when its upload has ended, so it is whole, too.

    Args:
        address: path or URL; the folder is made when something is written.
    """

    def __init__(self, address: str) -> None:
        self.address = address if is_url(address) else str(local_path(address).absolute())
        self.folder: Path | None = None if is_url(address) else Path(self.address)
        self._system: Any = None
        self._root = ""

    def __str__(self) -> str:
        return shown(self.address)

    def name(self, place: str) -> str:
        """What a result is called in messages."""
        return shown(join(self.address, place))

    def read(self, place: str) -> bytes | None:
        """The content of what is at `place`, None when there is nothing. Raises `InputError` when it cannot be read."""
        try:
            if self.folder is not None:
                return (self.folder / place).read_bytes()
            system, path = self._remote(place)
            return bytes(system.cat_file(path))
        except FileNotFoundError:
            return None
        except Exception as error:  # each file system's library has errors of its own
            raise InputError(f"{self.name(place)} cannot be read: {reason(error, self.address)}") from None

    def write(self, place: str, data: bytes, *, brief: bool = False) -> None:
        """Replace what is at `place`. Raises `InputError` when that cannot be.

        Args:
            brief: a note that need not outlive a power cut, nor be whole.
        """
        try:
            if self.folder is not None:
                path = self.folder / place
                path.parent.mkdir(parents=True, exist_ok=True)
                if brief:
                    path.write_bytes(data)
                    return
                with whole_file(path) as temporary, temporary.open("xb") as file:
                    file.write(data)
                return
            system, path = self._remote(place)
            system.makedirs(path.rpartition("/")[0], exist_ok=True)
            system.pipe_file(path, data)
        except Exception as error:  # each file system's library has errors of its own
            raise self._not_written(place, error) from None

    @contextmanager
    def written(self, place: str) -> Generator[BinaryIO]:
        """A file to write into, which is at `place` when the block has ended well. Raises as `write`."""
        try:
            if self.folder is not None:
                path = self.folder / place
                path.parent.mkdir(parents=True, exist_ok=True)
                with whole_file(path) as temporary, temporary.open("xb") as file:
                    yield file
                return
            with tempfile.NamedTemporaryFile() as file:
                yield cast(BinaryIO, file)
                file.flush()
                system, path = self._remote(place)
                system.put_file(file.name, path)
        except InputError:
            raise
        except Exception as error:  # each file system's library has errors of its own
            raise self._not_written(place, error) from None

    def exists(self, place: str) -> bool:
        """Whether anything is at `place`. Raises `InputError` when that cannot be told."""
        try:
            if self.folder is not None:
                return (self.folder / place).exists()
            system, path = self._remote(place)
            return bool(system.exists(path))
        except Exception as error:  # each file system's library has errors of its own
            raise InputError(f"{self.name(place)} cannot be read: {reason(error, self.address)}") from None

    def files_in(self, place: str) -> list[str]:
        """The files in a folder and below it, as places in that folder; what is half-written is left out."""
        if self.folder is not None:
            folder = self.folder / place
            found = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
        else:
            system, folder = self._remote(place)
            system.invalidate_cache()  # other machines wrote
            found = (str(path).removeprefix(f"{folder}/") for path in system.find(folder))
        return [name for name in found if not is_temporary(name.rpartition("/")[2])]

    def remove_folder(self, place: str) -> None:
        """Remove a folder with all that is in it, if it is there."""
        if self.folder is not None:
            shutil.rmtree(self.folder / place, ignore_errors=True)
            return
        system, path = self._remote(place)
        if system.exists(path):
            system.rm(path, recursive=True)

    def remove(self, place: str) -> None:
        """Remove what is at `place`, if anything is."""
        try:
            if self.folder is not None:
                (self.folder / place).unlink(missing_ok=True)
            else:
                system, path = self._remote(place)
                system.rm_file(path)
        except FileNotFoundError:
            pass

    def clean(self) -> list[Path]:
        """Remove what killed processes of this machine left half-written; returns it. Before any worker runs."""
        if self.folder is None or not self.folder.is_dir():
            return []
        folders = [self.folder, *(path for path in self.folder.rglob("*") if path.is_dir())]
        return [path for folder in folders for path in remove_leftovers(folder)]

    def check(self) -> None:
        """Raises `InputError` when nothing can be written, before work is spent."""
        place = ".headsup-bulk/written"
        self.write(place, b"")
        self.remove(place)

    def _not_written(self, place: str, error: Exception) -> InputError:
        return InputError(
            f"{self.name(place)} cannot be written ({reason(error, self.address)}): choose an --output that has room "
            "and may be written to"
        )

    def _remote(self, place: str) -> tuple[Any, str]:
        if self._system is None:
            self._system, self._root = file_system(self.address)
        return self._system, f"{self._root.rstrip('/')}/{place}"
