"""PNG chunks: what is in the picture apart from what is said about it, and 16 bits per channel (Pillow writes 8)."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

SIGNATURE = b"\x89PNG\r\n\x1a\n"
END = b"\0\0\0\0IEND\xaeB`\x82"
MOST_TEXT = 1 << 26
"""Bytes of a profile or text that are unpacked at most; what is larger is left out, not the picture."""
# What the decoder needs. All the rest may be as large, as damaged or as strange as it likes.
_PICTURE = frozenset({b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"acTL", b"fcTL", b"fdAT", b"CgBI"})
ROWS = 64
Chunk = tuple[bytes, bytes]


@dataclass
class PngParts:
    """A PNG taken apart.

    Attributes:
        picture: the same file with what its decoder needs only.
        depth, color_type: of the header; 16 and 2, say.
        texts: keyword -> text.
        icc, exif: b"" when there is none.
    """

    picture: bytes
    depth: int
    color_type: int
    texts: dict[str, str] = field(default_factory=dict[str, str])
    icc: bytes = b""
    exif: bytes = b""


def take_apart(data: bytes) -> PngParts | None:
    """The parts of a PNG; None when the data is none, or has no header."""
    if not data.startswith(SIGNATURE) or data[12:16] != b"IHDR" or len(data) < 33:
        return None
    parts = PngParts(b"", data[24], data[25])
    kept = [SIGNATURE]
    for name, start, end in _chunks(data):
        if name in _PICTURE:
            kept.append(data[start:end])
        elif end - start >= 12:
            _note(parts, name, data[start + 8 : end - 4])
    parts.picture = b"".join(kept)
    return parts


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Name, start and end of each chunk as far as the file goes."""
    at = len(SIGNATURE)
    while at + 8 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        end = min(at + 12 + length, len(data))
        yield data[at + 4 : at + 8], at, end
        at = end


def _note(parts: PngParts, name: bytes, body: bytes) -> None:
    keyword, _zero, rest = body.partition(b"\0")
    if name == b"iCCP":
        parts.icc = _unpacked(rest[1:])
    elif name == b"eXIf":
        parts.exif = body
    elif name == b"tEXt":
        parts.texts.setdefault(keyword.decode("latin-1"), rest.decode("latin-1"))
    elif name == b"zTXt":
        parts.texts.setdefault(keyword.decode("latin-1"), _unpacked(rest[1:]).decode("latin-1"))
    elif name == b"iTXt" and len(rest) > 2:
        packed = rest[0]
        value = rest[2:].partition(b"\0")[2].partition(b"\0")[2]
        text = (_unpacked(value) if packed else value).decode("utf-8", "replace")
        parts.texts.setdefault(keyword.decode("latin-1"), text)


def _unpacked(data: bytes) -> bytes:
    """zlib data unpacked; b"" when it is damaged, or larger than `MOST_TEXT`."""
    decoder = zlib.decompressobj()
    try:
        content = decoder.decompress(data, MOST_TEXT)
    except zlib.error:
        return b""
    return content if decoder.eof else b""


def text_chunk(keyword: str, text: str) -> Chunk:
    """International text, not packed."""
    return b"iTXt", keyword.encode("latin-1") + b"\0\0\0\0\0" + text.encode("utf-8", "replace")


def packed_text_chunk(keyword: str, text: str) -> Chunk:
    """Latin-1 text, packed."""
    return b"zTXt", keyword.encode("latin-1") + b"\0\0" + zlib.compress(text.encode("latin-1", "replace"))


def profile_chunk(icc: bytes) -> Chunk:
    """An ICC profile."""
    return b"iCCP", b"ICC Profile\0\0" + zlib.compress(icc)


def with_chunks(png: bytes, chunks: Sequence[Chunk]) -> bytes:
    """A PNG with further chunks behind its header."""
    header = len(SIGNATURE) + 25
    return png[:header] + b"".join(_chunk(*chunk) for chunk in chunks) + png[header:]


def png_of_16_bits(values: npt.NDArray[Any]) -> bytes:
    """uint16 `[H,W,3 or 4]` as a PNG; each row is filtered by Paeth's predictor (PNG 1.2, section 6.6)."""
    height, width, channels = values.shape
    header = struct.pack(">IIBBBBB", width, height, 16, 2 if channels == 3 else 6, 0, 0, 0)
    packer = zlib.compressobj(6)
    packed: list[bytes] = []
    step = 2 * channels
    above = np.zeros((1, width * step), np.uint8)
    for start in range(0, height, ROWS):
        rows = np.ascontiguousarray(values[start : start + ROWS].astype(">u2")).view(np.uint8).reshape(-1, width * step)
        upper = np.concatenate((above, rows[:-1]))
        above = rows[-1:]
        left, corner = (np.pad(plane, ((0, 0), (step, 0)))[:, :-step].astype(np.int16) for plane in (rows, upper))
        up = upper.astype(np.int16)
        guess = left + up - corner
        from_left, from_up, from_corner = abs(guess - left), abs(guess - up), abs(guess - corner)
        beside = np.where(from_up <= from_corner, up, corner)
        nearest = np.where((from_left <= from_up) & (from_left <= from_corner), left, beside)
        filtered = (rows - nearest).astype(np.uint8)
        packed.append(packer.compress(np.pad(filtered, ((0, 0), (1, 0)), constant_values=4).tobytes()))
    packed.append(packer.flush())
    body = _chunk(b"IHDR", header) + _chunk(b"IDAT", b"".join(packed))
    return SIGNATURE + body + END


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
