"""Where the wires of a drawing bend, as ComfyUI's page keeps it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Bends:
    """The points of a workflow that wires go through; wires of one output share those that are the same."""

    points: list[dict[str, Any]] = field(default_factory=list)
    ends: list[dict[str, int]] = field(default_factory=list)
    lanes: list[tuple[int, int]] = field(default_factory=list)
    far: int = 0

    def lane(self, source: int, slot: int) -> int:
        """The number of an output's lane."""
        if (source, slot) not in self.lanes:
            self.lanes.append((source, slot))
        return self.lanes.index((source, slot))

    def add(self, link: int, places: list[tuple[float, float]]) -> None:
        """Lead a wire through `places`, in its direction."""
        parent: int | None = None
        for place in places:
            before = {"parentId": parent} if parent is not None else {}
            known = (one for one in self.points if one["pos"] == list(place) and one.get("parentId") == parent)
            point = next(known, None)
            if point is None:
                point = {"id": len(self.points) + 1, **before, "pos": list(place), "linkIds": []}
                self.points.append(point)
            point["linkIds"].append(link)
            parent = point["id"]
        if parent is not None:
            self.ends.append({"id": link, "parentId": parent})

    def to_json(self) -> dict[str, Any]:
        """As the page keeps them among a workflow's `extra`."""
        return {"reroutes": self.points, "linkExtensions": self.ends} if self.ends else {}
