"""What a one-step restorer is trained on and how."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...errors import InputError
from ...models.record import ModelCard, ModelRecord
from ...option_fields import check_fields, within
from ..data.degradation import DEGRADATIONS
from ..losses.distillation import DistillationConfig
from ..losses.perceptual import LpipsNet
from ..run_config import RunConfig, check_shares, mapping_of, read_record, rooted, rooted_sources
from .restorer_networks import AdapterConfig
from .restorer_samples import SourceConfig


@dataclass(frozen=True)
class LossWeights:
    """The loss is the sum of these weights times their terms, y being the restored crop and x the true one.

    |y - x|; |y - x|^2 (`loss_terms.squared_error`); LPIPS(y, x); 1 - SSIM(y, x); `loss_terms.colour_error(y, x)`;
    |D(E(x)) - x| of the codec; `loss_terms.periodic_texture(y - x)`; `loss_terms.spectrum_distance(y, x)`;
    on aligned faces `loss_terms.face_fidelity` with its `face_lpips`, `loss_terms.identity_loss` and the adversarial
    loss of `face_critic.FaceCritic`; the adversarial loss of `feature_critic.FeatureCritic` on crops and faces;
    `distillation.Distillation`.

    HeadsUp and OSEDiff print l2 1, lpips 2, distillation 1, face 1, face_lpips 0.8, identity 4; HeadsUp does not print
    its adversarial weight.
    """

    l1: float = within(1.0, 0)
    l2: float = within(0.0, 0)
    lpips: float = within(0.15, 0)
    ssim: float = within(0.0, 0)
    colour: float = within(0.0, 0)
    codec: float = within(0.25, 0)
    periodic: float = within(8.0, 0)
    spectrum: float = within(0.0, 0)
    face: float = within(0.0, 0)
    face_lpips: float = within(0.8, 0)
    identity: float = within(0.0, 0)
    adversarial: float = within(0.0, 0)
    features: float = within(0.0, 0)
    distillation: float = within(0.0, 0)

    def __post_init__(self) -> None:
        check_fields(self, "loss")


@dataclass(frozen=True)
class RestorerConfig(RunConfig):
    """Everything that decides a run, with `RunConfig`.

    Attributes:
        architecture: of a whole model that is trained, or None.
        adapter: of adapters that are trained beside a base, or None.
        base: that base, a diffusers folder or a checkpoint file.
        crop: side of the training crops in output pixels.
        batch: samples of a step in each process.
        codec_steps: first steps, in which the codec alone learns to reproduce clean pictures.
        lpips_from: step from which LPIPS counts.
        init: exported file to start from, read only when the run begins: for a whole model tensors of the same name and
            shape are taken over and others start anew. "" starts from random weights, or adapters that change nothing.
        reference_drop: how often a reference is left out.
        teacher: YuNet's file, which finds the faces of folders: those whose people are to have references, and those of
            any other folder, for the face losses; "": nobody is looked for.
        tagger: RAM's file, which says what each picture shows (`picture_texts`); "": only photo.txt beside it does.
        dape: DAPE's file over it, for what the bad picture shows; "": RAM alone.
        recognisers: files for the identity loss (`recogniser.load_recogniser`), which is the mean over them; in YAML
            `recogniser`, one file or a list.
        lpips_net: squeeze, vgg (OSEDiff's) or alex.
        lpips_backbone: file with that network's weights (see `perceptual.load_lpips`).
        face_side: pixels of the aligned faces that the fidelity and the critic see.
        critic_width: channels of the critic's first layer.
        feature_learning_rate: of the heads of the critic on LPIPS' features.
        gradient_checkpointing: less memory for about a third more time.
        sample_side: pixels of the crops on the sample sheets.
    """

    architecture: ModelRecord | None
    sources: tuple[SourceConfig, ...]
    degradations: dict[str, float]
    lpips_backbone: str
    adapter: AdapterConfig | None = None
    base: str = ""
    init: str = ""
    teacher: str = ""
    tagger: str = ""
    dape: str = ""
    recognisers: tuple[str, ...] = ()
    lpips_net: LpipsNet = "squeeze"
    reference_drop: float = within(0.2, 0, 1)
    crop: int = within(192, 32)
    codec_steps: int = within(400, 0)
    lpips_from: int = within(800, 0)
    sample_side: int = within(256, 32)
    face_side: int = within(128, 32)
    critic_width: int = within(64, 1)
    critic_learning_rate: float = within(1e-4, 0)
    feature_learning_rate: float = within(4e-4, 0)
    gradient_checkpointing: bool = False
    loss: LossWeights = field(default_factory=LossWeights)
    distillation: DistillationConfig = field(default_factory=DistillationConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_shares(self.degradations, "degradations", DEGRADATIONS)
        for name in self.degradations:
            scale = DEGRADATIONS[name].scale
            for side in ("crop", "sample_side"):
                if getattr(self, side) % scale:
                    raise InputError(
                        f"{side} {getattr(self, side)}: must be a multiple of {scale}, by which {name} reduces"
                    )

    @classmethod
    def fields_of(cls, record: Mapping[str, Any], data: Path) -> dict[str, Any]:
        fields = {**record, **rooted(record, ("base", "lpips_backbone", "teacher", "tagger", "dape"), data)}
        architecture, adapter = record.get("architecture"), record.get("adapter")
        fields["architecture"] = None if architecture is None else ModelRecord.from_json(architecture)
        if adapter is not None:
            settings: dict[str, Any] = {**adapter, "card": ModelCard(**adapter["card"])}
            fields["adapter"] = AdapterConfig(**settings)
        fields["sources"] = tuple(SourceConfig(**source) for source in rooted_sources(record, data))
        if "recognisers" in record:
            raise ValueError("recognisers: write recogniser, for one file as for a list")
        fields["recognisers"] = _files(fields.pop("recogniser", ""), data)
        fields["loss"] = LossWeights(**mapping_of(record, "loss"))
        fields["distillation"] = DistillationConfig(**mapping_of(record, "distillation"))
        return fields


def read_config(path: Path, overrides: Mapping[str, Any] | None = None, data: Path | None = None) -> RestorerConfig:
    """Read a YAML configuration; `overrides` as for `read_record`, relative paths start from `data`.

    Raises:
        InputError: the file is missing, not YAML, or names an unknown field.
    """
    return RestorerConfig.from_record(read_record(path, overrides), data or Path())


def _files(named: object, root: Path) -> tuple[str, ...]:
    """The files that `recogniser` names. Raises `ValueError` for anything but a name or a list of different names."""
    if not named:
        return ()
    names: Any = [named] if isinstance(named, str) else named
    if (
        not isinstance(names, list)
        or not all(isinstance(name, str) and name for name in names)
        or len(set(names)) < len(names)
    ):
        raise ValueError(f"recogniser: expected a file, or a list of different files, not {named!r}")
    return tuple(str(root / name) for name in names)
