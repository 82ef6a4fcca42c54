"""Fetch published face models into the folders where they are looked for; no other command downloads anything."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from ..downloads import download
from ..errors import HeadsUpError, InputError
from ..host import PlainHost
from ..published_files import DOWNLOADS, Download
from .hosting import add_folder_arguments, make_host

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    names = ", ".join(record.name for record in DOWNLOADS)
    parser.add_argument("names", nargs="*", metavar="NAME", help=names)
    parser.add_argument("--list", action="store_true", help="show names, sizes, licences and folders; no network")
    add_folder_arguments(parser)
    parser.set_defaults(device="cpu")


def run(args: argparse.Namespace) -> int:
    """Fetch each named file; one that fails is named at the end, the others are done. Status 2 when any failed."""
    host = make_host(args)
    if args.list:
        sys.stdout.write(_table(host))
        return 0
    records = _find(args.names)
    for record in records:
        if not host.model_folders(record.kind):
            raise InputError(
                f"no folder for {record.name}: give --models-dir (ComfyUI's `models` folder), or --extra-model-paths "
                f"with a line for {record.kind}"
            )
    failed: list[str] = []
    for record in records:
        log.info("%s: %s, %s. Licence: %s. %s.", *_describe(record))
        try:
            download(record, host.model_folders(record.kind), quiet=args.quiet)
        except HeadsUpError as error:
            failed.append(str(error))
    if failed:
        raise InputError("\n".join(failed))
    return 0


def _find(names: list[str]) -> list[Download]:
    """The records of those names, each once. Raises `InputError` for an unknown name, or none."""
    known = {record.name: record for record in DOWNLOADS}
    listed = f"choose from {', '.join(known)} (--list shows licences and sizes)"
    if not names:
        raise InputError(f"no NAME: {listed}")
    for name in names:
        if name not in known:
            raise InputError(f"{name!r} is no known name: {listed}")
    return [known[name] for name in dict.fromkeys(names)]


def _describe(record: Download) -> tuple[str, str, str, str, str]:
    use = "Commercial use allowed" if record.commercial else "Commercial use NOT allowed"
    return record.name, record.file, f"{record.size / 1e6:.1f} MB", record.licence, use


def _table(host: PlainHost) -> str:
    """One aligned line per file; without a models folder the places are relative to it."""
    rows = [("name", "size", "licence", "commercial use", "goes to")]
    for record in DOWNLOADS:
        folder = next(iter(host.model_folders(record.kind)), Path("models") / record.kind)
        use = "yes" if record.commercial else "no"
        rows.append((record.name, f"{record.size / 1e6:.1f} MB", record.licence, use, str(record.target(folder))))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "".join("  ".join(map(str.ljust, row, widths)).rstrip() + "\n" for row in rows)
