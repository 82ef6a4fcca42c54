"""Where and in which precision the surrounding program wants tensors: pictures that nodes give, and weights."""

from __future__ import annotations

from typing import Any

import torch

from .comfy import cli_args, model_management

FLAGS = {
    "force_fp32": "float32",
    "fp32_unet": "float32",
    "bf16_unet": "bfloat16",
    "fp16_unet": "float16",
    "force_fp16": "float16",
}
"""ComfyUI's flags for all networks, and for the UNet, and the choice of `HeadsUp Load Model` that they stand for."""


def outgoing(planes: torch.Tensor) -> torch.Tensor:
    """An IMAGE or MASK on ComfyUI's device for results, in its precision for them (0.3.75: float32)."""
    precision: Any = getattr(model_management, "intermediate_dtype", None)
    dtype: torch.dtype = torch.float32 if precision is None else precision()
    return planes.to(device=model_management.intermediate_device(), dtype=dtype)


def chosen_dtype(choice: str) -> str:
    """The precision of weights: what was chosen, or for "auto" what ComfyUI was started with, where that says any."""
    if choice != "auto":
        return choice
    return next((dtype for flag, dtype in FLAGS.items() if getattr(cli_args, flag, False)), choice)
