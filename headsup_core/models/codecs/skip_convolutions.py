"""Skip connections from a VAE's encoder to its decoder (img2img-turbo, Parmar et al. 2024, section 3.3; S3Diff files).

Before each up block of the decoder, a 1x1 convolution of the encoder's activation of the same size is added: the input
of the last down block goes to the first up block, and so on, so that detail of the bad picture reaches the result past
the latent's bottleneck.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..file_formats.weights_files import load_network

PREFIX = "decoder.skip_conv_"


class SkipConvolutions(nn.Module):
    """The convolutions, in the order of the decoder's up blocks.

    Args:
        widths: (channels of the encoder's activation, channels of the up block's input) of each.
    """

    def __init__(self, widths: Sequence[tuple[int, int]]) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(nn.Conv2d(inner, outer, 1, bias=False) for inner, outer in widths)

    @contextmanager
    def attached(self, vae: nn.Module, activations: Sequence[torch.Tensor]) -> Generator[None, None, None]:
        """Within the block, decoding with `vae` adds the skips of what `encoder_activations` gave."""
        handles: list[Any] = []
        try:
            pairs = zip(_up_blocks(vae), self.convolutions, reversed(activations), strict=True)
            for block, convolution, activation in pairs:
                handles.append(block.register_forward_pre_hook(_adder(convolution(activation))))
            yield
        finally:
            for handle in handles:
                handle.remove()


def encoder_activations(vae: nn.Module, image: torch.Tensor) -> list[torch.Tensor]:
    """Input of each of the encoder's down blocks for `image` `[B,3,H,W]` in -1..1, the largest first."""
    encoder: Any = vae.get_submodule("encoder")
    activations: list[torch.Tensor] = [encoder.conv_in(image)]
    for block in encoder.down_blocks[:-1]:
        activations.append(block(activations[-1]))
    return activations


def read_skips(tensors: Mapping[str, Any], vae: nn.Module, dtype: torch.dtype, file: Path) -> SkipConvolutions | None:
    """The skips in a state dict of a VAE's adapter (`decoder.skip_conv_1.weight` …), or None when it has none.

    Raises:
        ModelFileError: one is missing, of another shape, or not finite: which, and what was expected.
    """
    found = {name.removeprefix(PREFIX): tensor for name, tensor in tensors.items() if "skip_conv" in name}
    if not found:
        return None
    encoder: Any = vae.get_submodule("encoder")
    inner = [block.resnets[0].in_channels for block in encoder.down_blocks]
    outer = [block.resnets[0].in_channels for block in _up_blocks(vae)]
    with torch.device("meta"):
        skips = SkipConvolutions(list(zip(reversed(inner), outer, strict=True)))
        published = nn.ModuleDict({str(index + 1): layer for index, layer in enumerate(skips.convolutions)})
    load_network(published, found, dtype, file, prefix=PREFIX)
    return skips


def _up_blocks(vae: nn.Module) -> list[Any]:
    decoder: Any = vae.get_submodule("decoder")
    return list(decoder.up_blocks)


def _adder(skip: torch.Tensor) -> Any:  # noqa: ANN401 - torch's hook type
    def add(block: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        del block
        return (args[0] + skip, *args[1:])

    return add
