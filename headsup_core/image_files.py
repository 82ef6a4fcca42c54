"""Reading and writing pictures with Pillow."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageCms, ImageOps, PngImagePlugin, UnidentifiedImageError

from .errors import InputError
from .whole_files import whole_file

MAX_PIXELS = 178_956_970
"""Largest picture that is read, Pillow's own limit; a small file can claim any size and fill the memory."""

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
"""What counts as a picture in a folder; a file that is named itself may have any suffix."""

_PNG_END = b"\0\0\0\0IEND\xaeB`\x82"
# Suffix -> Pillow's format name.
_FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
# Longest side that the format can hold (libjpeg, libwebp).
_FORMAT_SIDES = {"JPEG": 65500, "WEBP": 16383}
# Whose further frames are pictures of their own; those of a phone's JPEG are depth and brightness of the first.
_ANIMATED = ("GIF", "PNG", "WEBP", "TIFF")
_ALPHA_MODES = ("LA", "La", "PA", "RGBA", "RGBa")


@dataclass(frozen=True)
class Picture:
    """A picture file's content: `rgb` `[1,3,H,W]` and `alpha` `[1,1,H,W]` or None, float32 in 0..1, sRGB.

    Attributes:
        frames: in the file; the picture is the first.
    """

    rgb: torch.Tensor
    alpha: torch.Tensor | None = None
    frames: int = 1


def picture_files(sources: Sequence[Path]) -> list[Path]:
    """`sources` with every folder replaced by its pictures, sorted, one level deep.

    Raises:
        InputError: a folder without pictures, or one that cannot be read.
    """
    files: list[Path] = []
    for source in sources:
        files += pictures_in(source) if source.is_dir() else [source]
    return files


def pictures_in(folder: Path, *, recursive: bool = False, without: Path | None = None) -> list[Path]:
    """The pictures in a folder (`PICTURE_SUFFIXES`), sorted; hidden files and folders are left out.

    Args:
        recursive: in the folders below it, too, but for those that are only linked to.
        without: a folder that is not searched.

    Raises:
        InputError: there are none, or a folder cannot be read.
    """
    excluded = None if without is None else without.resolve()
    found: list[Path] = []
    for here, folders, names in os.walk(folder, onerror=_unreadable):
        below = [name for name in folders if not name.startswith(".") and Path(here, name).resolve() != excluded]
        folders[:] = below if recursive else []
        found += [Path(here, name) for name in names if Path(name).suffix.lower() in PICTURE_SUFFIXES]
    found = sorted(path for path in found if not path.name.startswith("."))
    if not found:
        deeper = "" if recursive else " itself"
        raise InputError(f"folder {folder}{deeper} holds no pictures ({', '.join(PICTURE_SUFFIXES)})")
    return found


def _unreadable(error: OSError) -> None:
    raise InputError(f"folder {error.filename} cannot be read ({error.strerror}): allow it, or move it away") from error


def read_picture(path: str | os.PathLike[str]) -> Picture:
    """Read the first frame of a picture file, upright (EXIF orientation) and in sRGB (embedded ICC profile).

    Any mode of Pillow: grey, palette, CMYK, 1 bit and 16 bit become RGB; transparency becomes `alpha`.

    Raises:
        InputError: naming the file, when it is missing, a folder, empty, no picture, damaged, cut short, larger than
            `MAX_PIXELS`, or holds float values outside 0..1.
    """
    path = Path(path)
    try:
        if path.is_dir():
            raise InputError(f"{path} is a folder: give a picture file")
        if path.stat().st_size == 0:
            raise InputError(f"{path} is empty (0 bytes): the picture was not saved or not copied to its end")
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    try:
        with Image.open(path) as image:
            pixels = image.width * image.height
            if pixels > MAX_PIXELS:  # Pillow checks too, unless some other pack has switched that off
                raise InputError(
                    f"{path} has {image.width}x{image.height} = {pixels} pixels, the limit is {MAX_PIXELS}: "
                    "make it smaller first"
                )
            frames = int(getattr(image, "n_frames", 1)) if image.format in _ANIMATED else 1
            image.load()
            return replace(_to_picture(_upright(image), path), frames=frames)
    except (InputError, MemoryError):
        raise
    except UnidentifiedImageError as error:
        raise InputError(f"{path} is not a picture, or its first bytes are damaged: use PNG, JPEG or WebP") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise InputError(f"{path} is too large: {error} Make it smaller first") from error
    except Exception as error:  # a damaged file makes Pillow's decoders raise nearly any type
        raise InputError(f"{path} is damaged or cut short ({error}): save or copy it again") from error


