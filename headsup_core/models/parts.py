"""An `AutoencoderKL` over a large picture in parts, with the result of the whole: GroupNorm and attention are exact.

Independent tiles change the picture, since each has its own statistics. Here a layer runs over all parts before the
next one begins: activations are kept whole in main memory, a part with a margin goes through a convolution on the
device, and what the margin made is cut off. GroupNorm's statistics are those of the whole. The middle of the network,
where attention is, is small enough to run whole. Memory: `bytes_needed`, of main memory; the device holds one part.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

MARGIN = 2
"""Pixels around a part: one for a 3x3 convolution, two so that places stay even for a strided one."""
LEAST_SIDE = 256
"""Smaller parts take more time in calls than they save memory (256 px, 256 channels: 67 MB)."""

Local = Callable[..., torch.Tensor]
HALF, SAME, DOUBLE = Fraction(1, 2), Fraction(1), Fraction(2)


def bytes_needed(vae: nn.Module, height: int, width: int) -> int:
    """Main memory for a picture of `height` x `width` px: input, middle and output of the widest residual block."""
    config: Any = vae.config
    widths = (*config.block_out_channels[:2], config.block_out_channels[0])
    itemsize = next(vae.parameters()).element_size()
    return (widths[-2] + 2 * widths[0]) * height * width * itemsize


@dataclass(frozen=True)
class Parts:
    """How a picture is cut, and whom to tell.

    Attributes:
        side: of a part, in pixels of the picture.
        device: where parts are computed.
        on_part: called before each part; may raise to cancel.
        on_layer: called with the share 0..1 of the network that is done.
    """

    side: int
    device: torch.device
    on_part: Callable[[], None] = lambda: None
    on_layer: Callable[[float], None] = lambda share: None

    def encode(self, vae: Any, image: torch.Tensor) -> torch.Tensor:  # noqa: ANN401 - diffusers
        """Moments `[1,2C,H/f,W/f]` of `image` `[1,3,H,W]` in -1..1, on the CPU."""
        encoder, scale = vae.encoder, _Scale(self, image.shape[-1], len(vae.encoder.down_blocks))
        x = scale.local(encoder.conv_in, image)
        for block in encoder.down_blocks:
            for resnet in block.resnets:
                x = scale.residual(resnet, x)
            for layer in block.downsamplers or ():
                x = scale.local(layer, x, factor=HALF)
            scale.done()
        x = scale.end(encoder, scale.whole(encoder.mid_block, x))
        return x if vae.quant_conv is None else scale.whole(vae.quant_conv, x)

    def decode(self, vae: Any, latent: torch.Tensor) -> torch.Tensor:  # noqa: ANN401 - diffusers
        """Picture `[1,3,H,W]` around -1..1 of `latent` `[1,C,H/f,W/f]` (not scaled), on the CPU."""
        decoder, levels = vae.decoder, len(vae.decoder.up_blocks)
        scale = _Scale(self, latent.shape[-1] * 2 ** (levels - 1), levels)
        x = latent if vae.post_quant_conv is None else scale.whole(vae.post_quant_conv, latent)
        x = scale.whole(decoder.mid_block, scale.local(decoder.conv_in, x))
        for block in decoder.up_blocks:
            for resnet in block.resnets:
                x = scale.residual(resnet, x)
            for layer in block.upsamplers or ():
                x = scale.local(layer, x, factor=DOUBLE)
            scale.done()
        return scale.end(decoder, x)


class _Scale:
    """Layers over parts of activations that may be smaller than the picture, which is `full` pixels wide."""

    def __init__(self, parts: Parts, full: int, levels: int) -> None:
        self.parts, self.full, self.levels = parts, full, levels
        self._finished = 0

    def done(self) -> None:
        """One more level is finished."""
        self._finished += 1
        self.parts.on_layer(self._finished / self.levels)

    def whole(self, layer: Local, x: torch.Tensor) -> torch.Tensor:
        """`layer` on all of `x` at once."""
        self.parts.on_part()
        return layer(x.to(self.parts.device)).cpu()

    def local(self, layer: Local, *inputs: torch.Tensor, factor: Fraction = SAME) -> torch.Tensor:
        """`layer`, which looks no further than `MARGIN`, part by part; all inputs are of one size."""
        height, width = inputs[0].shape[-2:]
        side = max(LEAST_SIDE, self.parts.side * width // self.full) // 2 * 2
        result: torch.Tensor | None = None
        for y0 in range(0, height, side):
            for x0 in range(0, width, side):
                self.parts.on_part()
                y1, x1 = min(height, y0 + side), min(width, x0 + side)
                top, left = max(0, y0 - MARGIN), max(0, x0 - MARGIN)
                window = (..., slice(top, y1 + MARGIN), slice(left, x1 + MARGIN))
                values = layer(*(one[window].to(self.parts.device) for one in inputs)).cpu()
                if result is None:
                    result = values.new_empty(1, values.shape[1], int(height * factor), int(width * factor))
                kept = (..., _span(y0, y1, top, factor), _span(x0, x1, left, factor))
                result[..., _span(y0, y1, 0, factor), _span(x0, x1, 0, factor)] = values[kept]
        assert result is not None  # noqa: S101 - a picture has at least one part
        return result

    def residual(self, block: Any, x: torch.Tensor) -> torch.Tensor:  # noqa: ANN401 - diffusers' ResnetBlock2D
        """x + conv2(silu(norm2(conv1(silu(norm1 x)))))."""
        first = self.norm(block.norm1, x)

        def start(part: torch.Tensor) -> torch.Tensor:
            return block.conv1(F.silu(first(part)))

        inner = self.local(start, x)
        second = self.norm(block.norm2, inner)
        shortcut = block.conv_shortcut or nn.Identity()

        def close(part: torch.Tensor, before: torch.Tensor) -> torch.Tensor:
            return (shortcut(before) + block.conv2(F.silu(second(part)))) / block.output_scale_factor

        return self.local(close, inner, x)

    def end(self, network: Any, x: torch.Tensor) -> torch.Tensor:  # noqa: ANN401 - diffusers
        """The last norm and convolution of an encoder or decoder."""
        norm = self.norm(network.conv_norm_out, x)

        def close(part: torch.Tensor) -> torch.Tensor:
            return network.conv_out(F.silu(norm(part)))

        return self.local(close, x)

    def norm(self, norm: nn.GroupNorm, x: torch.Tensor) -> Local:
        """`norm` with the statistics of all of `x` `[1,C,H,W]`, as a function of a part."""
        moments = [torch.var_mean(group.float(), correction=0) for group in x[0].chunk(norm.num_groups)]
        width = x.shape[1] // norm.num_groups
        variance, mean = (torch.stack(values).repeat_interleave(width) for values in zip(*moments, strict=True))
        weight = norm.weight.float().cpu() / (variance + norm.eps).sqrt()
        bias = norm.bias.float().cpu() - mean * weight
        factor, offset = (value[None, :, None, None].to(self.parts.device) for value in (weight, bias))

        def apply(part: torch.Tensor) -> torch.Tensor:
            return torch.addcmul(offset, part.float(), factor).to(part.dtype)

        return apply


def _span(start: int, end: int, origin: int, factor: Fraction) -> slice:
    return slice(int((start - origin) * factor), int((end - origin) * factor))
