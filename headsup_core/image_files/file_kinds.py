"""Which kinds of picture files there are, by names and first bytes, and what to do with those that are not read."""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path

from PIL import Image, features

PICTURE_SUFFIXES = (
    ".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".avif", ".gif", ".tif", ".tiff", ".mpo", ".bmp",
    ".dib", ".jp2", ".j2k", ".jpf", ".jpx", ".ppm", ".pgm", ".pbm", ".pnm", ".tga", ".qoi",
)  # fmt: skip
"""What counts as a picture in a folder; a file that is named itself may have any suffix."""
HEIC_SUFFIXES = (".heic", ".heif", ".hif")
"""Pictures, too, when pillow-heif is installed."""

FORMATS = (
    "PNG", "JPEG", "MPO", "WEBP", "AVIF", "GIF", "TIFF", "BMP", "DIB", "JPEG2000", "PPM", "TGA", "QOI", "ICO", "PSD",
    "PCX", "SGI", "DDS", "HEIF",
)  # fmt: skip
"""Pillow's formats that are read. EPS is not among them: Pillow would start Ghostscript for it."""

_HEIC_REMEDY = "`pip install pillow-heif` makes them readable, or save it as JPEG, PNG or TIFF"
_RAW_SUFFIXES = (
    ".dng", ".cr2", ".cr3", ".crw", ".nef", ".nrw", ".arw", ".sr2", ".srf", ".raf", ".orf", ".rw2", ".pef", ".srw",
    ".x3f", ".3fr", ".iiq", ".rwl", ".kdc", ".dcr", ".mrw", ".erf", ".mef", ".mos",
)  # fmt: skip
_RAW = "a camera's raw file: develop it and save it as TIFF or JPEG"
_EXPORT = "export it as PNG, JPEG or TIFF"
_VIDEO = "a video: save the frames that you want as pictures"
_BY_SUFFIX = {
    **dict.fromkeys(_RAW_SUFFIXES, _RAW),
    **dict.fromkeys((".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v"), _VIDEO),
    ".svg": f"an SVG drawing: {_EXPORT}",
    ".eps": f"an EPS drawing: {_EXPORT}",
    ".ai": f"an Illustrator drawing: {_EXPORT}",
    ".pdf": f"a PDF document: {_EXPORT}",
    ".jxl": f"a JPEG XL picture: {_EXPORT}",
    ".psd": f"a Photoshop document: {_EXPORT}",
    ".xcf": f"a GIMP document: {_EXPORT}",
    ".exr": f"an OpenEXR picture: {_EXPORT}",
    ".hdr": f"a Radiance HDR picture: {_EXPORT}",
}
# First bytes -> what the file is.
_MAGIC = (
    (b"\xff\x0a", _BY_SUFFIX[".jxl"]),
    (b"\0\0\0\x0cJXL \r\n\x87\n", _BY_SUFFIX[".jxl"]),
    (b"%PDF", _BY_SUFFIX[".pdf"]),
    (b"%!PS", _BY_SUFFIX[".eps"]),
    (b"\xc5\xd0\xd3\xc6", _BY_SUFFIX[".eps"]),
    (b"gimp xcf", _BY_SUFFIX[".xcf"]),
    (b"v/1\x01", _BY_SUFFIX[".exr"]),
    (b"#?RADIANCE", _BY_SUFFIX[".hdr"]),
    (b"FUJIFILMCCD-RAW", _RAW),
    (b"FOVb", _RAW),
    (b"IIU\0", _RAW),
    (b"IIRO", _RAW),
    (b"\x1aE\xdf\xa3", _VIDEO),
    (b"PK\x03\x04", "an archive: unpack it first"),
    (b"version https://git-lfs", "only the name of a file that Git LFS keeps elsewhere: run `git lfs pull`"),
)
_HEIC_BRANDS = frozenset({b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1", b"heif"})
_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_VIDEO_BRANDS = frozenset({b"isom", b"mp41", b"mp42", b"qt  ", b"M4V ", b"avc1", b"iso2", b"iso4", b"iso5", b"iso6"})


def heic_is_there() -> bool:
    """Whether HEIC can be read: pillow-heif is installed, and then registered with Pillow."""
    if "HEIF" in Image.OPEN:
        return True
    if importlib.util.find_spec("pillow_heif") is None:
        return False
    try:
        importlib.import_module("pillow_heif").register_heif_opener()
    except (ImportError, OSError, AttributeError):  # its library is damaged, or made for another system
        return False
    return "HEIF" in Image.OPEN


def suffixes_read() -> tuple[str, ...]:
    """The suffixes of what is taken from a folder."""
    return PICTURE_SUFFIXES + (HEIC_SUFFIXES if heic_is_there() else ())


def formats_read() -> tuple[str, ...]:
    """`FORMATS` that this Pillow knows; it does not accept others."""
    heic_is_there()
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def why_left_out(path: Path) -> str | None:
    """What a file in a folder is that is not read; None when its name does not say that it is a picture or a video."""
    suffix = path.suffix.lower()
    if suffix in HEIC_SUFFIXES:
        return f"a HEIC picture: {_HEIC_REMEDY}"
    return _BY_SUFFIX.get(suffix)


def _brands(data: bytes) -> set[bytes]:
    """What a file of the kind that films, HEIC and AVIF share says that it is."""
    if data[4:8] != b"ftyp":
        return set()
    end = min(len(data), int.from_bytes(data[:4], "big"), 64)
    return {data[8:12], *(data[at : at + 4] for at in range(16, end, 4))}


def is_heic(data: bytes) -> bool:
    """Whether a file begins as HEIC does."""
    brands = _brands(data)
    return bool(brands & _HEIC_BRANDS) and not brands & _AVIF_BRANDS


def unread_kind(path: Path, data: bytes) -> str | None:
    """What a file is that cannot be read, and the remedy; None when neither its bytes nor its name say.

    Args:
        data: the first bytes of the file, at least 64 if it has them.
    """
    brands = _brands(data)
    if brands:
        if brands & _AVIF_BRANDS:
            if not features.check("avif"):
                return "an AVIF picture: a Pillow of 11.3 or later reads them, or save it as JPEG, PNG or TIFF"
            return None
        if data[8:12] == b"crx ":
            return _RAW
        if is_heic(data):
            return None if heic_is_there() else f"a HEIC picture: {_HEIC_REMEDY}"
        if brands & _VIDEO_BRANDS:
            return _VIDEO
    if data[:4] in (b"II*\0", b"MM\0*") and (data[8:10] == b"CR" or path.suffix.lower() in _RAW_SUFFIXES):
        return _RAW  # Pillow would take the small preview in it for the picture
    if data[:4] == b"RIFF" and data[8:12] == b"AVI ":
        return _VIDEO
    for magic, kind in _MAGIC:
        if data.startswith(magic):
            return kind
    head = data[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if head.startswith(b"<svg") or (head.startswith(b"<?xml") and b"<svg" in head):
        return _BY_SUFFIX[".svg"]
    if head.startswith((b"<!doctype html", b"<html")):
        return "a web page: what was saved is not the picture itself; save that"
    return None
