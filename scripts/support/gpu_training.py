"""Packing a training for a machine with a GPU and no network, and joining what comes back."""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import importlib.util
import io
import json
import math
import shutil
import sys
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .console import ScriptError, say
from .packed_training import CONTENT, MIB, PARTS
from .paths import ROOT

PACKAGES = ("diffusers", "lpips", "piq")
"""Pure Python, needed to train, and seldom there where PyTorch is."""
LEAST_SIDE = 256
"""Pixels to which pictures are reduced at the most."""
QUALITY = 92
STEP = 0.85
CODE_BYTES = 400_000
"""Larger files beside the code, such as bundled models, stay here: a run that starts from one names it as `init`."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    actions = parser.add_subparsers(dest="action", required=True)
    pack = actions.add_parser("pack", help="code, configuration, weights and reduced pictures in one folder")
    pack.add_argument("--config", type=Path, required=True, help="YAML, see headsup_core/training/configs")
    pack.add_argument("--data", type=Path, default=Path(), help="folder that its paths start from")
    pack.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help="override one field (YAML)")
    pack.add_argument("--mib", type=float, default=58.0, help="most that the folder may take (default 58)")
    pack.add_argument("--output", type=Path, required=True, metavar="FOLDER")
    join = actions.add_parser("join", help="the parts that came back -> one model file")
    join.add_argument("folder", type=Path, help="what `train.py --output` wrote")
    join.add_argument("--output", type=Path, required=True, metavar="FILE.safetensors")
    args = parser.parse_args(arguments)
    try:
        _pack(args) if args.action == "pack" else _join(args)
    except ScriptError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0


def _pack(args: argparse.Namespace) -> None:
    sys.path.insert(0, str(ROOT))
    import yaml

    from headsup_core.errors import HeadsUpError
    from headsup_core.training.run_config import read_record

    overrides = {name: yaml.safe_load(value) for name, _, value in (one.partition("=") for one in args.set)}
    try:
        record = read_record(args.config, overrides)
        with tempfile.TemporaryDirectory() as made:
            work = Path(made)
            _copy_code(work / "code")
            _copy_files(record, args.data, work)
            sources = _with_pictures(record, args.data)
            room = int(args.mib * MIB) - _packed_bytes(work)
            _reduce_to(sources, work, room)
            record["sources"] = [source for source, _ in sources]
            (work / "config.json").write_text(json.dumps(record, indent=1))
            args.output.mkdir(parents=True, exist_ok=True)
            _write_tar(work, args.output / CONTENT.name)
    except HeadsUpError as error:
        raise ScriptError(str(error)) from error
    shutil.copy(Path(__file__).with_name("packed_training.py"), args.output / "train.py")
    size = sum(file.stat().st_size for file in args.output.iterdir())
    say(f"{args.output}: {size / MIB:.1f} MiB; there: python3 train.py --minutes N --output OUT")


def _copy_code(target: Path) -> None:
    """headsup_core without its larger files, and the packages that a machine with PyTorch seldom has."""

    def ignored(folder: str, names: list[str]) -> set[str]:
        large = {name for name in names if _is_large(Path(folder) / name)}
        return large | {name for name in names if name == "__pycache__"}

    shutil.copytree(ROOT / "headsup_core", target / "headsup_core", ignore=ignored)
    for name in PACKAGES:
        found = importlib.util.find_spec(name)
        if found is None or found.origin is None:
            raise ScriptError(f"{name} is not installed: it is packed, too (pip install {name})")
        shutil.copytree(Path(found.origin).parent, target / name, ignore=ignored)
        about = importlib.metadata.distribution(name)
        folder = target / f"{name}-{about.version}.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(about.read_text("METADATA") or "")


def _is_large(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > CODE_BYTES and path.suffix != ".py"


def _copy_files(record: dict[str, Any], data: Path, work: Path) -> None:
    """The files that the configuration names, with those beside them that belong to them; `init` starts from here."""
    folder = work / "files"
    folder.mkdir()

    def packed(name: str, root: Path) -> str:
        file = root / name
        if not file.is_file():
            raise ScriptError(f"{file}, which the configuration names, is missing")
        for one in {file, *file.parent.glob(f"{file.stem}.param")}:
            shutil.copy(one, folder / one.name)
        return f"files/{file.name}"

    for key in ("teacher", "lpips_backbone"):
        if record.get(key):
            record[key] = packed(record[key], data)
    if record.get("recogniser"):
        named = record["recogniser"]
        record["recogniser"] = packed(named, data) if isinstance(named, str) else [packed(one, data) for one in named]
    if record.get("init"):
        record["init"] = packed(record["init"], Path())


Source = tuple[dict[str, Any], list[Path]]


def _with_pictures(record: Mapping[str, Any], data: Path) -> list[Source]:
    """Each source as it is written into the package, and its pictures; who is held out stays here."""
    from headsup_core.training.data.people_by_name import list_pictures, split_by_person

    found: list[Source] = []
    for number, source in enumerate(record["sources"]):
        if not (data / source["folder"]).is_dir():
            raise ScriptError(f"{data / source['folder']} is no folder: only folders of pictures can be packed")
        pictures, _ = split_by_person(list_pictures(data / source["folder"]), source.get("hold_out", 0))
        found.append(({**source, "folder": f"pictures/{number}", "hold_out": 0}, pictures))
    return found


def _reduce_to(sources: Sequence[Source], work: Path, room: int) -> None:
    """Write all pictures as JPEG, at the largest share of their size at which they fit into `room` bytes."""
    share = 1.0
    while True:
        taken = 0
        for source, pictures in sources:
            folder = work / source["folder"]
            folder.mkdir(parents=True, exist_ok=True)
            for picture, name in zip(pictures, _names(pictures), strict=True):
                encoded = _encoded(picture, source.get("longest_side", 1024), share)
                taken += len(encoded)
                (folder / name).write_bytes(encoded)
            if taken > room:
                break
        if taken <= room:
            say(f"{sum(len(each) for _, each in sources)} pictures in {taken / MIB:.1f} MiB, sides times {share:.2f}")
            return
        if room <= 0 or share < 0.1:
            raise ScriptError(f"the pictures do not fit: {room / MIB:.1f} MiB are left for them; give a larger --mib")
        share *= STEP


def _names(pictures: Sequence[Path]) -> list[str]:
    """A name for each picture as JPEG, of the same person: what stands before the first underscore stays."""
    counts: dict[str, int] = {}
    names: list[str] = []
    for picture in pictures:
        counts[picture.stem] = counts.get(picture.stem, 0) + 1
        again = counts[picture.stem]
        names.append(f"{picture.stem}.jpg" if again == 1 else f"{picture.stem}_again{again}.jpg")
    return names


def _encoded(picture: Path, longest_side: int, share: float) -> bytes:
    from PIL import Image, ImageOps

    with Image.open(picture) as opened:
        image = ImageOps.exif_transpose(opened).convert("RGB")
    side = max(LEAST_SIDE, math.ceil(min(max(image.size), longest_side) * share))
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=QUALITY, subsampling=0)
    return buffer.getvalue()


def _packed_bytes(work: Path) -> int:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "content.tar.gz"
        _write_tar(work, path)
        return path.stat().st_size


def _write_tar(work: Path, target: Path) -> None:
    with tarfile.open(target, "w:gz", compresslevel=6) as tar:
        for entry in sorted(work.iterdir()):
            tar.add(entry, arcname=entry.name)


def _join(args: argparse.Namespace) -> None:
    parts = sorted(args.folder.glob(f"{PARTS}*"), key=lambda path: int(path.name.removeprefix(PARTS)))
    if not parts:
        raise ScriptError(f"{args.folder} holds no {PARTS}1")
    content = b"".join(part.read_bytes() for part in parts)
    wanted = (args.folder / "weights.sha256").read_text().strip()
    if hashlib.sha256(content).hexdigest() != wanted:
        raise ScriptError(f"{len(parts)} parts of {len(content)} bytes are not what was written: is one missing?")
    if args.output.exists():
        raise ScriptError(f"{args.output} exists: choose another name")
    args.output.write_bytes(content)
    say(f"{args.output}: {len(content) / MIB:.1f} MiB")
