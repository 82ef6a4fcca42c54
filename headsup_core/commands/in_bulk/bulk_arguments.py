"""The options that say on which engine a command runs, of every command that can take millions of pictures."""

from __future__ import annotations

import argparse

from ...bulk.engine import Engine
from ...bulk.shards import SHARD_SIZE, SHARD_SUFFIXES


def add_engine_arguments(parser: argparse.ArgumentParser, *, plain: bool = True) -> None:
    """--engine, --ray-address, --workers, --cpus-per-worker, --gpus-per-worker, --dry-run, --report-sample.

    Args:
        plain: whether the command has a way of its own for a folder of pictures, which is its default then.
    """
    choices = ("plain", "local", "ray") if plain else ("local", "ray")
    words = "plain: one picture after the other; " if plain else ""
    parser.add_argument(
        "--engine",
        choices=choices,
        default=choices[0],
        help=f"{words}local: the inputs, resuming and reports of bulk work in this process; ray: the same on several "
        f"workers, machines or GPUs (docs/bulk.md; needs the ray extra) (default: {choices[0]})",
    )
    parser.add_argument("--ray-address", metavar="ADDRESS", help="of a running Ray, or auto (default: start one here)")
    parser.add_argument("--workers", type=int, metavar="N", help="with --engine ray (default: as many as fit)")
    parser.add_argument(
        "--cpus-per-worker", type=int, metavar="N", help="default: this machine's, shared out; 1 on a running Ray"
    )
    parser.add_argument("--gpus-per-worker", type=float, default=0.0, metavar="X", help="default 0; 0.5: two share one")
    if plain:
        parser.add_argument(
            "--dry-run", action="store_true", help="with --engine: only say how many pictures, workers and hours"
        )
        parser.add_argument(
            "--shards",
            choices=tuple(SHARD_SUFFIXES),
            help="with --engine: results in webdataset shards or Parquet files in place of single ones",
        )
        parser.add_argument(
            "--shard-size",
            type=int,
            default=SHARD_SIZE,
            metavar="N",
            help=f"pictures of a shard; those of one that was given stay together (default: {SHARD_SIZE})",
        )
        parser.add_argument(
            "--report-sample", type=int, default=100, metavar="N", help="pictures that --report shows with --engine"
        )


def engine_of(args: argparse.Namespace) -> Engine:
    """The engine of those options. Raises `InputError` when one is out of range."""
    return Engine(args.engine, args.workers, args.cpus_per_worker, args.gpus_per_worker, args.ray_address)
