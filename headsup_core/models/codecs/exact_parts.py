"""An `AutoencoderKL` over a large picture in parts, with the result of the whole: GroupNorm and attention are exact.

Independent tiles change the picture, since each has its own statistics. Here a part of a layer's result is computed
from the part of its input with a margin (`activation_maps`), and GroupNorm's statistics are those of the whole: they
are gathered by a pass over all parts before the layers behind it run. What does not fit into `Parts.room` is not stored
between those passes but computed again. The middle of the network, where attention is, is small enough to run whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from ...host import trim_heap
from .activation_maps import SAME, Lazy, Local, Map, Moments, Stored, Window, windows

LEAST_SIDE = 256
"""Smaller parts take more time in calls than they save memory (256 px, 256 channels: 67 MB)."""
ROOM = 512 * 2**20
"""Bytes of main memory for activations below which nothing is computed twice to save memory."""

HALF, DOUBLE = Fraction(1, 2), Fraction(2)


def bytes_needed(vae: nn.Module, height: int, width: int) -> int:
    """Main memory for a picture of `height` x `width` px: what is stored at once, and the bands in work.

    Of maps at full size there is one in any case; three (a residual block's input, twice as wide, and its inner map),
    or as many of half that size as have room.
    """
    config: Any = vae.config
    row = config.block_out_channels[0] * width * next(vae.parameters()).element_size()
    full = row * height
    stored = full * max(2, min(6, 2 * ROOM // full)) // 2
    return stored + 3 * row * min(height, LEAST_SIDE)  # two bands of what is replaced, one of what replaces it


@dataclass(frozen=True)
class Parts:
    """How a picture is cut, and whom to tell.

    Attributes:
        side: of a part, in pixels of the picture.
        device: where parts are computed.
        on_part: called before each part; may raise to cancel.
        on_layer: called with the share 0..1 of the network that is done.
        room: bytes of main memory for activations; one map of the narrowest full-size layer is always stored.
    """

    side: int
    device: torch.device
    on_part: Callable[[], None] = lambda: None
    on_layer: Callable[[float], None] = lambda share: None
    room: int = ROOM

    def encode(self, vae: Any, image: torch.Tensor) -> torch.Tensor:  # noqa: ANN401 - diffusers
        """Moments `[1,2C,H/f,W/f]` of `image` `[1,3,H,W]` in -1..1, on the CPU."""
        encoder = vae.encoder
        work = _Work(self, encoder.conv_in.out_channels, image, len(encoder.down_blocks))
        x = work.stored(Lazy(encoder.conv_in, (work.given(image),), encoder.conv_in.out_channels))
        for block in encoder.down_blocks:
            for resnet in block.resnets:
                x = work.residual(resnet, work.stored(x))
            for layer in block.downsamplers or ():
                x = Lazy(layer, (x,), layer.conv.out_channels, factor=HALF)
            x = work.stored(x)
            work.done()
        x = work.whole(encoder.mid_block, x)
        x = work.end(encoder, x)
        return x if vae.quant_conv is None else vae.quant_conv(x.to(self.device)).cpu()

    def decode(self, vae: Any, latent: torch.Tensor) -> torch.Tensor:  # noqa: ANN401 - diffusers
        """Picture `[1,3,H,W]` around -1..1 of `latent` `[1,C,H/f,W/f]` (not scaled), on the CPU."""
        decoder, levels = vae.decoder, len(vae.decoder.up_blocks)
        x = latent if vae.post_quant_conv is None else vae.post_quant_conv(latent.to(self.device)).cpu()
        work = _Work(self, decoder.conv_norm_out.num_channels, latent, levels, 2 ** (levels - 1))
        x = work.whole(decoder.mid_block, Lazy(decoder.conv_in, (work.given(x),), decoder.conv_in.out_channels))
        for block in decoder.up_blocks:
            for resnet in block.resnets:
                x = work.stored(work.residual(resnet, x))
            for layer in block.upsamplers or ():
                x = work.kept(Lazy(layer, (x,), layer.conv.out_channels, factor=DOUBLE), last=True)
            work.done()
        return work.end(decoder, x)


class _Work:
    """One run of an encoder or decoder.

    Args:
        channels: of the narrowest map at the picture's full size.
        image: the input, which is `factor` times smaller than the picture at full size.
        levels: of the network.
    """

    def __init__(self, parts: Parts, channels: int, image: torch.Tensor, levels: int, factor: int = 1) -> None:
        self.parts, self.levels, self._finished = parts, levels, 0
        self.full = image.shape[-1] * factor
        self._itemsize = image.element_size()
        self._room = max(parts.room, channels * image.shape[-2] * factor * self.full * self._itemsize)

    def done(self) -> None:
        """One more level is finished."""
        self._finished += 1
        self.parts.on_layer(self._finished / self.levels)

    def given(self, values: torch.Tensor) -> Stored:
        """`values` `[1,C,H,W]` as a map."""
        return Stored([values], self.parts.device)

    def whole(self, layer: Local, x: Map) -> Stored:
        """`layer` on all of `x` at once."""
        values = self.stored(x).taken_out()
        self.parts.on_part()
        return self.given(layer(values.to(self.parts.device)).cpu())

    def stored(self, x: Map, *, last: bool = True) -> Stored:
        """`x` in main memory. If this is the last use of what it is computed from, that is freed band by band."""
        if isinstance(x, Stored):
            return x
        moments, bands = Moments(x.channels), list[torch.Tensor]()
        for row in self._windows(x):
            bands.append(self._band(x, row, moments))
            for source, start in x.sources(row[0].y1).items() if last else ():
                source.release(start)
            trim_heap()  # else what the parts leave in pieces adds up to half of what is stored
        return Stored(bands, self.parts.device, moments)

    def _band(self, x: Map, row: list[Window], moments: Moments) -> torch.Tensor:
        """The parts of a band of rows, side by side in main memory."""
        band: torch.Tensor | None = None
        for window in row:
            part = self._read(x, window, moments)
            if band is None:
                band = part.new_empty(1, x.channels, part.shape[-2], x.width, device="cpu")
            band[..., window.x0 : window.x1] = part
            del part  # else it is on the device beside the next one
        if band is None:
            raise ValueError("a band without parts")
        return band

    def kept(self, x: Lazy, *, last: bool) -> Map:
        """`x`, stored when there is room for it, beside what it is computed from unless this is that one's last use."""
        size = x.channels * x.height * x.width * self._itemsize
        beside = 0 if last else sum(source.held for source in x.sources())
        return self.stored(x, last=last) if size + beside <= self._room else x

    def residual(self, block: Any, x: Map) -> Lazy:  # noqa: ANN401 - diffusers' ResnetBlock2D
        """x + conv2(silu(norm2(conv1(silu(norm1 x)))))."""
        first = self.norm(block.norm1, x)

        def start(part: torch.Tensor) -> torch.Tensor:
            return block.conv1(F.silu(first(part), inplace=True))

        inner = self.kept(Lazy(start, (x,), block.conv1.out_channels), last=False)
        second = self.norm(block.norm2, inner)
        shortcut = block.conv_shortcut or nn.Identity()

        def close(part: torch.Tensor, before: torch.Tensor) -> torch.Tensor:
            changed = block.conv2(F.silu(second(part), inplace=True))
            return changed.add_(shortcut(before)).div_(block.output_scale_factor)

        def again(before: torch.Tensor) -> torch.Tensor:
            return close(start(before), before)

        channels = block.conv2.out_channels
        return Lazy(close, (inner, x), channels) if isinstance(inner, Stored) else Lazy(again, (x,), channels, reach=2)

    def end(self, network: Any, x: Map) -> torch.Tensor:  # noqa: ANN401 - diffusers
        """The last norm and convolution of an encoder or decoder, in main memory."""
        norm = self.norm(network.conv_norm_out, x)

        def close(part: torch.Tensor) -> torch.Tensor:
            return network.conv_out(F.silu(norm(part), inplace=True))

        return self.stored(Lazy(close, (x,), network.conv_out.out_channels)).taken_out()

    def norm(self, norm: nn.GroupNorm, x: Map) -> Local:
        """`norm` with the statistics of all of `x`, as a function of a part that gives a new tensor."""
        variance, mean = self._moments(x).of_groups(norm.num_groups)
        weight = norm.weight.cpu().double() / (variance + norm.eps).sqrt()
        bias = norm.bias.cpu().double() - mean * weight
        factor, offset = (value.float()[None, :, None, None].to(self.parts.device) for value in (weight, bias))

        def apply(part: torch.Tensor) -> torch.Tensor:
            # in fp32, rounded once; on a GPU within one kernel, without copies in fp32
            return torch.addcmul(offset, part, factor, out=torch.empty_like(part))

        return apply

    def _moments(self, x: Map) -> Moments:
        if isinstance(x, Stored) and x.moments is not None:
            return x.moments
        moments = Moments(x.channels)
        for row in self._windows(x):
            for window in row:
                self._read(x, window, moments)
            trim_heap()
        return moments

    def _windows(self, x: Map) -> Iterator[list[Window]]:
        side = max(LEAST_SIDE, self.parts.side * x.width // self.full)
        if isinstance(x, Lazy):
            side = int(side * min(x.factor, SAME))  # the larger of what a part is made from, and what is made of it
        return windows(x.height, x.width, side // 2 * 2)

    def _read(self, x: Map, window: Window, moments: Moments) -> torch.Tensor:
        self.parts.on_part()
        values = x.read(window)
        moments.add(values)
        return values
