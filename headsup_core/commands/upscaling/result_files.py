"""The options that say how a result is written: its format, its depth, and what is said in it about the photo."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from ...image_files import FORMAT_SUFFIXES, Manner, Picture, check_format

METADATA = ("keep", "keep-location", "none")


def add_file_arguments(parser: argparse.ArgumentParser) -> None:
    """--format, --bits, --quality, --metadata."""
    parser.add_argument("--format", choices=tuple(FORMAT_SUFFIXES), default="png", help="of the results (default: png)")
    parser.add_argument(
        "--bits", type=int, choices=(8, 16), default=8, help="per channel; 16 in png and tiff (default: 8)"
    )
    parser.add_argument("--quality", type=int, default=95, metavar="N", help="1 to 100, of jpeg, webp and avif")
    parser.add_argument(
        "--metadata",
        choices=METADATA,
        default="keep",
        help="EXIF, XMP, IPTC and colour profile of the photo: keep them but for the place where it was taken (GPS), "
        "keep that, too, or none of them (default: keep)",
    )


def checked_suffix(args: argparse.Namespace) -> str:
    """The suffix of the results. Raises `InputError` when the format cannot hold what is asked."""
    suffix = FORMAT_SUFFIXES[args.format]
    check_format(suffix, Manner(quality=args.quality, bits=args.bits), f"--format {args.format}")
    return suffix


def lost_in_writing(picture: Picture, args: argparse.Namespace) -> list[str]:
    """What of `picture` its result will not hold, since the format or the depth that was asked for does not."""
    lost: list[str] = []
    if picture.bits > args.bits:
        deep = "" if args.format in ("png", "tiff") else " --format png"
        lost.append(f"the file has 16 bits per channel, the result 8: --bits 16{deep} keeps them")
    if picture.alpha is not None and args.format == "jpeg":
        lost.append("JPEG has no transparency: the result lies over white, another --format keeps it")
    return lost


def manner_of(picture: Picture, args: argparse.Namespace, texts: Mapping[str, str]) -> Manner:
    """How the result of `picture` is written."""
    plain = Manner(quality=args.quality, bits=args.bits, text=texts)
    if args.metadata == "none":
        return plain
    metadata = picture.metadata if args.metadata == "keep-location" else picture.metadata.without_place()
    return Manner(plain.quality, plain.bits, plain.text, metadata, picture.gamut)
