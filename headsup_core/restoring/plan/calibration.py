"""What tiles of a model cost on a device, as measured once (`calibrating`) and kept in the user's cache folder."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from ...models.one_step import OneStepModel
from ...whole_files import whole_file

VERSION = 4
CACHE_VARIABLE = "HEADSUP_CACHE"
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StageCost:
    """One network on tiles of rising size.

    Attributes:
        pixels: of the tiles, in output pixels.
        bytes: peak memory above the weights, with the tile that goes in and the one that comes out.
        seconds: of one call.
    """

    pixels: tuple[int, ...]
    bytes: tuple[float, ...]
    seconds: tuple[float, ...]

    def bytes_at(self, pixels: float) -> float:
        """For tiles of `pixels` together: between the measured ones a straight line, beyond them in proportion."""
        return _between(pixels, self.pixels, self.bytes)

    def seconds_at(self, pixels: float) -> float:
        """As `bytes_at`."""
        return _between(pixels, self.pixels, self.seconds)


@dataclass(frozen=True)
class PartsCost:
    """The codec over parts of a whole picture (`models.codecs.exact_parts`).

    Attributes:
        pixels: of the measured parts, in pixels of the picture. Small ones take more a pixel than large ones, since the
            codec's deep levels are not cut below a certain size.
        bytes: peak memory of one part, beside the whole activations (`Codec.parts_memory`).
        encode_seconds, decode_seconds: of one pixel of the picture.
    """

    pixels: tuple[int, ...]
    bytes: tuple[float, ...]
    encode_seconds: float
    decode_seconds: float

    def bytes_at(self, pixels: float) -> float:
        """As `StageCost.bytes_at`, for a part of `pixels`."""
        return _between(pixels, self.pixels, self.bytes)


@dataclass(frozen=True)
class Calibration:
    """What was measured of a model on a device; `parts` is None where the codec knows no parts."""

    encoder: StageCost
    unet: StageCost
    decoder: StageCost
    parts: PartsCost | None = None

    def tile_bytes(self, pixels: float) -> float:
        """Peak of the widest of the three stages for tiles of `pixels` output pixels together."""
        return max(stage.bytes_at(pixels) for stage in (self.encoder, self.unet, self.decoder))

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Calibration:
        """Read `asdict` of one. Raises `TypeError`, `KeyError` or `ValueError` when it is none."""
        encoder, unet, decoder = (_stage(record[name]) for name in ("encoder", "unet", "decoder"))
        parts = record["parts"]
        if parts is None:
            return cls(encoder, unet, decoder)
        pixels, (measured,) = _columns(parts, ("bytes",))
        encode, decode = float(parts["encode_seconds"]), float(parts["decode_seconds"])
        return cls(encoder, unet, decoder, PartsCost(pixels, measured, encode, decode))


def _stage(record: Mapping[str, Any]) -> StageCost:
    pixels, (peaks, seconds) = _columns(record, ("bytes", "seconds"))
    return StageCost(pixels, peaks, seconds)


def _columns(record: Mapping[str, Any], names: Sequence[str]) -> tuple[tuple[int, ...], list[tuple[float, ...]]]:
    """The measured sizes, rising, and as many values of each name."""
    pixels = tuple(map(int, record["pixels"]))
    columns = [tuple(map(float, record[name])) for name in names]
    if not pixels or any(len(column) != len(pixels) or min(column) < 0 for column in columns):
        raise ValueError(f"pixels {pixels}, {columns}")
    if pixels[0] < 1 or list(pixels) != sorted(set(pixels)):
        raise ValueError(f"pixels {pixels}")
    return pixels, columns


def _between(pixels: float, sizes: tuple[int, ...], values: tuple[float, ...]) -> float:
    if pixels <= sizes[0]:
        return values[0]
    for start, end, low, high in zip(sizes, sizes[1:], values, values[1:], strict=False):
        if pixels <= end:
            return low + (high - low) * (pixels - start) / (end - start)
    return values[-1] * pixels / sizes[-1]


def cache_folder() -> Path | None:
    """Where calibrations are kept: `HEADSUP_CACHE`, or `headsup` in the system's place for caches.

    None when there is no such place, as for a container's user without a name and a home.
    """
    if chosen := os.environ.get(CACHE_VARIABLE):
        return Path(chosen)
    try:
        if sys.platform == "win32":
            return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "headsup"
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "headsup"
    except RuntimeError:
        return None


def calibration_file(model: OneStepModel, device: torch.device) -> Path | None:
    """The file for this model's networks and precision, this device, this torch and number of threads.

    None when there is no folder for it.
    """
    folder = cache_folder()
    if folder is None:
        return None
    networks = [
        [name, list(tensor.shape), str(tensor.dtype)]
        for network in model.networks
        for name, tensor in network.state_dict().items()
    ]
    key = [
        VERSION,
        device_name(device),
        torch.__version__,
        torch.get_num_threads() if device.type == "cpu" else 0,
        [len(model.passes), model.codec.factor, model.takes_reference],
        networks,
    ]
    digest = hashlib.sha256(json.dumps(key).encode()).hexdigest()[:24]
    return folder / f"calibration-{digest}.json"


def read_calibration(model: OneStepModel, device: torch.device) -> Calibration | None:
    """What was measured before; None when nothing was, or the file is damaged."""
    path = calibration_file(model, device)
    if path is None:
        return None
    try:
        return Calibration.from_json(json.loads(path.read_text()))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError) as error:
        log.debug("calibration %s is not used: %s", path, error)
        return None


def write_calibration(calibration: Calibration, model: OneStepModel, device: torch.device) -> None:
    """Keep it, if the folder can be written; a plan does without."""
    path = calibration_file(model, device)
    if path is None:
        log.info("the calibration is not kept: there is no home folder; set %s to a folder", CACHE_VARIABLE)
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as temporary:
            temporary.write_text(json.dumps(asdict(calibration)))
    except OSError as error:
        log.warning("the calibration cannot be kept in %s: %s", path, error)


@lru_cache(maxsize=4)
def device_name(device: torch.device) -> str:
    """What distinguishes one make of device from another."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type} {platform.machine()} {platform.processor()} {_processor()}"


def _processor() -> str:
    cpus = Path("/proc/cpuinfo")
    if not cpus.exists():
        return ""
    names = (line.partition(":")[2].strip() for line in cpus.read_text().splitlines() if line.startswith("model name"))
    return next(names, "")
