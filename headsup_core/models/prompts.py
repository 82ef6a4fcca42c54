"""Where the UNet's text condition comes from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch

from .bases.text_encoder import TextEncoder


class PromptSource(Protocol):
    """Gives the embeddings that go into the UNet's cross-attention."""

    @property
    def reads_text(self) -> bool:
        """False when the model ignores text: the caller then says so to the user."""
        ...

    @property
    def width(self) -> int:
        """D of the embeddings."""
        ...

    def embeddings(self, text: str | None, tags: str | None = None) -> torch.Tensor:
        """`[p,n,D]`, fp32, on the CPU, p prompts in the passes' order, for `text` or, when None, the model's default.

        Args:
            tags: comma-separated words from a tagger; models that take none ignore them.
        """
        ...

    def with_states(self, states: torch.Tensor) -> torch.Tensor:
        """`[p,n,D]` with given `states` `[1,n,D]` in place of the text's."""
        ...


@dataclass(frozen=True, eq=False)
class CachedPrompt:
    """One stored embedding `[1,n,D]`, whatever the text: for models trained with a single prompt."""

    stored: torch.Tensor
    reads_text: bool = False

    @property
    def width(self) -> int:
        return self.stored.shape[-1]

    def embeddings(self, text: str | None, tags: str | None = None) -> torch.Tensor:
        del text, tags
        return self.stored

    def with_states(self, states: torch.Tensor) -> torch.Tensor:
        del states
        return self.stored


@dataclass(frozen=True)
class TextUse:
    """How a model makes its prompts of a text.

    Attributes:
        default: the text when the user gives none.
        tag_template: how tags and text become the prompt, with {tags} and {text}; None: joined by a comma.
        negative: a second prompt for guidance, or None.
    """

    default: str = ""
    tag_template: str | None = None
    negative: str | None = None


@dataclass(frozen=True, eq=False)
class TextPrompt:
    """Prompts through the base's text encoder."""

    encoder: TextEncoder
    use: TextUse = TextUse()
    reads_text: bool = True

    @property
    def width(self) -> int:
        return self.encoder.width

    def compose(self, text: str | None, tags: str | None) -> str:
        """The prompt that is encoded."""
        if tags and self.use.tag_template is not None:
            return self.use.tag_template.format(tags=tags, text=text or "")
        parts = [part for part in (tags, text or (None if tags else self.use.default)) if part]
        return ", ".join(parts)

    def embeddings(self, text: str | None, tags: str | None = None) -> torch.Tensor:
        return self.with_states(self.encoder.encode(self.compose(text, tags)))

    def with_states(self, states: torch.Tensor) -> torch.Tensor:
        if self.use.negative is None:
            return states
        negative = self.encoder.encode(self.use.negative)
        if states.shape[1] % negative.shape[1]:
            raise ValueError(f"prompt states are {states.shape[1]} long, expected a multiple of {negative.shape[1]}")
        return torch.cat([states, negative.repeat(1, states.shape[1] // negative.shape[1], 1)])
