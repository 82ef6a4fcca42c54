"""What a result was made from and how, kept in the result itself: `--resume` knows by it what is done."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import InputError
from ...image_files import check_is_file, picture_text
from ...image_files.sidecars import read_sidecar
from ...option_fields import declared_options
from ...restoring.options import RestoreOptions

KEY = "headsup"
"""Key of the PNG's text."""
NO_SETTINGS = frozenset({
    "command", "run", "pictures", "output", "recursive", "resume", "json", "report", "quiet", "device", "models_dir",
    "sidecars", "extra_model_paths", "engine", "ray_address", "workers", "cpus_per_worker", "gpus_per_worker",
    "report_sample", "dry_run", "shards", "shard_size", *declared_options(RestoreOptions),
})  # fmt: skip
"""Arguments that say what is restored, where and how fast; every other one changes the result, new ones included.
Which of its own change it is said by `RestoreOptions.settings`."""
BLOCK, BLOCKS = 65_536, 1024


@dataclass(frozen=True)
class Settings:
    """All that a result depends on, but the picture.

    Attributes:
        values: option -> its value; of a file its `fingerprint`.
        sidecars: whether the text beside a picture counts, too.
    """

    values: dict[str, Any]
    sidecars: bool = False

    @classmethod
    def of(
        cls, args: argparse.Namespace, options: RestoreOptions, files: dict[str, Path], *, sidecars: bool = False
    ) -> Settings:
        """Those of a command.

        Args:
            files: arguments that name a model -> the file or folder that is meant.
            sidecars: whether the text beside a picture counts, too.
        """
        values = {name: _value(value) for name, value in vars(args).items() if name not in NO_SETTINGS}
        values |= {name: fingerprint(path) for name, path in files.items()}
        values |= options.settings()
        return cls(json.loads(json.dumps(values, sort_keys=True, default=str)), sidecars)

    def text_of(self, source: Path) -> str | None:
        """The text beside the picture, where it counts. Raises `InputError` when it cannot be read."""
        return read_sidecar(source) if self.sidecars else None

    def record(self, source: Path) -> dict[str, str]:
        """The texts to write into the result of the picture file `source`.

        Raises:
            InputError: the file cannot be read.
        """
        return self.record_of(**source_record(source), text=self.text_of(source))

    def record_of(self, picture: str, place: str, text: str | None = None) -> dict[str, str]:
        """The texts to write into a result, by the hashes of `source_record` and the text beside the picture."""
        told = {} if text is None else {"text": text}
        return {KEY: json.dumps({"picture": picture, "place": place, **told, "settings": self.values}, sort_keys=True)}

    def differing(self, others: dict[str, Any]) -> str:
        """In words, what is set otherwise in `others`."""
        names = sorted(name for name in self.values | others if self.values.get(name) != others.get(name))
        return ", ".join(f"{name} {_short(others.get(name))}, not {_short(self.values.get(name))}" for name in names)


def source_record(source: Path) -> dict[str, str]:
    """What tells the results of one picture file from those of others: its content, and its place, both as hashes.

    Raises:
        InputError: the file cannot be read.
    """
    return {"picture": content_hash(source), "place": _place(source)}


def is_own_result(target: Path, source: Path) -> bool:
    """Whether the file `target` may be replaced by the result of `source`: it is an earlier result of the same picture
    or of an older picture in the same place, or it is empty. Whatever else it is, somebody may miss it."""
    try:
        if target.is_symlink() or not os.path.isfile(target):
            return False
        if target.stat().st_size == 0:
            return True
        record: Any = json.loads(picture_text(target, KEY) or "")
        return _place(source) == record.get("place") or content_hash(source) == record["picture"]
    except (OSError, ValueError, TypeError, KeyError, AttributeError, InputError):
        return False


def is_a_result(path: Path) -> bool:
    """Whether a picture is a result of whatever picture."""
    try:
        return "picture" in json.loads(picture_text(path, KEY) or "{}")
    except (OSError, ValueError, TypeError, InputError):
        return False


def _place(path: Path) -> str:
    return hashlib.sha256(os.fsencode(os.path.realpath(path))).hexdigest()[:16]


def why_again(target: Path, source: Path, settings: Settings) -> str | None:
    """Why a picture has to be restored: "" when there is no result yet, None when there is one of these settings.

    Raises:
        InputError: the target was not made by this command, or the source cannot be read.
    """
    if not os.path.exists(target) or (os.path.isfile(target) and target.stat().st_size == 0):
        return ""
    record = record_in(picture_text(target, KEY))
    if record is None:
        raise InputError(
            f"{target} is there, but it is no whole result of this command: delete or move it, choose another "
            "--output, or leave out --resume, which replaces it"
        )
    if record["settings"] != settings.values:
        return f"with other settings ({settings.differing(record['settings'])})"
    if record.get("text") != settings.text_of(source):
        return "with another text beside the picture"
    return None if record["picture"] == content_hash(source) else "from another picture"


def record_in(text: str | None) -> dict[str, Any] | None:
    """A result's record, with `picture`, `settings` and, of newer ones, `place`; None when the text is none."""
    try:
        record: Any = json.loads(text or "")
        return {**record, "picture": str(record["picture"]), "settings": dict(record["settings"])}
    except (ValueError, TypeError, KeyError):
        return None


def content_hash(path: Path) -> str:
    """SHA-256 of a file. Raises `InputError` when it cannot be read."""
    digest = hashlib.sha256()
    try:
        check_is_file(path)
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    return digest.hexdigest()


def fingerprint(path: Path) -> str:
    """Name and SHA-256 of a model: of small files whole, of large ones of 64 MiB spread evenly over them.

    Gigabytes of weights would take longer to hash than a picture to restore; a training changes them everywhere. Of a
    folder: of all files in it.

    Raises:
        InputError: it cannot be read.
    """
    digest = hashlib.sha256()
    if os.path.isdir(path):
        for file in sorted(path.rglob("*")):
            if os.path.isfile(file):
                digest.update(f"{file.relative_to(path).as_posix()} {fingerprint(file)}\n".encode())
        return f"{path.name} {digest.hexdigest()[:16]}"
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            digest.update(str(size).encode())
            count = min(BLOCKS, -(-size // BLOCK))
            for index in range(count):
                file.seek(index * (size - BLOCK) // max(1, count - 1) if size > BLOCK * BLOCKS else index * BLOCK)
                digest.update(file.read(BLOCK))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error
    return f"{path.name} {digest.hexdigest()[:16]}"


def _value(value: Any) -> Any:  # noqa: ANN401 - an option's
    if isinstance(value, Path):
        return fingerprint(value) if os.path.exists(value) else str(value)
    return [_value(item) for item in value] if isinstance(value, list | tuple) else value


def _short(value: Any) -> str:  # noqa: ANN401 - an option's
    text = "unset" if value is None else str(value)
    return text if len(text) <= 40 else text[:37] + "..."
