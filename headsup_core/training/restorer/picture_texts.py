"""The texts of the pictures that are trained on: the good picture's for the distillation, the bad one's for the model.

As in OSEDiff, the frozen diffusion model is told what the clean picture shows; as in HeadsUp, the restorer is told what
a tagger sees in the bad one, which is all that it has in use. A text lies beside the photo (`photo.txt`,
`photo.lq.txt`), or is the tagger's, which looks at each picture once: what it said is kept in the folder of the run.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps

from ...host import Host
from ...image_files.sidecars import read_sidecar
from ...models.tagging.tagger import Tagger
from ..data.degradation import degrade, find_degradation
from ..data.pixels import as_image

BAD = ".lq"
"""Between a photo's name and `.txt`, for the tags of its degraded copy."""
LONGEST = 1024
"""Pixels to which a picture is reduced before it is degraded and tagged."""
FILES = "tags-*.jsonl"


@dataclass(frozen=True)
class TextPair:
    """What a picture shows: tags of the good one, and of the bad one; "" when nobody said."""

    good: str = ""
    bad: str = ""


class PictureTexts:
    """The texts by file.

    Args:
        folder: of the run, where the tagger's answers are kept; each process writes a file of its own and reads all.
        tagger: RAM, for good pictures; None: only what lies beside the photos.
        tagger_of_bad: RAM with DAPE; None: the same as for good ones.
        degradation: what makes a picture bad before it is tagged.
        host: where the taggers compute.
        process: index of this process.
    """

    def __init__(
        self,
        folder: Path,
        tagger: Tagger | None,
        tagger_of_bad: Tagger | None,
        degradation: str,
        host: Host,
        process: int = 0,
    ) -> None:
        self._good, self._bad = tagger, tagger_of_bad or tagger
        self._degradation, self._host = degradation, host
        self._own = folder / FILES.replace("*", str(process))
        self._kept: dict[str, dict[str, str]] = {}
        for path in sorted(folder.glob(FILES)):
            for line in path.read_text(encoding="utf-8").splitlines():
                self._remember(line)

    def of(self, file: Path) -> TextPair:
        """The texts of a photo. Raises `InputError` when a text beside it cannot be read."""
        good, bad = read_sidecar(file), read_sidecar(file, BAD)
        if (good is None or bad is None) and self._good is not None:
            told = self._told(file)
            good, bad = told["good"] if good is None else good, told["bad"] if bad is None else bad
        good = good or ""
        return TextPair(good, good if bad is None else bad)

    def _told(self, file: Path) -> dict[str, str]:
        """What the taggers say, looked up or asked."""
        key = _key(file)
        found = self._kept.get(key)
        if found is None:
            found = self._ask(file)
            self._kept[key] = found
            with self._own.open("a", encoding="utf-8") as kept:
                kept.write(json.dumps({"picture": key, **found}) + "\n")
        return found

    def _ask(self, file: Path) -> dict[str, str]:
        if self._good is None or self._bad is None:
            raise RuntimeError("there is no tagger to ask")
        with Image.open(file) as opened:
            picture = ImageOps.exif_transpose(opened).convert("RGB")
        picture.thumbnail((LONGEST, LONGEST), Image.Resampling.LANCZOS)
        whole = as_image(np.asarray(picture))
        scale = find_degradation(self._degradation).scale
        height, width = (max(scale, side // scale * scale) for side in whole.shape[-2:])
        small = whole[..., :height, :width]
        if small.shape[-2:] == (height, width):  # else thinner than one pixel of the bad one
            small = degrade(small, self._degradation, zlib.crc32(file.name.encode()))
        return {"good": self._good.tags(whole, host=self._host)[0], "bad": self._bad.tags(small, host=self._host)[0]}

    def _remember(self, line: str) -> None:
        """Take over a line; one that was cut short by the end of a run is asked again."""
        try:
            record: Any = json.loads(line)
            self._kept[str(record["picture"])] = {"good": str(record["good"]), "bad": str(record["bad"])}
        except (ValueError, KeyError, TypeError):
            return


def _key(file: Path) -> str:
    """The photo's place and size: another photo in its place is tagged anew."""
    return f"{file.absolute()} {file.stat().st_size}"


def states_of(texts: list[str], encode: Callable[[str], torch.Tensor], device: torch.device) -> torch.Tensor:
    """The text encoder's states `[B,n,D]` of a text for each sample."""
    return torch.cat([encode(text) for text in texts]).to(device)
