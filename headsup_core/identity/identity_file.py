"""Identity files: one small `.safetensors`, nothing in it can run code.

Header metadata (strings): `format` = "headsup-identity", `format_version`, `name`, `photos` (JSON). Tensors:
`embedding.<embedder id>` and `fitted.<model id>` vectors in float32; `crop.<n>` the bytes of a JPEG of 512x512.
"""

from __future__ import annotations

import io
import json
import os
import unicodedata
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from ..errors import InputError, ModelFileError
from ..host import resolve_inside
from ..models.file_formats.weights_files import WeightsFile, check_finite, read_weights, write_safetensors
from .encoding import MAX_CROPS
from .identity import CROP_SIDE, Identity, PhotoReport
from .names import checked_name, refuse_doubles, written

FORMAT = "headsup-identity"
FORMAT_VERSION = 1
SUFFIX = ".safetensors"
MAX_BYTES = 64_000_000
JPEG_QUALITY = 95
MAX_NAME_BYTES = 80
"""Longest file name without suffix; file systems take 255 bytes, in which a letter may have four."""
_RESERVED = {"con", "prn", "aux", "nul", *(f"{kind}{n}" for kind in ("com", "lpt") for n in range(1, 10))}


def file_name(name: str, ending: str = "") -> str:
    """A plain file name, without suffix, that is valid on every system and cannot leave its folder.

    Letters, digits and what is written above, below and between them (marks, joiners) of every script stay; all else
    but space, - and _ becomes _.

    Args:
        ending: kept whole at the end when the name is cut to `MAX_NAME_BYTES`.

    Raises:
        InputError: nothing usable remains of the name.
    """
    kept = "".join(letter if _stays(letter) else "_" for letter in written(name))
    room = MAX_NAME_BYTES - len(ending.encode())
    plain = kept.strip(" .").encode()[:room].decode(errors="ignore").rstrip()
    if not any(letter.isalnum() for letter in plain):
        raise InputError(f"name {name!r} has no letter or digit: a file cannot be called that")
    return f"_{plain}{ending}" if plain.lower() in _RESERVED else plain + ending


def _stays(letter: str) -> bool:
    """Whether a file name takes the letter: vowel signs, accents and joiners (U+200C, U+200D) are part of a name."""
    return letter.isalnum() or letter in " -_\u200c\u200d" or unicodedata.category(letter) in ("Mn", "Mc")


def save_identities(folder: Path, identities: Sequence[Identity], prefix: str = "") -> list[Path]:
    """Write each person into a file of their own, called `prefix` and the name.

    A file that holds the same name is replaced; where one of somebody else stands, or two names look alike as files
    ("A/B" and "A:B"), the file gets a number.

    Raises:
        InputError: two people of one name, an unusable name, or the folder cannot be written; nothing is written then
            but what came before.
    """
    refuse_doubles([identity.name for identity in identities])
    files: list[str] = []
    for identity in identities:
        wanted, number = prefix + identity.name, 1
        free = file_name(wanted)
        while _folded(free) in map(_folded, files) or _is_of_another(folder / f"{free}{SUFFIX}", identity.name):
            number += 1
            free = file_name(wanted, f" {number}")
        files.append(free)
    return [save_identity(folder, identity, file) for identity, file in zip(identities, files, strict=True)]


def _folded(name: str) -> str:
    """Alike for names that some disks do not tell apart."""
    return unicodedata.normalize("NFD", name).casefold()


def _is_of_another(path: Path, name: str) -> bool:
    """Whether a file is there that is no identity of that name."""
    if not os.path.exists(path):
        return False
    try:
        metadata = read_weights(path, lambda _: False).metadata
    except ModelFileError:
        return True
    return metadata.get("format") != FORMAT or written(metadata.get("name", "")) != name


def save_identity(folder: Path, identity: Identity, name: str | None = None) -> Path:
    """Write `folder/NAME.safetensors`, whole or not at all; a file of that name is replaced.

    Args:
        name: of the file; None: the person's. It is sanitised and stays inside `folder`.

    Raises:
        InputError: unusable name, or the folder cannot be written.
    """
    path = resolve_inside(folder, file_name(name or identity.name) + SUFFIX)
    tensors = {f"embedding.{key}": value.float().cpu() for key, value in identity.embeddings.items()}
    tensors |= {f"fitted.{key}": value.float().cpu() for key, value in identity.fitted.items()}
    tensors |= {f"crop.{index:03d}": _to_jpeg(crop) for index, crop in enumerate(identity.crops)}
    metadata = {
        "format": FORMAT,
        "format_version": str(FORMAT_VERSION),
        "name": identity.name,
        "photos": json.dumps([asdict(photo) for photo in identity.photos]),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_safetensors(path, tensors, metadata)
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"identity {identity.name!r} cannot be written into {folder} ({reason})") from error
    return path


