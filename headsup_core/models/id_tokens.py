"""Identity tokens by decoupled cross-attention (IP-Adapter, arXiv 2308.06721, 3.2).

A face embedding e becomes k tokens c = LayerNorm(P e); each cross-attention block gets keys and values of its own for
them, and its result is Z = Attention(Q, K, V) + s * Attention(Q, c W_k, c W_v) before the output projection.
Only W_v starts at zero: an untrained injector changes nothing, and W_v still gets a gradient.

The UNet is never changed: the second attention is attached with hooks for the time of one call, as adapters are.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from ..errors import InputError

PREFIX = "id_tokens."
"""Of the tensors in a model file."""
GROUPS = {"down_blocks": "down", "mid_block": "mid", "up_blocks": "up"}


@dataclass(frozen=True)
class IdTokenRecord:
    """What a file's header says of its injector.

    Attributes:
        embedder: id of the recogniser whose embeddings it takes.
        dim: their length D.
        tokens: k.
    """

    embedder: str
    dim: int
    tokens: int

    @classmethod
    def from_json(cls, record: Mapping[str, Any] | None) -> IdTokenRecord | None:
        """Read the record of a header; None without one. Raises `TypeError` or `ValueError` when it is damaged."""
        if record is None:
            return None
        made = cls(**record)
        for name, most in (("dim", 8192), ("tokens", 64)):
            value = getattr(made, name)
            if type(value) is not int or not 1 <= value <= most:
                raise ValueError(f"id_tokens: {name} is {value!r}, expected a whole number from 1 to {most}")
        embedder: Any = made.embedder
        if not isinstance(embedder, str) or not embedder:
            raise ValueError(f"id_tokens: embedder is {embedder!r}, expected a recogniser's id")
        return made


@dataclass(frozen=True)
class TokenScales:
    """s of the blocks on the way down, in the middle and on the way up; each 0 (none) to 1 (full)."""

    down: float = 1.0
    mid: float = 1.0
    up: float = 1.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not 0 <= value <= 1:
                raise InputError(f"id token scale {name} is {value}: must be from 0 to 1")

    def of(self, path: str) -> float:
        """s of the block at a module path."""
        return float(getattr(self, GROUPS[path.split(".")[0]]))


FULL = TokenScales()


class IdTokens(nn.Module):
    """The injector: projection, and keys and values for each cross-attention block of a UNet.

    Args:
        record: embedder, D and k.
        blocks: module path of each block -> (width of its text states, width of its queries).
    """

    def __init__(self, record: IdTokenRecord, blocks: Mapping[str, tuple[int, int]]) -> None:
        super().__init__()
        self.record = record
        self.paths = tuple(blocks)
        width = next(iter(blocks.values()))[0]
        self.projection = nn.Linear(record.dim, record.tokens * width)
        self.norm = nn.LayerNorm(width)
        self.keys = nn.ModuleList(nn.Linear(into, inner, bias=False) for into, inner in blocks.values())
        self.values = nn.ModuleList(nn.Linear(into, inner, bias=False) for into, inner in blocks.values())
        for layer in self.values:
            nn.init.zeros_(layer.get_parameter("weight"))

    @classmethod
    def beside(cls, unet: nn.Module, record: IdTokenRecord) -> IdTokens:
        """A fresh injector for `unet`. Raises `ValueError` when it has no cross-attention."""
        blocks = cross_attentions(unet)
        if not blocks:
            raise ValueError("the UNet has no cross-attention that identity tokens could enter by")
        return cls(record, blocks)

    def tokens(self, embedding: torch.Tensor) -> torch.Tensor:
        """`[B,k,width]` of unit embeddings `[B,D]`."""
        projected = self.projection(embedding.to(self.projection.weight))
        return self.norm(projected.unflatten(1, (self.record.tokens, -1)))

    @contextmanager
    def attached(
        self, unet: nn.Module, embedding: torch.Tensor, scales: TokenScales = FULL
    ) -> Generator[None, None, None]:
        """Within the block, calls of `unet` on a batch of B attend to the tokens of `embedding` `[B,D]`, too.

        Adapters are attached before, so that the queries come with their branches.
        """
        tokens = self.tokens(embedding)
        handles: list[Any] = []
        try:
            for path, key, value in zip(self.paths, self.keys, self.values, strict=True):
                if (scale := scales.of(path)) > 0:
                    handles += _attach(unet.get_submodule(path), key(tokens), value(tokens), scale)
            yield
        finally:
            for handle in handles:
                handle.remove()


def cross_attentions(unet: nn.Module) -> dict[str, tuple[int, int]]:
    """Module path -> (width of the text states, width of the queries) of each cross-attention block."""
    found: dict[str, tuple[int, int]] = {}
    for path, module in unet.named_modules():
        block: Any = module
        if getattr(block, "is_cross_attention", False):
            found[path] = (block.to_k.in_features, block.to_q.out_features)
    return found


def _attach(block: nn.Module, key: torch.Tensor, value: torch.Tensor, scale: float) -> Sequence[Any]:
    """Hooks that take the queries as the block makes them (adapters included) and add to what its projection gets."""
    attention: Any = block
    queries: list[torch.Tensor] = []

    def keep(layer: nn.Module, args: tuple[Any, ...], output: torch.Tensor) -> None:
        del layer, args
        queries.append(output)

    def add(layer: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        del layer
        query, heads = queries.pop(), attention.heads
        q, k, v = (part.unflatten(-1, (heads, -1)).transpose(1, 2) for part in (query, key.to(query), value.to(query)))
        seen = F.scaled_dot_product_attention(q, k, v)  # the scores are never a tensor of their own
        return (args[0] + scale * seen.transpose(1, 2).flatten(2), *args[1:])

    return attention.to_q.register_forward_hook(keep), attention.to_out[0].register_forward_pre_hook(add)
