"""Examples to fit to: a person's photos as targets, their own small copies as LR, each other as references."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F

from ..conditioning import Seen, aligned_face, see
from ..idfsr_model import IDFSRModel


class FittingExamples:
    """All examples of a person's aligned photos `[n,3,512,512]`, prepared once: (target, reference, scale, mirrored).

    A photo's reference is another photo; the mirrored photo itself when there is but one. LR is the target reduced and
    enlarged again, nothing else, as the paper has it.

    Args:
        scales: by which LRs are reduced.
        only_first: the first photo alone is a target.
    """

    def __init__(
        self, photos: torch.Tensor, model: IDFSRModel, scales: Sequence[int], *, only_first: bool = False
    ) -> None:
        size = model.architecture.size
        reduced = F.interpolate(photos, size=(size, size), mode="bicubic", antialias=True).clamp(0, 1)
        face = aligned_face(size)
        targets: list[torch.Tensor] = []
        seen: list[Seen] = []
        pairs = [pair for pair in _pairs(len(photos)) if pair[0] == 0 or not only_first]
        for target, reference in pairs:
            other = photos[reference : reference + 1]
            other = other.flip(-1) if reference == target else other
            for scale in scales:
                small = F.interpolate(reduced[target : target + 1], size=(size // scale,) * 2, mode="area")
                low = F.interpolate(small, size=(size, size), mode="bicubic", antialias=True).clamp(0, 1)
                one = see(low, face, other, masked=model.architecture.masked)
                targets += [reduced[target : target + 1], reduced[target : target + 1].flip(-1)]
                seen += [one, one.moved(lambda part: part.flip(-1))]
        self.targets = torch.cat(targets)
        self.seen = Seen(*(torch.cat([getattr(one, part) for one in seen]) for part in ("masked", "warped", "mask")))
        with torch.no_grad():
            self.styles = torch.cat([model.style(one) for one in seen])

    def __len__(self) -> int:
        return len(self.targets)

    def draw(self, count: int, chance: torch.Generator) -> tuple[torch.Tensor, Seen, torch.Tensor]:
        """Targets, inputs and styles of `count` examples by chance."""
        return self.take(torch.randint(len(self), (count,), generator=chance))

    def take(self, chosen: torch.Tensor) -> tuple[torch.Tensor, Seen, torch.Tensor]:
        """Targets, inputs and styles of the examples with these numbers `[n]`."""
        return self.targets[chosen], self.seen.moved(lambda part: part[chosen]), self.styles[chosen]


def _pairs(count: int) -> list[tuple[int, int]]:
    if count == 1:
        return [(0, 0)]
    return [(target, reference) for target in range(count) for reference in range(count) if target != reference]
