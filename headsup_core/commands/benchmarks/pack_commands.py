"""`benchmark performance`, `costs`, `plans`, `artefacts` and `groups`: what this pack's own work takes, and leaves."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from ...errors import InputError
from ...models.loading import find_model_file
from ..hosting import make_host
from .shared_arguments import Subcommands, add_subcommand, finish

SIDES = "512,1024,2048,4096"


def add_subcommands(subcommands: Subcommands) -> None:
    performance = add_subcommand(subcommands, "performance", _performance)
    performance.add_argument("model", help="a model that is complete in itself, or random-sd21-quarter")
    performance.add_argument("--tables", default="sizes,ratios,overlap,codec", metavar="LIST", help="which tables")
    performance.add_argument("--sides", default=SIDES, metavar="LIST", help=f"output sizes in px (default {SIDES})")

    costs = add_subcommand(subcommands, "costs", _costs)
    costs.add_argument("model", help="a model that is complete in itself")
    costs.add_argument("--comfyui", type=Path, metavar="DIR", help="time loading the pack in this ComfyUI's start")

    plans = add_subcommand(subcommands, "plans", _plans)
    plans.add_argument("models", nargs="+", metavar="MODEL", help="as for performance")
    plans.add_argument("--sides", default=SIDES, metavar="LIST", help=f"output sizes in px (default {SIDES})")
    plans.add_argument("--tile", type=int, default=0, metavar="N", help="as upscale's --tile")

    rehearsal = add_subcommand(subcommands, "rehearsal", _rehearsal)
    rehearsal.add_argument("config", type=Path, help="of a training of adapters, as headsup-sd21-stage1.yaml")
    rehearsal.add_argument("--steps", type=int, default=2, metavar="N", help="of the training (default 2)")
    rehearsal.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help="as of `train`")
    rehearsal.add_argument("--quarter", action="store_true", help="a base of a quarter of the width")

    artefacts = add_subcommand(subcommands, "artefacts", _artefacts)
    artefacts.add_argument("model", help="as for performance")
    artefacts.add_argument("pictures", type=Path, help="folder of clean pictures")
    shapes = "1024,2048,1531x977"
    artefacts.add_argument("--shapes", default=shapes, metavar="LIST", help="longer sides, WIDTHxHEIGHT")

    groups = add_subcommand(subcommands, "groups", _groups)
    groups.add_argument("model", help="a model that is complete in itself")
    groups.add_argument("pictures", type=Path, help="folder of clean portraits, one person in each")
    groups.add_argument("--people", type=int, nargs="+", default=[5, 40], metavar="N", help="in each picture")
    groups.add_argument("--size", type=int, default=512, help="width of the pictures")


def _rehearsal(args: argparse.Namespace) -> int:
    """Seconds and memory of a training, part by part, on random weights of Stable Diffusion 2.1's shape."""
    from ...benchmark.measuring.training_rehearsal import rehearse
    from ..learning.train import overrides_of

    overrides = overrides_of(args.set)
    if "steps" in overrides:
        raise InputError("--set steps=: a rehearsal is told by --steps how many to train")
    if args.steps < 1:
        raise InputError(f"--steps {args.steps}: must be at least 1")
    done = rehearse(args.config, args.steps, make_host(args).device, overrides, quarter=args.quarter)
    return finish(args.output, "rehearsal.md", done.table())


def _performance(args: argparse.Namespace) -> int:
    """Time and memory against the picture's size, tiles, overlap and the codec's ways."""
    from ...benchmark.measuring.codec_ways import codec_table
    from ...benchmark.measuring.decoders import decoder_table
    from ...benchmark.measuring.performance import overlap_table, ratio_table, size_table
    from ...benchmark.measuring.random_model import NAME

    model, sides = _measured(args, args.model), _sides(args.sides)
    makers: dict[str, Callable[[], str]] = {
        "sizes": lambda: size_table(model, sides),
        "ratios": lambda: ratio_table(model, 1),
        "overlap": lambda: overlap_table(model, 1024, 512, (32, 64, 96, 128)),
        "codec": lambda: codec_table(sides[: len(sides) - 1] or sides),
        "decoders": lambda: decoder_table(sides[-1], sides[0]),
    }
    asked: list[str] = args.tables.split(",")
    if unknown := [table for table in asked if table not in makers]:
        raise InputError(f"--tables {unknown[0]}: choose from {', '.join(makers)}")
    tables = [makers[table]() for table in asked if table not in ("codec", "decoders") or args.model == NAME]
    return finish(args.output, f"performance-{Path(model).stem}.md", "\n\n".join(tables) + "\n")


def _costs(args: argparse.Namespace) -> int:
    """Seconds and memory beside Real-ESRGAN's, ratios of settings, and what loading the pack adds."""
    from ...benchmark.measuring.performance import ratio_table
    from ...benchmark.measuring.system_costs import cost_table, import_seconds

    model = str(find_model_file(args.model, make_host(args)).resolve())
    costs = cost_table(["realesrgan-x4plus", model])
    pack = Path(__file__).resolve().parents[3]
    added = import_seconds(pack, args.comfyui)
    place = "ComfyUI's start" if args.comfyui else "a process that has torch"
    table = f"{costs}\n\n{ratio_table(model)}\n\nLoading the pack adds {added:.2f} s to {place}.\n"
    return finish(args.output, "costs.md", table)


def _plans(args: argparse.Namespace) -> int:
    """How far plans are off: planned against measured memory and time."""
    from ...benchmark.measuring.estimates import estimate_table

    models = [_measured(args, name) for name in args.models]
    return finish(args.output, "plans.md", estimate_table(models, _sides(args.sides), args.tile) + "\n")


def _artefacts(args: argparse.Namespace) -> int:
    """Seams at tile borders and periodic texture, as numbers."""
    from ...benchmark.measuring.artefacts import artefact_table

    sizes = [_shape(text) for text in args.shapes.split(",")]
    return finish(args.output, "artefacts.md", artefact_table(args.model, args.pictures, make_host(args), sizes))


def _groups(args: argparse.Namespace) -> int:
    """What the faces of made group photos cost."""
    from ...benchmark.measuring.group_photo import group_table
    from ...faces.registry import load_face_analyzer

    host = make_host(args)
    table = group_table(args.model, args.pictures, load_face_analyzer(host=host), host, args.people, args.size)
    return finish(args.output, "groups.md", table)


def _measured(args: argparse.Namespace, name: str) -> str:
    """The model's file, for other processes; the random model keeps its name. Raises `ModelFileError` without one."""
    from ...benchmark.measuring.random_model import NAME

    return name if name == NAME else str(find_model_file(name, make_host(args)).resolve())


def _shape(text: str) -> tuple[int | None, int]:
    """(height, width) of WIDTHxHEIGHT, or (None, longer side)."""
    parts = text.split("x")
    if len(parts) > 2 or not all(part.isdecimal() and int(part) >= 64 for part in parts):
        raise InputError(f"--shapes {text!r}: give a longer side or WIDTHxHEIGHT of 64 px or more, as 1024 or 1531x977")
    width, *height = map(int, parts)
    return (height[0] if height else None), width


def _sides(text: str) -> list[int]:
    sides = [int(part) for part in text.split(",") if part.strip().isdecimal()]
    if not sides or min(sides) < 64 or len(sides) != len(text.split(",")):
        raise InputError(f"--sides {text!r}: give output sizes of 64 px or more, for instance 512,1024")
    return sides
