"""Where the UNet's text condition comes from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch


class PromptSource(Protocol):
    """Gives the embeddings that go into the UNet's cross-attention."""

    @property
    def reads_text(self) -> bool:
        """False when the model ignores text: the caller then says so to the user."""
        ...

    def embeddings(self, text: str | None) -> torch.Tensor:
        """`[1,n,D]`, fp32, on the CPU, for `text`, or for the model's default prompt when None."""
        ...


@dataclass(frozen=True, eq=False)
class CachedPrompt:
    """One stored embedding `[1,n,D]`, whatever the text: for models trained with a single prompt."""

    stored: torch.Tensor
    reads_text: bool = False

    def embeddings(self, text: str | None) -> torch.Tensor:
        del text
        return self.stored
