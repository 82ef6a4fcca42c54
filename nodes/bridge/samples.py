"""The pictures that the templates load, offered in ComfyUI's input folder."""

from __future__ import annotations

import logging
import os
import shutil
from contextlib import suppress
from pathlib import Path

from .comfy import folder_paths

SAMPLES = Path(__file__).resolve().parents[2] / "samples"


def offer_samples(samples: Path = SAMPLES) -> list[Path]:
    """Copy the pictures that are missing into the input folder, whole or not at all; what is there is never replaced.

    A folder that cannot be written is said in the log, and the nodes work all the same. Returns what was copied.
    """
    target = Path(folder_paths.get_input_directory())
    copied: list[Path] = []
    for source in sorted(samples.rglob("*.jpg")):
        path = target / source.relative_to(samples)
        if path.exists():
            continue
        part = path.with_name(f".{path.name}.{os.getpid()}.part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, part)
            part.replace(path)
        except OSError as error:
            logging.getLogger(__name__).warning(
                "The pictures of HeadsUp's templates could not be put into %s: %s", target, error
            )
            with suppress(OSError):
                part.unlink()
            break
        copied.append(path)
    return copied
