"""Files damaged at random: each is used as a user's would be."""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import numpy as np
import torch
from PIL import Image

from headsup_core.commands.hosting import read_extra_model_paths
from headsup_core.commands.upscaling.records import Settings, is_own_result, why_again
from headsup_core.errors import HeadsUpError
from headsup_core.identity.identity import Identity
from headsup_core.identity.identity_file import load_identity, save_identity
from headsup_core.image_files import Manner, read_picture, write_picture
from headsup_core.models.file_formats.weights_files import read_weights

from .findings import Findings, Steps

Attempt = Callable[[Path], None]
"""Uses a damaged file; anything but the pack's own errors is a finding."""
SECONDS = 20
"""After which an input counts as hung."""


def damaged_inputs(folder: Path, count: int, seed: int, findings: Findings) -> Counter[str]:
    """Damage and use `count` inputs of all kinds in turn."""
    chance = random.Random(seed)  # noqa: S311 - no secret
    seeds = _sound_files(folder)
    uses: Counter[str] = Counter()
    path = folder / "damaged"
    steps = Steps("damaged inputs", count)
    previous = signal.signal(signal.SIGALRM, _hung)
    said = os.dup(2)
    try:
        with open(os.devnull, "wb") as nowhere:  # libpng, libtiff and OpenCV say much by themselves
            os.dup2(nowhere.fileno(), 2)
        for number in range(count):
            steps.advance()
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
        os.dup2(said, 2)
        os.close(said)
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