def _upright(image: Image.Image) -> Image.Image:
    """Turn as EXIF says; damaged EXIF is no reason to refuse a picture that is itself sound."""
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # the EXIF parser raises SyntaxError, struct.error, TypeError, ... by the kind of damage
        return image


def _to_picture(image: Image.Image, path: Path) -> Picture:
    has_alpha = image.mode in _ALPHA_MODES or (image.mode in ("1", "L", "P", "RGB") and "transparency" in image.info)
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return Picture(_deep_grey(image, path))
    alpha = None
    if has_alpha:
        with_alpha = image.convert("RGBA")
        alpha = _to_tensor(with_alpha.getchannel("A"))
        if image.mode not in ("L", "RGB"):  # an ICC profile fits the colour channels alone
            image = with_alpha.convert("L" if image.mode in ("LA", "La") else "RGB")
    return Picture(_to_tensor(_to_srgb(image)), alpha)


def _deep_grey(image: Image.Image, path: Path) -> torch.Tensor:
    """16-bit integer (Pillow gives "I" for some of them) or 0..1 float grey as `[1,3,H,W]`."""
    values = np.asarray(image).astype(np.float32)
    if image.mode != "F":
        values /= 65535
    if not (values.min() >= 0 and values.max() <= 1):  # NaN too
        raise InputError(
            f"{path} holds {image.mode} grey values from {np.asarray(image).min()} to {np.asarray(image).max()}, "
            f"not {'0 to 1' if image.mode == 'F' else '0 to 65535'}: save it with 8 or 16 bits"
        )
    return torch.from_numpy(values).expand(1, 3, -1, -1).contiguous()


def _to_srgb(image: Image.Image) -> Image.Image:
    """`image` as sRGB by its ICC profile, or a plain conversion when there is none that can be used."""
    profile = image.info.get("icc_profile")
    if image.mode in ("1", "P"):
        image = image.convert("RGB")
    if profile:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
        except (OSError, ImageCms.PyCMSError):
            converted = None  # damaged, or made for other channels than the picture has
        if converted is not None:
            return converted
    return image.convert("RGB")


def _to_tensor(image: Image.Image) -> torch.Tensor:
    """An "L" or "RGB" picture as `[1,C,H,W]` in 0..1."""
    values = torch.from_numpy(np.array(image)).reshape(1, image.height, image.width, -1)
    return values.permute(0, 3, 1, 2).contiguous().float() / 255


