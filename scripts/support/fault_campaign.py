"""Inputs damaged at random, runs killed at random moments, a full disk: what must not happen is counted."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import numpy as np
import torch
from PIL import Image

from .pack import CORE_PARENT, link_package

Attempt = Callable[[Path], None]
"""Uses a damaged file; anything but the pack's own errors is a finding."""
SECONDS = 20
"""After which an input counts as hung."""


class Findings:
    """What went wrong: counted by kind, the first of each kind in words."""

    KINDS = ("tracebacks", "hangs", "half-written files", "lost pictures", "wrong pictures")

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter(dict.fromkeys(self.KINDS, 0))
        self.examples: list[str] = []

    def add(self, kind: str, example: str) -> None:
        self.counts[kind] += 1
        if self.counts[kind] <= 3:
            self.examples.append(f"{kind}: {example}")


def main(arguments: list[str] | None = None) -> int:
    """Run the campaign. Exit status 1 when anything was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10_000, help="damaged inputs")
    parser.add_argument("--kills", type=int, default=100, help="runs that are killed")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(arguments)
    link_package()
    sys.path.insert(0, str(CORE_PARENT))
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    findings = Findings()
    with tempfile.TemporaryDirectory() as given:
        folder = Path(given)
        uses = damaged_inputs(folder, args.count, args.seed, findings)
        killed_runs(folder, args.kills, args.seed, findings)
        disk = full_disk(folder, findings)
    lines = [f"{number} damaged {name}" for name, number in uses.items()]
    lines += [f"{args.kills} killed runs", disk, *(f"{kind}: {number}" for kind, number in findings.counts.items())]
    sys.stdout.write("\n".join([*lines, *findings.examples]) + "\n")
    return 1 if findings.counts.total() else 0


def damaged_inputs(folder: Path, count: int, seed: int, findings: Findings) -> Counter[str]:
    """Damage and use `count` inputs of all kinds in turn."""
    chance = random.Random(seed)  # noqa: S311 - no secret
    seeds = _sound_files(folder)
    uses: Counter[str] = Counter()
    path = folder / "damaged"
    previous = signal.signal(signal.SIGALRM, _hung)
    try:
        for number in range(count):
            name, suffix, content, attempt = seeds[number % len(seeds)]
            uses[name] += 1
            target = path.with_suffix(suffix)
            target.write_bytes(damage(content, chance))
            signal.alarm(SECONDS)
            try:
                attempt(target)
            except TimeoutError:
                findings.add("hangs", f"{name}, input {number}")
            except AssertionError as error:
                findings.add("wrong pictures", f"{name}, input {number}: {error}")
            except Exception as error:  # that is what is looked for
                findings.add("tracebacks", f"{name}, input {number}: {type(error).__name__}: {error}")
            finally:
                signal.alarm(0)
    finally:
        signal.signal(signal.SIGALRM, previous)
    return uses


def _hung(_number: int, _frame: FrameType | None) -> None:
    raise TimeoutError


def damage(content: bytes, chance: random.Random) -> bytes:
    """Bytes changed, cut out, doubled or cut off; headers more often than the rest."""
    data = bytearray(content)
    for _ in range(chance.choice((1, 1, 2, 4, 16))):
        at = chance.randrange(min(len(data), 600) if chance.random() < 0.7 else len(data))
        what = chance.random()
        if what < 0.6:
            data[at] = chance.choice((0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)))
        elif what < 0.75:
            del data[at : at + chance.randrange(1, 40)]
        elif what < 0.9:
            data[at:at] = data[at : at + chance.randrange(1, 40)]
        else:
            del data[max(1, at) :]
        if not data:
            return b"\0"
    return bytes(data)


def _sound_files(folder: Path) -> list[tuple[str, str, bytes, Attempt]]:
    """Name, suffix and content of files that are sound, and how they are used."""
    from headsup_core.commands.hosting import read_extra_model_paths
    from headsup_core.commands.upscaling.records import Settings, is_own_result, why_again
    from headsup_core.errors import HeadsUpError
    from headsup_core.identity.identity import Identity
    from headsup_core.identity.identity_file import load_identity, save_identity
    from headsup_core.image_files import Manner, read_picture, write_picture
    from headsup_core.models.file_formats.weights_files import read_weights

    values = np.random.default_rng(0).integers(0, 256, (24, 20, 3)).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112], exif[0x013B], exif[0x8769] = 6, "Ada", {0x9003: "2024:01:01 00:00:00"}
    files: list[tuple[str, str, bytes, Attempt]] = []

    def use_picture(path: Path) -> None:
        try:
            picture = read_picture(path)
            manner = Manner(metadata=picture.metadata, gamut=picture.gamut)
            write_picture(folder / "copy.png", picture.rgb, picture.alpha, manner=manner)
        except HeadsUpError:
            return
        assert bool(picture.rgb.isfinite().all()), "values that are no numbers"  # noqa: S101 - counted
        assert torch.equal(picture.rgb, picture.rgb.clamp(0, 1)), "values outside 0..1"  # noqa: S101 - counted

    for kind, suffix in (("PNG", ".png"), ("JPEG", ".jpg"), ("WEBP", ".webp"), ("TIFF", ".tif"), ("GIF", ".gif")):
        file = io.BytesIO()
        Image.fromarray(values).save(file, kind, **({} if kind == "GIF" else {"exif": exif.tobytes()}))
        files.append((f"{kind} files", suffix, file.getvalue(), use_picture))
    for suffix in (".png", ".tif"):
        deep = folder / f"deep{suffix}"
        tensor = torch.from_numpy(values.astype(np.float32) / 255).permute(2, 0, 1)[None]
        write_picture(deep, tensor, tensor[:, :1], manner=Manner(bits=16, text={"headsup": "{}"}))
        files.append((f"16-bit {suffix} files", suffix, deep.read_bytes(), use_picture))

    def guarded(use: Callable[[Path], object]) -> Attempt:
        def attempt(path: Path) -> None:
            with contextlib.suppress(HeadsUpError):
                use(path)

        return attempt

    vector = torch.nn.functional.normalize(torch.ones(128), dim=0)
    person = Identity("Ada", {"dlib": vector}, torch.rand(1, 3, 512, 512))
    saved = save_identity(folder, person)
    files.append(("identity files", ".safetensors", saved.read_bytes(), guarded(load_identity)))
    read_all = guarded(lambda path: read_weights(path, lambda _: True))
    files.append(("model files", ".safetensors", saved.read_bytes(), read_all))
    paths = b"a:\n  base_path: $HOME/x\n  is_default: true\n  headsup: |\n    one\n    two\nb:\n  checkpoints: ~/y\n"
    files.append(("YAML files", ".yaml", paths, guarded(read_extra_model_paths)))
    source = folder / "source.png"
    Image.fromarray(values).save(source)
    record = json.dumps({"picture": "0" * 64, "place": "0", "settings": {"scale": 4}}).encode()

    def use_record(path: Path) -> None:
        text = path.read_bytes().decode("latin-1")
        path.unlink()
        result = path.with_suffix(".png")
        write_picture(result, torch.zeros(1, 3, 2, 2), manner=Manner(text={"headsup": text}))
        assert not is_own_result(result, source), "another picture's result taken for its own"  # noqa: S101 - counted
        guarded(lambda one: why_again(one, source, Settings({})))(result)

    files.append(("records", ".txt", record, use_record))
    return files


def killed_runs(folder: Path, kills: int, seed: int, findings: Findings) -> None:
    """Kill a batch at random moments; whatever lies in its folder then is whole, and nothing given is touched."""
    if not kills:
        return
    chance = random.Random(seed)  # noqa: S311 - no secret
    given, output = folder / "in", folder / "out"
    given.mkdir()
    output.mkdir()
    for number in range(12):
        values = np.random.default_rng(number).integers(0, 256, (150, 150, 3)).astype(np.uint8)
        Image.fromarray(values).save(given / f"{number:02}.jpg")
    Image.fromarray(values).save(output / "03.png")  # of somebody else
    before = {path: path.read_bytes() for path in (*given.iterdir(), output / "03.png")}
    command = [sys.executable, "-m", "headsup_core", "upscale", str(given), "--output", str(output)]
    command += ["--strength", "0", "--no-faces", "--quiet", "--resume"]
    environment = os.environ | {"PYTHONPATH": str(CORE_PARENT), "OMP_NUM_THREADS": "1"}
    for number in range(kills):
        if number % 4 == 0:
            for path in output.glob("*.jpg.png"):
                path.unlink()
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        names = len(list(output.iterdir()))
        started = time.monotonic()
        while process.poll() is None and len(list(output.iterdir())) == names and time.monotonic() - started < 60:
            time.sleep(0.002)  # until it writes
        time.sleep(chance.random() * 0.3)
        process.send_signal(signal.SIGKILL)
        process.wait()
        for path in output.glob("*.png"):
            try:
                with Image.open(path) as image:
                    image.load()
            except Exception as error:  # that is what is looked for
                findings.add("half-written files", f"{path.name} after kill {number}: {error}")
        for path, content in before.items():
            if not path.exists() or path.read_bytes() != content:
                findings.add("lost pictures", f"{path.name} after kill {number}")
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode != 0 or len(list(output.glob("*.png"))) != len(before):
        findings.add("lost pictures", f"the last run: status {done.returncode}, {done.stderr[-300:]}")
    if left := [path.name for path in output.iterdir() if path.suffix == ".tmp"]:
        findings.add("half-written files", f"left over: {left}")


def full_disk(folder: Path, findings: Findings) -> str:
    """Write to a disk of 256 KB until it is full, where one may be made; in words what was done."""
    from headsup_core.errors import InputError
    from headsup_core.image_files import write_picture

    disk = folder / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "none", str(disk)]
    try:
        mounted = subprocess.run(mount, capture_output=True).returncode == 0
    except OSError:
        mounted = False
    if not mounted:
        return "no full disk (that takes root)"
    try:
        whole = 0
        for number in range(40):
            try:
                write_picture(disk / f"{number}.png", torch.rand(1, 3, 80, 80))
                whole += 1
            except InputError:
                continue
            except Exception as error:  # that is what is looked for
                findings.add("tracebacks", f"full disk: {type(error).__name__}: {error}")
        names = sorted(path.name for path in disk.iterdir())
        if len(names) != whole:
            findings.add("half-written files", f"full disk: {names}")
        return f"a full disk ({whole} of 40 pictures fitted)"
    finally:
        subprocess.run(["umount", str(disk)], capture_output=True, check=False)
