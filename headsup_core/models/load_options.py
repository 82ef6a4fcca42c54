"""Options that are chosen when a model is loaded: of the published systems, and of model files with two ends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from ..errors import InputError
from ..option_fields import declared_options, option

Chosen = TypeVar("Chosen")


@dataclass(frozen=True)
class NoOptions:
    """The options of a system or file that has none."""


@dataclass(frozen=True)
class DetailOptions:
    """The options of a model file with two ends (`file_formats.two_ends`)."""

    detail: float | None = option(
        None,
        "How crisp the result is: 0 keeps to what the picture shows, 1 draws the most detail. Only for models whose "
        "file holds both ends; the model's info says so.",
        unset="the model's own default",
        minimum=0.0,
        maximum=1.0,
        step=0.05,
    )


@dataclass(frozen=True)
class AdaptedOptions:
    """The options of every adapter that goes beside Stable Diffusion."""

    decoder: Literal["own", "taesd"] = option(
        "own",
        "What makes the picture of the result. own: the base's decoder. taesd: the small one that ComfyUI has for "
        "previews, taesd_decoder.safetensors or .pth in models/vae_approx; much faster, and softer in fine detail. Not "
        "for S3Diff files with skip connections.",
    )


@dataclass(frozen=True)
class AdapterOptions:
    """What is chosen of an adapter and its base before the file is read; programs have their own inputs for it."""

    system: str | None = option(
        None,
        "Whose adapter it is: osediff, pisasr ...",
        unset="found by the keys of the file",
    )
    merge: bool = option(
        False,
        "Add the adapter to the base's weights, which then belong to this model alone.",
    )


@dataclass(frozen=True)
class ProcessSizeOptions:
    """The option of OSEDiff's and PiSA-SR's scripts, which enlarge small pictures in the same way."""

    process_size: int = option(
        512,
        "With published sizing: a picture with a shorter side below process_size / scale is enlarged to that first.",
        minimum=8,
        maximum=8192,
        step=8,
        unit="px",
        advanced=True,
    )


def split_options(declared: type, given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What of `given` a dataclass declares, and the rest."""
    known = declared_options(declared)
    ours = {name: value for name, value in given.items() if name in known}
    return ours, {name: value for name, value in given.items() if name not in known}


def choose_options(declared: type[Chosen], given: Mapping[str, Any], owner: str) -> Chosen:
    """The options of a dataclass with the values that were given by name.

    Args:
        owner: name of the system or model, for messages.

    Raises:
        InputError: an option that is not declared, or a value out of its range.
    """
    known = declared_options(declared)
    if unknown := sorted(set(given) - set(known)):
        names = ", ".join(f"{name} (default {each.default!r})" for name, each in known.items()) or "no options"
        raise InputError(f"{owner} has no option {unknown[0]!r}; it has {names}")
    return declared(**{name: known[name].check(value) for name, value in given.items()})
