"""EXIF, XMP and IPTC of a photo, carried over to its result: what is no longer true of it is corrected or left out."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, replace
from typing import Any

from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2

EXIF_IFD, GPS_IFD, RECORD_TAG = 0x8769, 0x8825, 0x9213
"""`RECORD_TAG` is ImageHistory of TIFF/EP: "a record of what has been done to the image"."""
_ORIENTATION, _COLOR_SPACE, _WIDTH, _HEIGHT = 0x0112, 0xA001, 0xA002, 0xA003
# Of the first directory what describes the photo; what describes its pixels is the new file's own.
_KEPT = frozenset({
    0x010E, 0x010F, 0x0110, 0x011A, 0x011B, 0x0128, 0x0131, 0x0132, 0x013B, 0x013C, 0x4746, 0x4749, 0x8298, 0x9003,
    0x9C9B, 0x9C9C, 0x9C9D, 0x9C9E, 0x9C9F,
})  # fmt: skip
# Of the photo's directory: MakerNote (its offsets would point nowhere), Interoperability, sizes, SubjectArea and
# SubjectLocation (in pixels of the old size).
_DROPPED = frozenset({0x927C, 0xA005, _WIDTH, _HEIGHT, _COLOR_SPACE, 0x9214, 0xA214, RECORD_TAG})
# XMP properties that say how the pixels lie, or hold a smaller copy or a second layer of them.
_STALE = (
    r"(?:tiff:(?:Orientation|ImageWidth|ImageLength)|exif:Pixel[XY]Dimension|xmp:Thumbnails|xmpGImg:\w+"
    r"|(?:hdrgm|HDRGainMap|Container|GContainer|GImage|GDepth):\w+|GCamera:(?:MotionPhoto|MicroVideo)\w*)"
)
# By whatever prefix: a packet may call the namespace of EXIF as it likes, and makers of drones have their own.
_PLACE = r"[\w.-]+:(?:GPS|Gps|gps)\w+"
MOST_JPEG = 65_000
"""Bytes that fit into one segment of a JPEG."""


@dataclass(frozen=True)
class PhotoMetadata:
    """What a file says about its photo, as bytes; b"" where it says nothing.

    Attributes:
        exif: beginning with "Exif", already without thumbnail and without what describes the old pixels.
        xmp: a packet of XML.
        iptc: IIM records.
    """

    exif: bytes = b""
    xmp: bytes = b""
    iptc: bytes = b""

    def without_place(self) -> PhotoMetadata:
        """Without where the photo was taken (GPS)."""
        exif = _loaded(self.exif)
        if GPS_IFD in exif:
            del exif[GPS_IFD]
        return replace(self, exif=_saved(exif) if self.exif else b"", xmp=_without(self.xmp, _PLACE))

    def exif_for(self, width: int, height: int, *, srgb: bool, record: str = "") -> Image.Exif:
        """The entries for a result of that size.

        Args:
            srgb: whether it is in that colour space.
            record: kept as `RECORD_TAG`.
        """
        exif = _loaded(self.exif)
        if self.exif:
            exif[_ORIENTATION] = 1
            photo = exif.get_ifd(EXIF_IFD)
            photo |= {_WIDTH: width, _HEIGHT: height, _COLOR_SPACE: 1 if srgb else 65535}
            exif[EXIF_IFD] = photo
        if record:
            exif[RECORD_TAG] = record.encode("ascii", "backslashreplace").decode("ascii")
        return exif


NO_METADATA = PhotoMetadata()


def metadata_of(image: Image.Image, xmp: bytes = b"", iptc: bytes = b"") -> PhotoMetadata:
    """What Pillow found, cleaned. What is damaged is left out: it is no reason to refuse a picture.

    Args:
        image: opened.
        xmp, iptc: what was found elsewhere.
    """
    packet = _without(xmp or _bytes(image.info.get("xmp")), _STALE)
    return PhotoMetadata(_exif_of(image), packet, iptc or _iptc_of(image))


def _exif_of(image: Image.Image) -> bytes:
    try:
        found = image.getexif()
        kept = Image.Exif()
        for tag in found:
            if tag in _KEPT and _can_be_written(tag, found[tag]):
                kept[tag] = found[tag]
        for directory, dropped in ((EXIF_IFD, _DROPPED), (GPS_IFD, frozenset[int]())):
            entries = found.get_ifd(directory)
            fine = {tag: value for tag, value in entries.items() if tag not in dropped and _can_be_written(tag, value)}
            if fine:
                kept[directory] = fine
        return _saved(kept) if len(kept) else b""
    except Exception:  # Pillow's parser raises SyntaxError, struct.error, TypeError, ... by the kind of damage
        return b""


def _can_be_written(tag: int, value: Any) -> bool:  # noqa: ANN401 - of an EXIF entry
    directory = ImageFileDirectory_v2()
    try:
        directory[tag] = value
        directory.tobytes()
    except Exception:  # as above: a value of another type than the tag's
        return False
    return True


def _loaded(exif: bytes) -> Image.Exif:
    loaded = Image.Exif()
    if exif:
        loaded.load(exif)
        for directory in (EXIF_IFD, GPS_IFD):
            if directory in loaded:
                loaded[directory] = dict(loaded.get_ifd(directory))
    return loaded


def _saved(exif: Image.Exif) -> bytes:
    return exif.tobytes()


def _bytes(value: object) -> bytes:
    return value.encode() if isinstance(value, str) else value if isinstance(value, bytes) else b""


def _iptc_of(image: Image.Image) -> bytes:
    """IIM records in a JPEG's Photoshop block, or a TIFF's tag."""
    blocks = image.info.get("photoshop")
    if isinstance(blocks, dict):
        return _bytes(blocks.get(0x0404))
    value = getattr(image, "tag_v2", {}).get(33723)
    if isinstance(value, tuple):  # some programs write the bytes as long numbers
        try:
            value = struct.pack(f"<{len(value)}I", *value)
        except struct.error:
            return b""
    return _bytes(value)


def _without(xmp: bytes, names: str) -> bytes:
    """An XMP packet without the properties whose qualified names match, as attributes and as elements."""
    if not xmp:
        return b""
    try:
        text = xmp.decode("utf-8")
    except UnicodeDecodeError:
        return b""
    text = re.sub(rf"\s+{names}\s*=\s*(?:\"[^\"]*\"|'[^']*')", "", text)
    text = re.sub(rf"<({names})(?:\s[^>]*)?/>", "", text)
    text = re.sub(rf"<({names})(?:\s[^>]*)?>.*?</\1\s*>", "", text, flags=re.DOTALL)
    return text.encode()


def photoshop_block(iptc: bytes) -> bytes:
    """IIM records as a JPEG's APP13 segment; b"" when they are too long for one."""
    padded = iptc + b"\0" * (len(iptc) % 2)
    body = b"Photoshop 3.0\0" + b"8BIM" + struct.pack(">HHI", 0x0404, 0, len(iptc)) + padded
    return b"\xff\xed" + struct.pack(">H", len(body) + 2) + body if len(body) <= MOST_JPEG else b""


def xmp_segment(xmp: bytes) -> bytes:
    """An XMP packet as a JPEG's APP1 segment; b"" when it is too long for one."""
    body = b"http://ns.adobe.com/xap/1.0/\0" + xmp
    return b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body if len(body) <= MOST_JPEG else b""


def iptc_of_text(text: str) -> bytes:
    """IIM records in a PNG's "Raw profile type iptc" (a name, a length and hexadecimal numbers); b"" when damaged."""
    try:
        return bytes.fromhex("".join(text.split("\n")[3:]))
    except ValueError:
        return b""


def text_of_iptc(iptc: bytes) -> str:
    """The inverse of `iptc_of_text`."""
    numbers = iptc.hex()
    lines = [numbers[at : at + 72] for at in range(0, len(numbers), 72)]
    return "\n".join(["", "iptc", f"{len(iptc):8d}", *lines, ""])
