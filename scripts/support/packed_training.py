"""The program inside a package of `scripts/train_on_gpu`: trains there, with nothing but Python and PyTorch.

    python3 train.py --minutes 8 --output OUT

It trains until the minutes are over, the learning rate falling over their last third, and writes the averaged weights
as `weights.safetensors.part1` and so on, the run's log and its last sheet of samples into OUT.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import os
import shutil
import sys
import tarfile
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
CONTENT = HERE / "content.tar.gz"
PARTS = "weights.safetensors.part"
MANY = 1_000_000
"""More steps than there is time for: the minutes end the run."""
MIB = 2**20


def main(arguments: Sequence[str] | None = None) -> int:
    started = time.monotonic()
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--minutes", type=float, required=True, help="of training, unpacking and measuring included")
    parser.add_argument("--spare", type=float, default=0.7, metavar="MINUTES", help="for writing it all (default 0.7)")
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER", help="where the weights go, in parts")
    parser.add_argument("--part-mib", type=float, default=15.0, metavar="MIB", help="most of one part (default 15)")
    parser.add_argument("--steps", type=int, default=MANY, help="most steps (default: until the minutes are over)")
    parser.add_argument("--batch", type=int, help="samples of a step (default: the configuration's)")
    parser.add_argument("--workers", type=int, default=max(0, (os.cpu_count() or 1) - 2), help="prepare samples")
    parser.add_argument("--precision", choices=("bf16", "no"), help="default: bf16 on a GPU")
    parser.add_argument("--device", help="default: the GPU if there is one")
    parser.add_argument("--work", type=Path, metavar="FOLDER", help="for unpacking and the run (default: a new one)")
    args = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    work = args.work or Path(tempfile.mkdtemp(prefix="headsup-training-"))
    args.output.mkdir(parents=True, exist_ok=True)
    _unpack(work)
    exported = _train(args, work, started)
    for number, part in enumerate(_split(exported.read_bytes(), int(args.part_mib * MIB)), 1):
        (args.output / f"{PARTS}{number}").write_bytes(part)
    digest = hashlib.sha256(exported.read_bytes()).hexdigest()
    (args.output / "weights.sha256").write_text(digest + "\n")
    for kept in (work / "run" / "log.csv", *sorted((work / "run" / "samples").glob("*"))[-1:]):
        shutil.copy(kept, args.output)
    logging.getLogger(__name__).info("%s in %s after %.1f minutes", digest, args.output, _minutes_since(started))
    return 0


def _unpack(work: Path) -> None:
    with tarfile.open(CONTENT) as packed:
        packed.extractall(work, filter="data")
    sys.path.insert(0, str(work / "code"))


def _train(args: argparse.Namespace, work: Path, started: float) -> Path:
    """The exported weights of as many steps as fit."""
    from headsup_core.commands.learning.train import RESTORER, kinds_of_training
    from headsup_core.host import pick_device
    from headsup_core.training.trainer import Trainer

    device = pick_device(args.device)
    record: dict[str, Any] = json.loads((work / "config.json").read_text())
    make_config, make_subject = kinds_of_training()[record.pop("trains", RESTORER)]
    minutes = args.minutes - _minutes_since(started) - args.spare
    if minutes <= 0:
        raise SystemExit(f"{args.minutes:g} minutes are over before the first step")
    record |= {
        "minutes": minutes,
        "steps": args.steps,
        "decay_steps": 0,
        "checkpoint_every": MANY,
        "sample_every": MANY,
    }
    record |= {"precision": args.precision or ("bf16" if device.type == "cuda" else "no"), "workers": args.workers}
    record |= {} if args.batch is None else {"batch": args.batch}
    trainer = Trainer(make_subject, make_config.from_record(record, work), work / "run", device)
    trainer.train()
    exported = work / "weights.safetensors"
    trainer.export(exported)
    trainer.finish()
    return exported


def _split(content: bytes, most: int) -> list[bytes]:
    return [content[start : start + most] for start in range(0, len(content), most)]


def _minutes_since(started: float) -> float:
    return (time.monotonic() - started) / 60


if __name__ == "__main__":
    sys.exit(main())
