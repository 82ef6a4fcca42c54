"""Writing a picture file, whole or not at all."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, features

from ..errors import InputError
from ..whole_files import whole_file
from . import tiff_tags
from .color_profiles import WideGamut
from .file_kinds import formats_read
from .photo_metadata import (
    MOST_JPEG,
    NO_METADATA,
    RECORD_TAG,
    PhotoMetadata,
    photoshop_block,
    text_of_iptc,
    xmp_segment,
)
from .picture import check_image
from .png_chunks import (
    END,
    SIGNATURE,
    Chunk,
    packed_text_chunk,
    png_of_16_bits,
    profile_chunk,
    take_apart,
    text_chunk,
    with_chunks,
)

# Suffix -> Pillow's format name.
_FORMATS = {
    ".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP", ".avif": "AVIF", ".tif": "TIFF", ".tiff": "TIFF",
}  # fmt: skip
FORMAT_SUFFIXES = {"png": ".png", "jpeg": ".jpg", "webp": ".webp", "avif": ".avif", "tiff": ".tif"}
"""What can be written -> the suffix of its files."""
DEEP = ("PNG", "TIFF")
"""What holds 16 bits per channel."""
# Longest side that the format can hold (libjpeg, libwebp, AV1).
_FORMAT_SIDES = {"JPEG": 65500, "WEBP": 16383, "AVIF": 65535}
Values = npt.NDArray[np.uint8 | np.uint16]


@dataclass(frozen=True, eq=False)
class _Content:
    """What a file is to hold: values `[H,W,3 or 4]`, and what is said about them."""

    values: Values
    quality: int
    exif: Image.Exif
    metadata: PhotoMetadata
    icc: bytes
    text: Mapping[str, str]


@dataclass(frozen=True, eq=False)
class Manner:
    """How a picture is written.

    Attributes:
        quality: 1..100, of JPEG (full-resolution colour), WebP and AVIF.
        bits: per channel, 8, or 16 in PNG and TIFF.
        text: for `picture_text`.
        metadata: of the photo that the picture was made from.
        gamut: of that photo: the file gets its colour space.
    """

    quality: int = 95
    bits: int = 8
    text: Mapping[str, str] = field(default_factory=dict[str, str])
    metadata: PhotoMetadata = NO_METADATA
    gamut: WideGamut | None = None


def write_picture(
    path: str | os.PathLike[str],
    rgb: torch.Tensor,
    alpha: torch.Tensor | None = None,
    manner: Manner | None = None,
    *,
    replace: bool = True,
) -> None:
    """Write one picture, whole or not at all (a temporary file beside it is renamed).

    Args:
        path: its suffix chooses the format: .png, .jpg, .jpeg, .webp, .avif, .tif or .tiff.
        rgb: `[1,3,H,W]`, clamped to 0..1 and rounded.
        alpha: `[1,1,H,W]` or None. JPEG has no transparency: there the picture is laid over white.
        manner: how it is written; None: in 8 bits, with nothing said about it.
        replace: a file of that name.

    Raises:
        InputError: unknown suffix, picture or quality out of range, a side or a depth that the format cannot hold, or a
            folder that cannot be written to.
        FileExistsError: there is a file of that name, and it is not to be replaced.
    """
    path, manner = Path(path), manner or Manner()
    data = encode_picture(path.suffix, rgb, alpha, manner, name=str(path))
    try:
        with whole_file(path, replace=replace) as temporary, temporary.open("xb") as file:
            file.write(data)
    except FileExistsError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = getattr(error, "strerror", None) or error
        raise InputError(
            f"cannot write {path.name} into folder {path.parent.absolute()} ({reason}): "
            "choose a folder that exists, may be written to and has room"
        ) from error


def check_format(suffix: str, manner: Manner, name: str = "result") -> str:
    """Pillow's name of the format. Raises `InputError` when there is none, or it cannot hold what is asked."""
    kind = _FORMATS.get(suffix.lower())
    if kind is None:
        raise InputError(f"{name}: cannot write {suffix or 'a file without suffix'}, use {', '.join(_FORMATS)}")
    if kind == "AVIF" and not features.check("avif"):
        raise InputError(f"{name}: this Pillow writes no AVIF: a Pillow of 11.3 or later does, or use .webp")
    if not 1 <= manner.quality <= 100:
        raise InputError(f"quality {manner.quality}: must be from 1 to 100")
    if manner.bits not in (8, 16):
        raise InputError(f"{manner.bits} bits per channel: must be 8 or 16")
    if manner.bits == 16 and kind not in DEEP:
        raise InputError(f"{name}: {kind} holds 8 bits per channel: use .png or .tif for 16")
    return kind


def encode_picture(suffix: str, rgb: torch.Tensor, alpha: torch.Tensor | None, manner: Manner, *, name: str) -> bytes:
    """The content of a picture file of that suffix; `name` is for messages. Raises `InputError` as `write_picture`."""
    kind = check_format(suffix, manner, name)
    values = _values(rgb, alpha, manner, flatten=kind == "JPEG")
    height, width = values.shape[:2]
    limit = _FORMAT_SIDES.get(kind)
    if limit and max(height, width) > limit:
        raise InputError(f"{name}: {width}x{height} px, but {kind} holds {limit} px a side: use .png")
    record = "" if kind == "PNG" or not manner.text else json.dumps(dict(manner.text))
    exif = manner.metadata.exif_for(width, height, srgb=manner.gamut is None, record=record)
    icc = b"" if manner.gamut is None else manner.gamut.icc
    content = _Content(values, manner.quality, exif, manner.metadata, icc, manner.text)
    try:
        return _ENCODERS[kind](content)
    except (OSError, ValueError) as error:
        raise InputError(f"cannot write {name} as {kind} ({error}): use .png") from error


