"""Reading a picture file: its first frame, upright, as sRGB."""

from __future__ import annotations

import io
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageCms, UnidentifiedImageError

from ..errors import InputError
from ..imaging.hidden_colors import fill_hidden
from . import tiff_tags
from .color_profiles import WideGamut, grey_curve, into_srgb, matrix_profile
from .deep_pixels import decode_deep, upright
from .file_kinds import formats_read, is_heic, unread_kind
from .photo_metadata import iptc_of_text, metadata_of
from .picture import Picture
from .png_chunks import PngParts, take_apart

MAX_PIXELS = 178_956_970
"""Largest picture that is read, Pillow's own limit; a small file can claim any size and fill the memory."""
MAX_BYTES = 1 << 31
"""Largest file that is read."""

# Whose further frames are pictures of their own; those of a phone's JPEG are depth and brightness of the first.
_ANIMATED = ("GIF", "PNG", "WEBP", "TIFF", "AVIF")
_ALPHA_MODES = ("LA", "La", "PA", "RGBA", "RGBa")
_GREY_WITH_ALPHA = 4
"""PNG's colour type; of 16 bits Pillow makes RGBA of it."""
_SUPPORTED = "use PNG, JPEG, WebP, AVIF, GIF or TIFF"
Channels = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]


def read_picture(path: str | os.PathLike[str]) -> Picture:
    """Read the first frame of a picture file, upright (EXIF orientation) and in sRGB (embedded ICC profile).

    PNG, JPEG, WebP, AVIF, GIF, TIFF, MPO and the other kinds of `FORMATS`; HEIC when pillow-heif is installed. Grey,
    palette, CMYK, Lab, 1 bit and 16 bit become RGB; transparency becomes `alpha`. Text, profiles and EXIF may be as
    large or as damaged as they like: they are no part of the picture.

    Raises:
        InputError: naming the file, when it is missing, a folder, empty, of a kind that is not read (which is named,
            with the remedy), damaged, cut short, larger than `MAX_PIXELS`, or holds float values outside 0..1.
    """
    path = Path(path)
    return decode_picture(_content(path), path)


def decode_picture(data: bytes, path: Path) -> Picture:
    """As `read_picture`, of a file's content that was read already; `path` is for its kind and for messages."""
    if not data:
        raise InputError(f"{path} is empty (0 bytes): the picture was not saved or not copied to its end")
    kind = unread_kind(path, data[:1024])
    if kind is not None:
        raise InputError(f"{path} is {kind}")
    tiff = tiff_tags.is_tiff(data)
    if tiff and tiff_tags.is_raw(data):
        raise InputError(f"{path} is a camera's raw file (DNG): develop it and save it as TIFF or JPEG")
    png = take_apart(data)
    inverted = tiff_tags.black_is_zero(data) if tiff else None
    try:
        with Image.open(io.BytesIO(png.picture if png else inverted or data), formats=formats_read()) as image:
            _check_size(image, path)
            frames = int(getattr(image, "n_frames", 1)) if image.format in _ANIMATED else 1
            return replace(_picture(image, path, data, png, inverted=inverted is not None), frames=frames)
    except (InputError, MemoryError):
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise InputError(f"{path} is too large: {error} Make it smaller first") from error
    except UnidentifiedImageError as error:
        if tiff:
            raise InputError(
                f"{path} is a TIFF with {tiff_tags.kind_in_words(data)}, which is not read, or it is damaged: "
                "save it as RGB or grey with 8 or 16 bits"
            ) from error
        if is_heic(data):
            raise InputError(f"{path} is a HEIC picture that is damaged or cut short: copy it again") from error
        raise InputError(f"{path} is not a picture, or its first bytes are damaged: {_SUPPORTED}") from error
    except Exception as error:  # a damaged file makes Pillow's decoders raise nearly any type
        raise InputError(f"{path} is damaged or cut short ({error}): save or copy it again") from error


def check_is_file(path: Path) -> None:
    """Raises `InputError` when `path` is a folder, or a device or a pipe, which may wait for ever when it is opened."""
    if os.path.isdir(path):
        raise InputError(f"{path} is a folder: give a picture file")
    if os.path.exists(path) and not os.path.isfile(path):
        raise InputError(f"{path} is a device or a pipe: give a picture file")


