"""S3Diff (Zhang et al. 2024): LoRA modulated by the picture's own degradation, t = 999, guidance 1.07.

A small estimator reads two degrees (blur, noise) in 0..1 off the input. Their Fourier features and an embedding per
block become a matrix M `[r,r]` for every block, and each branch is s * B (M^T A x): it differs from picture to picture
and cannot be merged. `s3diff.pkl` has the adapters (alpha 8, not stored) and the small networks; `de_net.pth` the
estimator. Its trainer also saves skip connections of the VAE where the VAE has them (`codecs.skip_convolutions`).
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from ...errors import ModelFileError
from ...imaging.published import BilinearSizing
from ...option_fields import option
from ..bases.base import Base
from ..codecs.skip_convolutions import read_skips
from ..file_formats.weights_files import WeightsFile, load_network, read_weights
from ..lora.lora_keys import AdapterGroup, paths_by_suffix, read_adapter
from ..one_step import Observation, Pass
from ..prediction import Epsilon
from ..prompts import TextUse
from ..record import ModelCard, ModelRecord
from .degradation_estimator import DegradationEstimator
from .system import Beside, System

ALPHA = 8.0
POSITIVE = "A high-resolution, 8K, ultra-realistic image with sharp focus, vibrant colors, and natural lighting."
NEGATIVE = "oil painting, cartoon, blur, dirty, messy, low quality, deformation, low resolution, oversmooth"
PARTS = ("de_mlp", "block_mlp", "fuse_mlp")
ESTIMATOR_FILE = "de_net.pth"


@dataclass(frozen=True)
class S3DiffOptions:
    """What S3Diff's script has on its command line."""

    guidance_scale: float = option(
        1.07,
        "How far the prediction moves away from that with the negative prompt. At 1 the negative prompt does not "
        "count, and one call of the UNet is enough in place of two.",
        minimum=0.0,
        maximum=10.0,
        step=0.01,
    )
    negative_prompt: str | None = option(
        None,
        "What the picture should not look like; it counts with a guidance_scale other than 1.",
        unset="the text of S3Diff's own script",
    )


RECORD = ModelRecord(
    ModelCard(
        "S3Diff",
        "Apache-2.0 (base: SD-Turbo, Stability AI's own licence)",
        "LSDIR and FFHQ, Real-ESRGAN degradations",
        "guidance_scale 1.07; needs de_net.pth beside the adapter",
    ),
    Epsilon(999),
    base="SD-Turbo",
    system="s3diff",
    prompt=TextUse(default=POSITIVE, negative=NEGATIVE),
    default_color_fix="wavelet",
    published=BilinearSizing(),
)


class BlockModulation(nn.Module):
    """Degrees of degradation -> one `[r,r]` matrix per block of a network.

    Args:
        tensors: the state dicts of `de_mlp`, `block_mlp`, `fuse_mlp` and the blocks' embedding.
        rank: r.
    """

    def __init__(self, tensors: Mapping[str, Mapping[str, torch.Tensor]], rank: int, file: WeightsFile) -> None:
        super().__init__()
        self.rank = rank
        with torch.device("meta"):
            self.degrees = nn.Sequential(_linear(tensors["de_mlp"], "0."), nn.ReLU())
            self.blocks = nn.Sequential(_linear(tensors["block_mlp"], "0."), nn.ReLU())
            self.fuse = _linear(tensors["fuse_mlp"], "")
            count, width = tensors["embedding"]["weight"].shape
            self.embedding = nn.Embedding(count, width)
        found = self.fuse.out_features
        if found != rank**2:
            raise ModelFileError(f"{file.path}: fuse_mlp gives {found} values, expected {rank}x{rank}")
        parts = {"de_mlp": self.degrees, "block_mlp": self.blocks, "fuse_mlp": self.fuse, "embedding": self.embedding}
        for name, module in parts.items():
            load_network(module, tensors[name], torch.float32, file.path)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """`[blocks,1,r,r]` of Fourier features `[1,n]`."""
        blocks = self.blocks(self.embedding.weight)
        degrees = self.degrees(features).expand(len(blocks), -1)
        return self.fuse(torch.cat([degrees, blocks], dim=1)).reshape(-1, 1, self.rank, self.rank)