def _png(content: _Content) -> bytes:
    chunks: list[Chunk] = [] if not content.icc else [profile_chunk(content.icc)]
    chunks += [text_chunk(key, value) for key, value in content.text.items()]
    if content.metadata.xmp:
        chunks.append(text_chunk("XML:com.adobe.xmp", content.metadata.xmp.decode("utf-8", "replace")))
    if content.metadata.iptc:
        chunks.append(packed_text_chunk("Raw profile type iptc", text_of_iptc(content.metadata.iptc)))
    if len(content.exif):
        chunks.append((b"eXIf", content.exif.tobytes()[6:]))
    if content.values.dtype == np.uint16:
        return with_chunks(png_of_16_bits(content.values), chunks)
    return with_chunks(_by_pillow(content, "PNG"), chunks)


def _jpeg(content: _Content) -> bytes:
    exif = content.exif.tobytes() if len(content.exif) else b""
    if len(exif) > MOST_JPEG:
        exif = _record_only(content.exif)
    extra = xmp_segment(content.metadata.xmp) if content.metadata.xmp else b""
    extra += photoshop_block(content.metadata.iptc) if content.metadata.iptc else b""
    options: dict[str, Any] = {"quality": content.quality, "subsampling": 0, "exif": exif, "extra": extra}
    return _by_pillow(content, "JPEG", **options, icc_profile=content.icc or None)


def _record_only(exif: Image.Exif) -> bytes:
    """EXIF that is too long for a JPEG, without all but our own record."""
    short = Image.Exif()
    if RECORD_TAG in exif:
        short[RECORD_TAG] = exif[RECORD_TAG]
    return short.tobytes()


def _webp(content: _Content) -> bytes:
    return _by_pillow(content, "WEBP", quality=content.quality, exact=True, **_blocks(content))


def _avif(content: _Content) -> bytes:
    return _by_pillow(content, "AVIF", quality=content.quality, subsampling="4:4:4", **_blocks(content))


def _blocks(content: _Content) -> dict[str, bytes]:
    """What WebP and AVIF take alike."""
    blocks = {"exif": content.exif.tobytes() if len(content.exif) else b"", "xmp": content.metadata.xmp}
    return {name: block for name, block in (blocks | {"icc_profile": content.icc}).items() if block}


def _tiff(content: _Content) -> bytes:
    tags = {tiff_tags.ICC: content.icc, tiff_tags.XMP: content.metadata.xmp, tiff_tags.IPTC: content.metadata.iptc}
    return tiff_tags.tiff_of(content.values, content.exif, {tag: block for tag, block in tags.items() if block})


_ENCODERS: dict[str, Callable[[_Content], bytes]] = {
    "PNG": _png, "JPEG": _jpeg, "WEBP": _webp, "AVIF": _avif, "TIFF": _tiff,
}  # fmt: skip


def _by_pillow(content: _Content, kind: str, **options: Any) -> bytes:  # noqa: ANN401 - Pillow's
    file = io.BytesIO()
    Image.fromarray(content.values).save(file, format=kind, **options)
    return file.getvalue()


def picture_text(path: Path, key: str) -> str | None:
    """What `write_picture` wrote into a file as `text[key]`; None when nothing, or the file is not whole."""
    try:
        return picture_text_in(path.read_bytes(), key)
    except (OSError, ValueError):
        return None


def picture_text_in(data: bytes, key: str) -> str | None:
    """As `picture_text`, of a file's content."""
    try:
        if data.startswith(SIGNATURE):
            parts = take_apart(data) if data.endswith(END) else None
            return None if parts is None else parts.texts.get(key)
        with Image.open(io.BytesIO(data), formats=formats_read()) as image:
            record = image.getexif().get(RECORD_TAG)
            image.load()
        value = json.loads(record)[key] if isinstance(record, str) else None
    except Exception:  # a damaged file makes Pillow's parsers raise nearly any type
        return None
    return value if isinstance(value, str) else None


def _values(rgb: torch.Tensor, alpha: torch.Tensor | None, manner: Manner, *, flatten: bool) -> Values:
    """`[H,W,3 or 4]` to be written."""
    check_image(rgb)
    if rgb.shape[0] != 1:
        raise InputError(f"a file holds one picture, not a batch of {rgb.shape[0]}: write them one by one")
    rgb = rgb.detach().cpu().float().clamp(0, 1)
    if manner.gamut is not None:
        rgb = manner.gamut.encode(rgb)
    if alpha is not None:
        if alpha.shape != (1, 1, *rgb.shape[-2:]):
            raise InputError(f"alpha {tuple(alpha.shape)} must be {(1, 1, *rgb.shape[-2:])}, the size of the picture")
        alpha = alpha.detach().cpu().float().clamp(0, 1)
        rgb = rgb * alpha + (1 - alpha) if flatten else torch.cat((rgb, alpha), dim=1)
    planes = rgb[0].permute(1, 2, 0)
    if manner.bits == 16:
        return (planes.double() * 65535).round().numpy().astype(np.uint16)
    return (planes * 255).round().to(torch.uint8).contiguous().numpy()