def _content(path: Path) -> bytes:
    try:
        check_is_file(path)
        status = path.stat()
        if status.st_size == 0:
            raise InputError(f"{path} is empty (0 bytes): the picture was not saved or not copied to its end")
        if status.st_size > MAX_BYTES:
            raise InputError(f"{path} has {status.st_size} bytes, the limit is {MAX_BYTES}: make it smaller first")
        return path.read_bytes()
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error


def _check_size(image: Image.Image, path: Path) -> None:
    pixels = image.width * image.height
    if pixels > MAX_PIXELS:  # Pillow checks too, unless some other pack has switched that off
        raise InputError(
            f"{path} has {image.width}x{image.height} = {pixels} pixels, the limit is {MAX_PIXELS}: "
            "make it smaller first"
        )


def _picture(image: Image.Image, path: Path, data: bytes, png: PngParts | None, *, inverted: bool) -> Picture:
    """The opened `image` of a file with that content."""
    deep = png is not None and png.depth == 16
    if image.format == "TIFF":
        deep = max(tiff_tags.first_tags(data).get(tiff_tags.BITS, (1,)), default=1) == 16
    if png is not None:
        _give_back(image, png)
    stored = _orientation(image)
    image.load()
    orientation, icc = _orientation(image), _profile(image, png)
    iptc = iptc_of_text(png.texts.get("Raw profile type iptc", "")) if png else b""
    xmp = png.texts.get("XML:com.adobe.xmp", "").encode() if png else b""
    metadata = metadata_of(image, xmp, iptc)
    notes: list[str] = []
    alpha: Channels | None = None
    gamut: WideGamut | None = None
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        grey, alpha = _deep_grey(image, path, inverted=inverted)
        rgb = _grey(upright(grey, orientation), icc)
        bits = 16
    else:
        color, alpha = _channels(image, png)
        bits = 8
        if deep and image.mode in ("RGB", "RGBA", "LA"):
            seen = color if alpha is None or "transparency" in image.info else np.dstack((color, alpha))
            values = decode_deep(png.picture if png else data, seen, stored)
            if values is None:
                notes.append("16 bits per channel were read as 8: OpenCV is missing, or reads the file otherwise")
            else:
                bits = 16
                color, alpha = values[..., :3], values[..., 3] if values.shape[2] == 4 else alpha
                if "transparency" in image.info and image.mode == "RGB":
                    opaque = (color != np.array(image.info["transparency"])).any(axis=2)
                    alpha = opaque.astype(np.uint8) * np.uint8(255)
        if image.mode in ("L", "LA", "La", "1") or (png is not None and png.color_type == _GREY_WITH_ALPHA):
            steps = 255 if color.dtype == np.uint8 else 65535
            rgb = _grey(upright(color[..., 0].astype(np.float32) / steps, orientation), icc)
        else:
            rgb, gamut = _color(image, upright(color, orientation), orientation, icc)
    if alpha is None:
        return Picture(rgb, None, 1, bits, metadata, gamut, tuple(notes))
    opacity = _planes(upright(alpha, orientation))
    return Picture(fill_hidden(rgb, opacity), opacity, 1, bits, metadata, gamut, tuple(notes))


def _give_back(image: Image.Image, png: PngParts) -> None:
    """EXIF and XMP for Pillow's EXIF reader; its PNG reader with its limits did not see them."""
    if png.exif:
        image.info["exif"] = b"Exif\0\0" + png.exif
    for keyword in ("XML:com.adobe.xmp", "Raw profile type exif"):
        if keyword in png.texts:
            image.info[keyword] = png.texts[keyword]


def _orientation(image: Image.Image) -> int:
    """How the picture lies; damaged EXIF is no reason to refuse a picture that is itself sound."""
    try:
        value = image.getexif().get(0x0112, 1)
        return int(value) if isinstance(value, int) else 1
    except Exception:  # the EXIF parser raises SyntaxError, struct.error, TypeError, ... by the kind of damage
        return 1


def _profile(image: Image.Image, png: PngParts | None) -> bytes:
    icc = png.icc if png else image.info.get("icc_profile")
    return icc if isinstance(icc, bytes) else b""


