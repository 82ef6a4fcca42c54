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


@dataclass(frozen=True)
class Node:
    """A node in a graph; `node[1]` is its second output."""

    id: str

    def __getitem__(self, index: int) -> Output:
        return [self.id, index]


class Graph:
    """A prompt being put together."""

    def __init__(self) -> None:
        self.prompt: dict[str, dict[str, Any]] = {}

    def add(self, class_type: str, **inputs: Any) -> Node:
        """Add a node; inputs are constants or other nodes' outputs."""
        node = str(len(self.prompt) + 1)
        self.prompt[node] = {"class_type": class_type, "inputs": inputs, "_meta": {"title": class_type}}
        return Node(node)

    def load_model(self, **inputs: Any) -> Output:
        """A HeadsUpLoadModel node's model."""
        return self.add("HeadsUpLoadModel", **(LOAD_MODEL | inputs))[0]

    def upscale(self, model: Output, image: Output, **inputs: Any) -> Node:
        """A HeadsUpUpscale node."""
        return self.add("HeadsUpUpscale", model=model, image=image, **(UPSCALE | inputs))
