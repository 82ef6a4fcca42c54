"""Prompts written as code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Output = list[Any]  # [node id, index of the output]

BUNDLED = "headsup-tiny (bundled)"

# every widget of the two nodes at its default, with the tile fixed: automatic sizes depend on free memory
LOAD_MODEL: dict[str, Any] = {"model": BUNDLED, "dtype": "auto", "device": "auto"}
UPSCALE: dict[str, Any] = {
    "scale": 4.0,
    "long_edge": 0,
    "max_megapixels": 16.0,
    "tile": 256,
    "overlap": 64,
    "strength": 1.0,
    "color_fix": "auto",
    "seed": 0,
    "on_error": "keep going",
    "tile_batch": 1,
}

# the face nodes; small faces are not asked for, which makes the detector fast
LOAD_ANALYZER: dict[str, Any] = {"backend": "dlib", "pack": "buffalo_l", "device": "auto"}
DETECT: dict[str, Any] = {"min_score": 0.5, "min_eye_distance": 20.0, "max_faces": 0, "no_face": "pass through"}
ENCODE: dict[str, Any] = {"name": "Ada", "people": "one person", "min_score": 0.5, "no_face": "error"}
SAVE: dict[str, Any] = {"prefix": "", "folder": "output/headsup/identities"}


@dataclass(frozen=True)
class Node:
    """A node in a graph; `node[1]` is its second output."""

    id: str

    def __getitem__(self, index: int) -> Output:
        return [self.id, index]


class Graph:
    """A prompt being put together."""

    def __init__(self, *, titled: bool = True) -> None:
        """`titled`: nodes are called by their class; else the page gives them their own names."""
        self.prompt: dict[str, dict[str, Any]] = {}
        self._titled = titled

    def add(self, class_type: str, **inputs: Any) -> Node:
        """Add a node; inputs are constants or other nodes' outputs."""
        node = str(len(self.prompt) + 1)
        self.prompt[node] = {"class_type": class_type, "inputs": inputs}
        if self._titled:
            self.prompt[node]["_meta"] = {"title": class_type}
        return Node(node)

    def load_model(self, **inputs: Any) -> Output:
        """A HeadsUpLoadModel node's model."""
        return self.add("HeadsUpLoadModel", **(LOAD_MODEL | inputs))[0]

    def upscale(self, model: Output, image: Output, **inputs: Any) -> Node:
        """A HeadsUpUpscale node."""
        return self.add("HeadsUpUpscale", model=model, image=image, **(UPSCALE | inputs))

    def plan(self, model: Output, image: Output, **inputs: Any) -> Node:
        """A HeadsUpPlanUpscale node that measures nothing."""
        own = {key: UPSCALE[key] for key in ("scale", "long_edge", "max_megapixels", "tile", "overlap", "tile_batch")}
        return self.add("HeadsUpPlanUpscale", model=model, image=image, **(own | {"calibrate": False} | inputs))

    def analyzer(self, **inputs: Any) -> Node:
        """A HeadsUpLoadFaceAnalyzer node."""
        return self.add("HeadsUpLoadFaceAnalyzer", **(LOAD_ANALYZER | inputs))

    def detect(self, image: Output, **inputs: Any) -> Node:
        """A HeadsUpDetectFaces node."""
        return self.add("HeadsUpDetectFaces", image=image, **(DETECT | inputs))

    def encode(self, photos: Output, **inputs: Any) -> Node:
        """A HeadsUpEncodeIdentity node."""
        return self.add("HeadsUpEncodeIdentity", photos=photos, **(ENCODE | inputs))

    def save_identity(self, identities: Output, **inputs: Any) -> Node:
        """A HeadsUpSaveIdentity node."""
        return self.add("HeadsUpSaveIdentity", identities=identities, **(SAVE | inputs))

    def compare(self, **inputs: Any) -> Node:
        """A HeadsUpCompareIdentity node."""
        return self.add("HeadsUpCompareIdentity", **({"no_face": "error"} | inputs))