def _channels(image: Image.Image, png: PngParts | None) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8] | None]:
    """8-bit colour `[H,W,3]`, by a plain conversion, and transparency `[H,W]`."""
    if image.mode in ("1", "L", "RGB") and "transparency" in image.info:
        return np.asarray(image.convert("RGB")), _single_transparent(image, png)
    if image.mode in _ALPHA_MODES or (image.mode == "P" and "transparency" in image.info):
        values = np.asarray(image.convert("RGBA"))
        return values[..., :3], values[..., 3]
    if image.mode == "LAB":
        image = _converted(image, ImageCms.createProfile("LAB"))
    return np.asarray(image.convert("RGB")), None


def _single_transparent(image: Image.Image, png: PngParts | None) -> npt.NDArray[np.uint8]:
    """Where a picture has its one transparent colour; PNG gives it in the file's own depth."""
    wanted = np.atleast_1d(np.asarray(image.info["transparency"], np.int64))
    depth = 8 if png is None else png.depth
    if depth < 8 and image.mode == "L":
        wanted = wanted * 255 // (2**depth - 1)
    elif depth == 16:
        wanted = wanted >> 8  # only where 16 bits cannot be had
    values = np.asarray(image.convert("L") if image.mode == "1" else image)
    different = values[..., None] != wanted if values.ndim == 2 else values != wanted
    return different.any(axis=2).astype(np.uint8) * np.uint8(255)


def _deep_grey(image: Image.Image, path: Path, *, inverted: bool) -> tuple[npt.NDArray[np.float32], Channels | None]:
    """16-bit integer (Pillow gives "I" for some of them) or 0..1 float grey `[H,W]`, and transparency."""
    held = np.asarray(image)
    values = held.astype(np.float32)
    if image.mode != "F":
        values /= 65535
    if not (values.min() >= 0 and values.max() <= 1):  # NaN too
        raise InputError(
            f"{path} holds {image.mode} grey values from {held.min()} to {held.max()}, "
            f"not {'0 to 1' if image.mode == 'F' else '0 to 65535'}: save it with 8 or 16 bits"
        )
    clear = image.info.get("transparency")
    alpha = (held != clear).astype(np.uint8) * np.uint8(255) if isinstance(clear, int) else None
    return (1 - values if inverted else values), alpha


def _grey(values: npt.NDArray[np.float32], icc: bytes) -> torch.Tensor:
    """Grey values `[H,W]` in 0..1 as `[1,3,H,W]` in sRGB."""
    curve = grey_curve(icc) if icc else None
    if curve is not None:
        values = np.interp(values, np.linspace(0, 1, len(curve)), curve).astype(np.float32)
    return torch.from_numpy(np.ascontiguousarray(values)).expand(1, 3, -1, -1).contiguous()


def _color(
    image: Image.Image, values: Channels, orientation: int, icc: bytes
) -> tuple[torch.Tensor, WideGamut | None]:
    """Colours `[H,W,3]` as sRGB by the profile: as they are when there is none that can be used."""
    if not icc or image.mode == "LAB":
        return _planes(values), None
    profile = matrix_profile(icc)
    if profile is not None:
        return into_srgb(_planes(values), icc, profile) if image.mode != "CMYK" else (_planes(values), None)
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        if image.mode in ("RGB", "CMYK"):
            turned = upright(np.asarray(_converted(image, source)), orientation)
        else:
            turned = np.asarray(_converted(Image.fromarray(np.ascontiguousarray(values, np.uint8)), source))
    except (OSError, ImageCms.PyCMSError):  # damaged, or made for other channels than the picture has
        return _planes(values), None
    return _planes(turned), None


def _converted(image: Image.Image, profile: object) -> Image.Image:
    """The picture in sRGB, converted by LittleCMS."""
    converted = ImageCms.profileToProfile(image, profile, ImageCms.createProfile("sRGB"), outputMode="RGB")
    if converted is None:
        raise OSError("LittleCMS gave nothing")
    return converted


def _planes(values: npt.NDArray[np.uint8] | npt.NDArray[np.uint16]) -> torch.Tensor:
    """`[H,W]` or `[H,W,C]` of 8 or 16 bits as `[1,C,H,W]` in 0..1."""
    stacked = values[..., None] if values.ndim == 2 else values
    tensor = torch.from_numpy(np.ascontiguousarray(stacked).astype(np.float32))[None].permute(0, 3, 1, 2).contiguous()
    return tensor / (65535 if values.dtype == np.uint16 else 255)
