"""The face restorers that people already have in `models/facerestore_models`: what is known of each.

They are networks over aligned faces (FFHQ's template, as FaceLib cuts them), in and out in -1..1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from ...imaging.published import FaceSizing
from ...option_fields import option
from ..load_options import NoOptions
from ..prediction import Answer
from ..record import ModelCard, ModelRecord
from .aligned_network import Call

FOLDER = "facerestore_models"
"""Below ComfyUI's models folder; the name that other packs have given it."""
FFHQ = "FFHQ, whose pictures forbid commercial use (CC BY-NC-SA 4.0), with made damage"


@dataclass(frozen=True)
class FidelityOptions:
    """CodeFormer's one option, w in its paper (Zhou et al. 2022, section 3.3)."""

    fidelity: float = option(
        0.5,
        "How far the face keeps to what the picture shows: 1 keeps to it the most, 0 draws the face from what the "
        "model knows of faces, which is cleaner and less like the person. Its authors' w.",
        minimum=0.0,
        maximum=1.0,
        step=0.05,
    )


@dataclass(frozen=True)
class FaceRestorer:
    """One kind of them.

    Attributes:
        record: what is known of it before a file is read; `record.system` is its id.
        call: chosen options -> how its network is called.
        options: a frozen dataclass of `option_fields.option`s.
        keys: names of tensors that all of its torch files hold; (): spandrel does not know it.
        architecture: its name in spandrel's registry.
        extra: whether that is in `spandrel_extra_arches`, whose parts have licences of their own.
        width: channels at full size.
    """

    record: ModelRecord
    call: Callable[[Any], Call] = lambda options: _first
    options: type = NoOptions
    keys: tuple[str, ...] = ()
    architecture: str = ""
    extra: bool = False
    width: int = 64

    @property
    def id(self) -> str:
        return self.record.system

    @property
    def name(self) -> str:
        """What people call it."""
        return self.record.card.name

    def recognises(self, tensors: Mapping[str, Any]) -> bool:
        """Whether these are the tensors of a file of this kind."""
        return bool(self.keys) and all(key in tensors for key in self.keys)

    def sized(self, side: int) -> ModelRecord:
        """The record of one for faces of `side` px."""
        sizes = {"aligned_face": side, "trained_size": side, "minimum_side": side, "published": FaceSizing(side)}
        return replace(self.record, **sizes)


def _first(network: nn.Module, faces: torch.Tensor) -> torch.Tensor:
    """These networks give further things after the picture."""
    return network(faces)[0]


def _gfpgan(options: NoOptions) -> Call:
    """With StyleGAN2's stored noise: by default it is drawn anew at each call, from torch's global generator."""
    del options
    return lambda network, faces: network(faces, return_rgb=False, randomize_noise=False)[0]


def _codeformer(options: FidelityOptions) -> Call:
    return lambda network, faces: network(faces, weight=options.fidelity)[0]


def _record(system: str, card: ModelCard) -> ModelRecord:
    return ModelRecord(card, Answer(), system=system, scale=1)


FACE_RESTORERS: tuple[FaceRestorer, ...] = (
    FaceRestorer(
        _record(
            "gfpgan",
            ModelCard(
                "GFPGAN",
                "Apache-2.0, but for its StyleGAN2 parts (Nvidia Source Code License, non-commercial)",
                FFHQ,
            ),
        ),
        _gfpgan,
        keys=("toRGB.0.weight", "stylegan_decoder.style_mlp.1.weight"),
        architecture="GFPGAN",
    ),
    FaceRestorer(
        _record(
            "codeformer",
            ModelCard("CodeFormer", "NON-COMMERCIAL: S-Lab License 1.0, code and weights", FFHQ),
        ),
        _codeformer,
        FidelityOptions,
        keys=("position_emb", "idx_pred_layer.1.weight", "ft_layers.0.self_attn.in_proj_weight"),
        architecture="CodeFormer",
        extra=True,
    ),
    FaceRestorer(
        _record("restoreformer", ModelCard("RestoreFormer", "Apache-2.0", FFHQ)),
        keys=("quantize.embedding.weight", "encoder.down.0.block.0.norm1.weight", "decoder.conv_out.weight"),
        architecture="RestoreFormer",
    ),
    FaceRestorer(
        _record(
            "gpen",
            ModelCard("GPEN", "NON-COMMERCIAL: its authors allow academic and non-commercial use only", FFHQ),
        ),
    ),
)