class DegradationObserver(nn.Module):
    """Estimates the degradation of the input and modulates encoder and UNet with it."""

    def __init__(
        self,
        estimator: DegradationEstimator,
        frequencies: torch.Tensor,
        encoder: BlockModulation,
        unet: BlockModulation,
        paths: tuple[tuple[str, ...], tuple[str, ...]],
    ) -> None:
        super().__init__()
        self.estimator, self.encoder, self.unet, self.paths = estimator, encoder, unet, paths
        self.frequencies = nn.Parameter(frequencies.float(), requires_grad=False)

    @property
    def network(self) -> nn.Module:
        return self

    def observe(self, small: torch.Tensor, enlarged: torch.Tensor) -> Observation:
        del enlarged
        angles = self.estimator(small)[0, :, None] * self.frequencies * 2 * math.pi  # [2,n]
        features = torch.cat([torch.sin(angles), torch.cos(angles)], dim=1).reshape(1, -1)
        encoder, unet = self.encoder(features), self.unet(features)
        return Observation(
            encoder={path: encoder[_encoder_block(path)] for path in self.paths[0]},
            unet={path: unet[_unet_block(path)] for path in self.paths[1]},
        )


def _encoder_block(path: str) -> int:
    """Index of the block embedding of a layer of the VAE's encoder: its down blocks, the middle, everything else."""
    down = re.match(r"encoder\.down_blocks\.(\d+)\.", path)
    return int(down[1]) if down else -2 if path.startswith("encoder.mid_block.") else -1


def _unet_block(path: str) -> int:
    """Index of the block embedding of a UNet layer: four down blocks, the middle, four up blocks, everything else."""
    block = re.match(r"(down|up)_blocks\.(\d+)\.", path)
    if block:
        return int(block[2]) + (5 if block[1] == "up" else 0)
    return 4 if path.startswith("mid_block.") else -1


def recognises(file: WeightsFile) -> bool:
    return {"state_dict_unet", "state_dict_vae", "state_dict_unet_de_mlp", "state_embeddings", "w"} <= set(file.content)


def load(file: WeightsFile, base: Base, options: S3DiffOptions) -> Beside:
    content = file.content
    companion = file.path.with_name(ESTIMATOR_FILE)
    if not os.path.isfile(companion):
        raise ModelFileError(f"{file.path} needs its companion {ESTIMATOR_FILE} (the degradation estimator) beside it")
    estimates = read_weights(companion)
    with torch.device("meta"):
        estimator = DegradationEstimator()
    load_network(estimator, estimates.content, torch.float32, companion)
    state = content["state_dict_unet"]
    replaced = {name: state[name] for name in ("conv_in.weight", "conv_in.bias") if name in state}
    layers = paths_by_suffix(base.unet, content["unet_lora_target_modules"])
    group = AdapterGroup(content["rank_unet"], ALPHA, layers)
    unet = read_adapter(state, base.unet, file.path, group, replaced=replaced, dtype=base.dtype)
    group = AdapterGroup(content["rank_vae"], ALPHA, _encoder_paths(base.vae))
    encoder = read_adapter(content["state_dict_vae"], base.vae, file.path, group, dtype=base.dtype)
    observer = DegradationObserver(
        estimator,
        content["w"].detach(),
        BlockModulation(_tensors(content, "vae"), content["rank_vae"], file),
        BlockModulation(_tensors(content, "unet"), content["rank_unet"], file),
        (encoder.paths, unet.paths),
    )
    guidance = options.guidance_scale
    passes = (Pass(guidance, (unet,), prompt=0), Pass(1 - guidance, (unet,), prompt=1))
    return Beside(
        replace(RECORD, prompt=TextUse(default=POSITIVE, negative=options.negative_prompt or NEGATIVE)),
        tuple(term for term in passes if term.weight),
        encoder=(encoder,),
        skips=read_skips(content["state_dict_vae"], base.vae, base.dtype, file.path),
        observer=observer.eval().requires_grad_(False),
    )


def _encoder_paths(vae: nn.Module) -> set[str]:
    """What the stored expression, `^encoder\\..*(conv1|…|to_out\\.0)$`, matches; it is not run, since it is theirs."""
    ends = ("conv1", "conv2", "conv_in", "conv_shortcut", "conv", "conv_out", "to_k", "to_q", "to_v", "to_out.0")
    return {path for path in paths_by_suffix(vae, ends) if path.startswith("encoder.")}


def _tensors(content: Mapping[str, Any], network: str) -> dict[str, Mapping[str, torch.Tensor]]:
    parts = {part: content[f"state_dict_{network}_{part}"] for part in PARTS}
    return {**parts, "embedding": content["state_embeddings"][f"state_dict_{network}_block"]}


def _linear(tensors: Mapping[str, torch.Tensor], prefix: str) -> nn.Linear:
    out, into = tensors[prefix + "weight"].shape
    return nn.Linear(into, out)


SYSTEMS = (System(RECORD, recognises, load, S3DiffOptions, companions=(ESTIMATOR_FILE,), mergeable=False),)
