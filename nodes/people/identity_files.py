"""Identity files in ComfyUI's output folder and in `models/headsup`."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from ...headsup_core import ModelFileError
from ...headsup_core.identity.identity_file import SUFFIX, save_identities
from ..bridge.comfy import folder_paths
from ..models.model_files import FOLDER, IDENTITIES, refuse_outside

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...headsup_core.identity import Identity

OUTPUT, MODELS = f"output/{FOLDER}/{IDENTITIES}", f"models/{FOLDER}/{IDENTITIES}"
MARKS = {OUTPUT: " (output)", MODELS: " (models)"}
NONE = "none"


def folders_of(place: str) -> list[Path]:
    """The folders of `OUTPUT` or `MODELS`; files are written into the first."""
    if place == OUTPUT:
        return [Path(folder_paths.get_output_directory(), FOLDER, IDENTITIES)]
    return [Path(folder, IDENTITIES) for folder in folder_paths.get_folder_paths(FOLDER)]


def identity_choices() -> list[str]:
    """ "none", then the identity files of both places, marked with theirs."""
    choices = [NONE]
    for place, mark in MARKS.items():
        files = {path.name for folder in folders_of(place) if folder.is_dir() for path in folder.glob(f"*{SUFFIX}")}
        choices += [name + mark for name in sorted(files) if not name.startswith(".")]
    return choices


def find_identity(choice: str) -> Path:
    """The file of one of `identity_choices()`.

    Raises:
        ModelFileError: it is not there any more.
        InputError: the name leaves its folder.
    """
    for place, mark in MARKS.items():
        if not choice.endswith(mark):
            continue
        name = choice.removesuffix(mark)
        refuse_outside(name, place)
        for folder in folders_of(place):
            if "\0" not in name and (folder / name).is_file():
                return folder / name
        looked = ", ".join(map(str, folders_of(place)))
        raise ModelFileError(f"identity {name!r} not found; looked in {looked}")
    raise ModelFileError(f"identity {choice!r} is none of the list: press R to refresh it, then choose again")


def sha256_of(path: Path) -> str:
    """A checksum of the file's content: another identity of the same name is read again, an unchanged one is not."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def save_all(place: str, identities: Sequence[Identity], prefix: str) -> list[Path]:
    """One file a person, called `prefix` and the name; raises `InputError` as the core's `save_identities`."""
    return save_identities(folders_of(place)[0], identities, prefix)
