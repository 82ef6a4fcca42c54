"""The words that a tagger knows and how sure it has to be of each."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import torch

from ...errors import ModelFileError

WORDS = Path(__file__).parent / "words"
PUBLISHED = 4585
"""Tags of the published RAM."""
OTHER_NAMES = ("tags.txt", "thresholds.txt")
"""Files beside a model of other tags than the published ones: a tag a line, a threshold a line."""


@dataclass(frozen=True, eq=False)
class WordList:
    """`words` in the order of the network's classes, and their `thresholds` `[T]` in 0..1, which must be exceeded."""

    words: tuple[str, ...]
    thresholds: torch.Tensor

    def above(self, probabilities: torch.Tensor, shift: float = 0.0) -> list[str]:
        """The words whose probability `[T]` is above the threshold plus `shift`, in the order of the classes.

        A threshold of 1 means never, whatever the shift.
        """
        never = self.thresholds >= 1
        kept = (probabilities.float().cpu() > self.thresholds + shift) & ~never
        return [self.words[index] for index in kept.nonzero().flatten().tolist()]


def words_for(count: int, model: Path) -> WordList:
    """The list for a network of `count` tags: RAM's, or that in `OTHER_NAMES` beside the file `model`.

    Raises:
        ModelFileError: no such list, or lists of other lengths.
    """
    folder = model.parent
    own = tuple(folder / name for name in OTHER_NAMES)
    if count == PUBLISHED:
        own = (WORDS / "ram_tag_list.txt", WORDS / "ram_tag_list_threshold.txt")
    elif missing := [path for path in own if not os.path.isfile(path)]:
        raise ModelFileError(
            f"{model} knows {count} tags, not RAM's {PUBLISHED}: put {' and '.join(OTHER_NAMES)}, a line for each tag, "
            f"beside it ({missing[0]} is missing)"
        )
    try:
        words, numbers = (path.read_text(encoding="utf-8").split("\n") for path in own)
        words, numbers = ([line.strip() for line in lines if line.strip()] for lines in (words, numbers))
        thresholds = torch.tensor([float(number) for number in numbers])
    except (OSError, ValueError) as error:
        raise ModelFileError(f"{own[0]} or {own[1].name} cannot be read: {error}") from error
    if len(words) != count or len(thresholds) != count:
        raise ModelFileError(
            f"{own[0]} has {len(words)} tags and {own[1].name} {len(thresholds)} thresholds; {model} needs {count}"
        )
    return WordList(tuple(words), thresholds)
