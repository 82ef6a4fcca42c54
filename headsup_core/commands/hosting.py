"""The options that every command which computes has in common."""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..host import PlainHost
from ..image_files.file_kinds import suffixes_read


def add_host_arguments(parser: argparse.ArgumentParser) -> None:
    """--device, --models-dir, --extra-model-paths, --quiet."""
    parser.add_argument("--device", help="cpu, cuda, cuda:1, mps (default: a GPU when torch sees one)")
    add_folder_arguments(parser)


def add_folder_arguments(parser: argparse.ArgumentParser) -> None:
    """--models-dir, --extra-model-paths, --quiet."""
    parser.add_argument("--models-dir", type=Path, help="a ComfyUI `models` folder, with headsup/, checkpoints/ ...")
    parser.add_argument("--extra-model-paths", type=Path, help="a ComfyUI extra_model_paths.yaml with further folders")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def make_host(args: argparse.Namespace) -> PlainHost:
    """The host those options describe. Raises `InputError` when one cannot be used."""
    if args.models_dir is not None and not os.path.isdir(args.models_dir):
        raise InputError(f"--models-dir {args.models_dir} is not a folder")
    extra = read_extra_model_paths(args.extra_model_paths) if args.extra_model_paths else {}
    return PlainHost(args.device, args.models_dir, extra, quiet=args.quiet)


def read_extra_model_paths(path: Path) -> dict[str, list[Path]]:
    """Folders per kind of ComfyUI's `extra_model_paths.yaml`: sections with `base_path` and `kind: folder(s)`.

    Read as ComfyUI reads it: `~` and `$VARIABLES` of a base path are expanded (unknown ones stay), a relative one lies
    beside the file, and the folders of a section that `is_default` come first. Empty entries are left out.

    Raises:
        InputError: missing, or not such a file.
    """
    import yaml

    try:
        sections: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise InputError(f"extra model paths {path} is not UTF-8 (byte {error.start}): save it as UTF-8") from error
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:  # ValueError: a date that is none
        reason = " ".join(str(error).split())
        raise InputError(f"extra model paths {path} cannot be read: {reason}") from error
    if not isinstance(sections, Mapping):
        raise InputError(f"extra model paths {path} holds no sections: see ComfyUI's extra_model_paths.yaml.example")
    folders: dict[str, list[Path]] = {}
    for name, section in sections.items():
        if section is None:
            continue
        if not isinstance(section, Mapping):
            raise InputError(f"extra model paths {path}: section {name} holds no `kind: folder` lines")
        entries: dict[Any, Any] = dict(section)
        given = str(entries.pop("base_path", None) or ".")
        base = path.parent.absolute() / os.path.expandvars(os.path.expanduser(given))
        first = bool(entries.pop("is_default", False))
        for kind, lines in entries.items():
            if lines is None:
                continue
            if not isinstance(lines, str):
                raise InputError(f"extra model paths {path}: {name}: {kind} is {lines!r}, not one folder a line")
            found = [Path(os.path.normpath(base / line.strip())) for line in lines.splitlines() if line.strip()]
            others = folders.setdefault(str(kind), [])
            folders[str(kind)] = [*found, *others] if first else [*others, *found]
    return folders


def check_folder(folder: Path, option: str = "--output") -> None:
    """Make the folder of an option. Raises `InputError` when nothing can be written into it, before work is spent, and
    for the name of a picture or of an identity, which is meant to be a file."""
    named_as_file = folder.suffix.lower() in (*suffixes_read(), ".safetensors")
    if os.path.isfile(folder) or (named_as_file and not os.path.isdir(folder)):
        raise InputError(f"{option} {folder} names a file: give the folder that the results go into")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):  # of no name, or of one that no other run has
            pass
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"output folder {folder} cannot be written ({reason}): choose another {option}") from error


def check_model_file(path: Path, option: str = "--output") -> None:
    """Make the folder of a model file that is to be written. Raises `InputError` when it cannot be, and for another
    suffix, before work is spent."""
    if path.suffix != ".safetensors":
        raise InputError(f"{option} {path}: a model file ends in .safetensors")
    check_folder(path.parent, option)