def load_identity(path: Path) -> Identity:
    """Read an identity file.

    Raises:
        ModelFileError: missing, damaged, of another kind or a newer version; the message says which.
    """
    if os.path.isfile(path) and path.stat().st_size > MAX_BYTES:
        raise ModelFileError(f"{path} has {path.stat().st_size} bytes, an identity has at most {MAX_BYTES}")
    if path.suffix != SUFFIX:
        raise ModelFileError(f"{path} is not an identity file: expected {SUFFIX}")
    file = read_weights(path)
    found = file.metadata.get("format")
    if found != FORMAT:
        kind = f"a {found} file" if found else "no HeadsUp file"
        raise ModelFileError(f"{path} is {kind}, not an identity: save one with HeadsUp Save Identity")
    version = file.metadata.get("format_version", "")
    if version != str(FORMAT_VERSION):
        raise ModelFileError(
            f"{path} has identity version {version!r}, this pack reads {FORMAT_VERSION}: update the pack"
        )
    embeddings = _vectors(file, "embedding.")
    pictures = sorted(name for name in file.content if name.startswith("crop."))
    if not embeddings and not pictures:
        raise ModelFileError(f"{path} holds neither embeddings nor photos")
    if len(pictures) > MAX_CROPS:  # before any is decoded
        raise ModelFileError(f"{path} holds {len(pictures)} photos, an identity has at most {MAX_CROPS}")
    crops = [_from_jpeg(name, file.content[name], path) for name in pictures]
    return Identity(
        name=_name(file),
        embeddings=embeddings,
        crops=torch.cat(crops) if crops else torch.zeros(0, 3, CROP_SIDE, CROP_SIDE),
        fitted=_vectors(file, "fitted.", unit=False),
        photos=_reports(file),
    )


def _name(file: WeightsFile) -> str:
    try:
        return checked_name(file.metadata.get("name", ""))
    except InputError as error:
        raise ModelFileError(f"{file.path} has no usable name: {error}") from error


def _vectors(file: WeightsFile, prefix: str, *, unit: bool = True) -> dict[str, torch.Tensor]:
    vectors: dict[str, torch.Tensor] = {}
    for name, value in file.content.items():
        if not name.startswith(prefix):
            continue
        if value.dtype not in (torch.float16, torch.bfloat16, torch.float32):
            raise ModelFileError(f"{file.path}: {name} holds {value.dtype}, not float32: the file is damaged")
        check_finite(name, value, file.path)
        if value.ndim != 1 or (unit and abs(float(value.norm()) - 1) > 1e-3):
            kind = "unit vector" if unit else "vector"
            raise ModelFileError(f"{file.path}: {name} is {tuple(value.shape)}, not a {kind}: the file is damaged")
        vectors[name.removeprefix(prefix)] = value.float()
    return vectors


def _reports(file: WeightsFile) -> tuple[PhotoReport, ...]:
    try:
        records: list[dict[str, Any]] = json.loads(file.metadata.get("photos", "[]"))
        return tuple(
            PhotoReport(
                str(record["photo"]),
                float(record["quality"]),
                bool(record["used"]),
                str(record["reason"]),
                int(record.get("faces", 1)),
            )
            for record in records
        )
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ModelFileError(f"{file.path}: the list of photos in its header is damaged ({error})") from error


def _to_jpeg(crop: torch.Tensor) -> torch.Tensor:
    values = (crop.permute(1, 2, 0) * 255).round().clamp(0, 255).to(torch.uint8).cpu().contiguous().numpy()
    stream = io.BytesIO()
    Image.fromarray(values).save(stream, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    return torch.from_numpy(np.frombuffer(stream.getvalue(), dtype=np.uint8).copy())


def _from_jpeg(name: str, value: torch.Tensor, path: Path) -> torch.Tensor:
    """`[1,3,512,512]` in 0..1; only JPEG of that size is decoded."""
    if value.dtype != torch.uint8 or value.ndim != 1:
        raise ModelFileError(f"{path}: {name} holds {value.dtype} {tuple(value.shape)}, not the bytes of a picture")
    try:
        with Image.open(io.BytesIO(value.numpy().tobytes()), formats=["JPEG"]) as image:
            if image.size != (CROP_SIDE, CROP_SIDE):
                raise ModelFileError(f"{path}: {name} is a picture of {image.size}, expected {CROP_SIDE} px a side")
            array = np.asarray(image.convert("RGB"), dtype=np.float32) / 255
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ModelFileError(f"{path}: {name} is no JPEG picture ({error}): the file is damaged") from error
    return torch.from_numpy(array).permute(2, 0, 1)[None]