def write_picture(
    path: str | os.PathLike[str],
    rgb: torch.Tensor,
    alpha: torch.Tensor | None = None,
    *,
    quality: int = 95,
    text: Mapping[str, str] | None = None,
) -> None:
    """Write one picture with 8 bits per channel, whole or not at all (a temporary file beside it is renamed).

    Args:
        path: its suffix chooses the format: .png, .jpg, .jpeg or .webp.
        rgb: `[1,3,H,W]`, clamped to 0..1 and rounded.
        alpha: `[1,1,H,W]` or None. JPEG has no transparency: there the picture is laid over white.
        quality: 1..100, of JPEG (full-resolution colour) and WebP.
        text: written into a PNG, for `picture_text`; other formats do without.

    Raises:
        InputError: unknown suffix, picture or quality out of range, a side that the format cannot hold, or a folder
            that cannot be written to.
    """
    path = Path(path)
    kind = _FORMATS.get(path.suffix.lower())
    if kind is None:
        raise InputError(f"{path}: cannot write {path.suffix or 'a file without suffix'}, use {', '.join(_FORMATS)}")
    if not 1 <= quality <= 100:
        raise InputError(f"quality {quality}: must be from 1 to 100")
    image = _to_pillow(rgb, alpha, flatten=kind == "JPEG")
    limit = _FORMAT_SIDES.get(kind)
    if limit and max(image.size) > limit:
        raise InputError(f"{path}: {image.width}x{image.height} px, but {kind} holds {limit} px a side: use .png")
    chunks = PngImagePlugin.PngInfo()
    for key, value in (text or {}).items():
        chunks.add_itxt(key, value)
    options = {
        "PNG": {"pnginfo": chunks},
        "JPEG": {"quality": quality, "subsampling": 0},
        "WEBP": {"quality": quality, "exact": True},
    }
    try:
        with whole_file(path) as temporary, temporary.open("xb") as file:
            image.save(file, format=kind, **options[kind])
    except (OSError, ValueError) as error:  # ValueError: the encoder's, or a NUL in the name
        reason = getattr(error, "strerror", None) or error
        raise InputError(
            f"cannot write {path.name} into folder {path.parent.absolute()} ({reason}): "
            "choose a folder that exists, may be written to and has room"
        ) from error


def picture_text(path: Path, key: str) -> str | None:
    """What `write_picture` wrote into a PNG as `text[key]`; None when nothing, or the file is no PNG or cut short."""
    try:
        with path.open("rb") as file:
            file.seek(-len(_PNG_END), os.SEEK_END)
            whole = file.read() == _PNG_END
        with Image.open(path) as image:
            value = image.info.get(key) if whole and image.format == "PNG" else None
    except Exception:  # a damaged file makes Pillow's parsers raise nearly any type
        return None
    return str(value) if isinstance(value, str) else None


def _to_pillow(rgb: torch.Tensor, alpha: torch.Tensor | None, *, flatten: bool) -> Image.Image:
    check_image(rgb)
    if rgb.shape[0] != 1:
        raise InputError(f"a file holds one picture, not a batch of {rgb.shape[0]}: write them one by one")
    rgb = rgb.detach().cpu().float().clamp(0, 1)
    if alpha is not None:
        if alpha.shape != (1, 1, *rgb.shape[-2:]):
            raise InputError(f"alpha {tuple(alpha.shape)} must be {(1, 1, *rgb.shape[-2:])}, the size of the picture")
        alpha = alpha.detach().cpu().float().clamp(0, 1)
        rgb = rgb * alpha + (1 - alpha) if flatten else torch.cat((rgb, alpha), dim=1)
    values = (rgb[0].permute(1, 2, 0) * 255).round().to(torch.uint8)
    return Image.fromarray(values.contiguous().numpy())


def check_image(image: torch.Tensor) -> None:
    """Refuse what cannot be a picture; values outside 0..1 are the caller's to clamp.

    Raises:
        InputError: not a float tensor `[B,3,H,W]` with every side at least 1, or NaN or infinite values in it (their
            number and the index in the batch are named).
    """
    if image.ndim != 4 or image.shape[1] != 3 or not image.is_floating_point():
        raise InputError(f"image is {image.dtype} {tuple(image.shape)}: must be float [B,3,H,W]")
    if 0 in image.shape:
        raise InputError(f"image {tuple(image.shape)} is empty: the batch and every side must be at least 1")
    for index, picture in enumerate(image):
        bad = picture.numel() - int(picture.isfinite().sum())
        if bad:
            which = "the image" if len(image) == 1 else f"image {index} of the batch of {len(image)}"
            raise InputError(
                f"{which} has {bad} NaN or infinite values of {picture.numel()}: "
                "look at the step before; a VAE in half precision often does that"
            )
