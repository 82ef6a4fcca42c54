"""TIFF's tags: what Pillow does not read right or at all, in words, and 8 or 16 bits written."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2

WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, STRIPS = 256, 257, 258, 259, 262, 273
SAMPLES, ROWS, STRIP_BYTES, PLANAR, EXTRA, FORMAT = 277, 278, 279, 284, 338, 339
XMP, IPTC, ICC, DNG = 700, 33723, 34675, 50706
_DEFLATE, _WHITE_IS_ZERO, _RGB = 8, 0, 2
_PHOTOMETRICS = {0: "grey", 1: "grey", 2: "RGB", 3: "palette", 4: "mask", 5: "CMYK", 6: "YCbCr", 8: "Lab", 9: "Lab",
                 10: "Lab", 32803: "raw sensor", 34892: "raw sensor"}  # fmt: skip
_FORMATS = {1: "integers", 2: "signed integers", 3: "floats", 5: "complex numbers", 6: "complex numbers"}


def is_tiff(data: bytes) -> bool:
    """Whether it begins as TIFF or BigTIFF does, in either byte order."""
    return data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def first_tags(data: bytes) -> dict[int, tuple[int, ...]]:
    """The whole numbers in the tags of the first picture; {} when the file is damaged there."""
    found: dict[int, tuple[int, ...]] = {}
    for tag, kind, count, place in _entries(data):
        size = {1: 1, 3: 2, 4: 4, 16: 8}.get(kind)
        if size is None or not 0 < count <= 1024:
            continue
        letters = {1: "B", 2: "H", 4: "I", 8: "Q"}[size]
        order = "<" if data[:2] == b"II" else ">"
        try:
            found[tag] = struct.unpack_from(f"{order}{count}{letters}", data, place)
        except struct.error:
            continue
    return found


def _entries(data: bytes) -> list[tuple[int, int, int, int]]:
    """Tag, type, count and place of the values of each entry of the first directory."""
    order = "<" if data[:2] == b"II" else ">"
    big = data[2:4] in (b"+\0", b"\0+")
    entry, word, room = (20, "Q", 8) if big else (12, "I", 4)
    sizes = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
    entries: list[tuple[int, int, int, int]] = []
    try:
        (start,) = struct.unpack_from(order + word, data, 8 if big else 4)
        (count,) = struct.unpack_from(order + ("Q" if big else "H"), data, start)
        start += 8 if big else 2
        for index in range(min(count, 4096)):
            at = start + index * entry
            tag, kind, values = struct.unpack_from(f"{order}HH{word}", data, at)
            place = at + 4 + room
            if values * sizes.get(kind, 1) > room:
                (place,) = struct.unpack_from(order + word, data, place)
            entries.append((tag, kind, values, place))
    except struct.error:
        pass
    return entries


def kind_in_words(data: bytes) -> str:
    """What a TIFF holds, for a message: "3 channels of 32-bit floats (RGB)"."""
    tags = first_tags(data)
    channels = tags.get(SAMPLES, (1,))[0]
    bits = "+".join(str(number) for number in dict.fromkeys(tags.get(BITS, (1,))))
    numbers = _FORMATS.get(tags.get(FORMAT, (1,))[0], "numbers of an unknown kind")
    colors = _PHOTOMETRICS.get(tags.get(PHOTOMETRIC, (-1,))[0], "unknown colours")
    plural = "channel" if channels == 1 else "channels"
    return f"{channels} {plural} of {bits}-bit {numbers} ({colors}, compression {tags.get(COMPRESSION, (1,))[0]})"


def black_is_zero(data: bytes) -> bytes | None:
    """A grey TIFF of 16 or 32 bits in which white is 0, said to be one in which black is: read it, and invert it.

    Pillow opens it without a word and gives the negative, or does not know it, by the byte order. None for all others.
    """
    tags = first_tags(data)
    deep = tags.get(BITS, (1,)) in ((16,), (32,)) and tags.get(SAMPLES, (1,)) == (1,)
    if not deep or tags.get(PHOTOMETRIC) != (_WHITE_IS_ZERO,):
        return None
    place = next(place for tag, _kind, _count, place in _entries(data) if tag == PHOTOMETRIC)
    lowest = place if data[:2] == b"II" else place + 1  # of a 16-bit value
    patched = bytearray(data)
    patched[lowest] = 1
    return bytes(patched)


def is_raw(data: bytes) -> bool:
    """Whether a TIFF is a camera's: what Pillow finds first in it is a small preview."""
    return any(tag == DNG for tag, *_rest in _entries(data))


def tiff_of(values: npt.NDArray[Any], exif: Image.Exif, tags: dict[int, bytes]) -> bytes:
    """`[H,W,3 or 4]` of 8 or 16 bits as one deflated strip (TIFF 6.0, and Adobe's technical note on Deflate).

    Args:
        exif: whose entries become the picture's own.
        tags: further ones, as bytes: `ICC`, `XMP`, `IPTC`.
    """
    height, width, channels = values.shape
    directory = ImageFileDirectory_v2(prefix=b"II")
    for tag in exif:
        directory[tag] = exif.get_ifd(tag) if tag in (0x8769, 0x8825) else exif[tag]
    for tag, content in tags.items():
        directory.tagtype[tag] = 1 if tag == XMP else 7
        directory[tag] = content
    strip = zlib.compress(np.ascontiguousarray(values, values.dtype.newbyteorder("<")).tobytes(), 6)
    directory[WIDTH], directory[HEIGHT] = width, height
    directory[BITS] = (8 * values.dtype.itemsize,) * channels
    directory[COMPRESSION], directory[PHOTOMETRIC] = _DEFLATE, _RGB
    directory[SAMPLES], directory[ROWS], directory[PLANAR] = channels, height, 1
    directory[STRIPS], directory[STRIP_BYTES] = 0, len(strip)
    if channels == 4:
        directory[EXTRA] = 2  # transparency that the colours are not multiplied with
    file = io.BytesIO()
    directory.save(file)
    return file.getvalue() + strip
