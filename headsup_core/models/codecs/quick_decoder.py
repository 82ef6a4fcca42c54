"""TAESD (Ollin Boer Bohan, MIT): a decoder of 1.2 million parameters in place of Stable Diffusion's 49 million.

ComfyUI's users have it in `models/vae_approx` for previews. The file is a list of layers; diffusers' `AutoencoderTiny`
has the same ones, without the first, a clamp, which it computes by itself.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ...errors import ModelFileError
from ...host import Host
from ..file_formats.weights_files import WeightsFile, load_network, read_weights

KIND = "vae_approx"
FILES = ("taesd_decoder.safetensors", "taesd_decoder.pth")
PREFIX = "taesd_decoder."
"""Before the names in files that hold more than the decoder."""
LATENTS = (4, 8, 0.18215)
"""Channels, pixels a latent and scale of what TAESD decodes: those of Stable Diffusion 1 and 2, as UNets have them."""


def find_taesd(host: Host | None) -> Path:
    """The decoder's file in the folders of `models/vae_approx`. Raises `ModelFileError` when there is none."""
    where = "no folder is known: give --models-dir, or in Python a host with models_dir"
    if host is not None:
        for name in FILES:
            try:
                return host.find_model(KIND, name)
            except ModelFileError as error:
                where = str(error)
    raise ModelFileError(
        f"decoder taesd needs {' or '.join(FILES)} in models/{KIND}, where ComfyUI has it for previews (from "
        f"github.com/madebyollin/taesd, MIT); {where}"
    )


def load_taesd(path: Path, dtype: torch.dtype) -> nn.Module:
    """diffusers' `AutoencoderTiny` with the decoder of a TAESD file, on the CPU.

    Raises:
        ModelFileError: it is another file (an encoder, TAESDXL's, SD 3's ...): which tensor, what was found and
            expected. TAESDXL has the shapes of TAESD and cannot be told from it.
    """
    from diffusers.models.autoencoders.autoencoder_tiny import AutoencoderTiny

    file = read_weights(path)
    with torch.device("meta"):
        decoder: Any = AutoencoderTiny()
    del decoder.encoder
    load_network(decoder, _converted(file), dtype, path)
    return decoder


def _converted(file: WeightsFile) -> dict[str, torch.Tensor]:
    """The file's tensors under diffusers' names: the number of each layer is one less."""
    renamed: dict[str, torch.Tensor] = {}
    for name, tensor in file.content.items():
        if name.startswith("taesd_encoder."):
            continue
        found = re.fullmatch(r"(\d+)\.(.+)", name.removeprefix(PREFIX))
        if found is None or not isinstance(tensor, torch.Tensor):
            raise ModelFileError(
                f"{file.path} is no TAESD decoder: it holds {name!r}, expected 1.weight, 3.conv.0.weight ..."
            )
        renamed[f"decoder.layers.{int(found[1]) - 1}.{found[2]}"] = tensor
    return renamed
