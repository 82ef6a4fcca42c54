"""`load_one_step`: from a name or file to the networks that restore."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ..errors import InputError, ModelFileError
from ..host import Host, pick_device
from ..whole_files import why_absent
from . import precision
from .bases.base import NEEDED, Base, load_base
from .codecs.quick_decoder import LATENTS, find_taesd, load_taesd
from .face_restorers.known_restorers import FOLDER as FACE_RESTORER_FOLDER
from .face_restorers.through_onnx import SUFFIX as ONNX
from .face_restorers.through_onnx import load_onnx_restorer
from .face_restorers.through_spandrel import find_face_restorer, load_through_spandrel
from .file_formats.headsup_adapter import is_headsup_adapter, read_adapter_record
from .file_formats.headsup_file import is_headsup_file, load_headsup, read_model_record
from .file_formats.weights_files import WeightsFile, read_weights
from .load_options import AdaptedOptions, AdapterOptions, DetailOptions, NoOptions, choose_options, split_options
from .one_step import OneStepModel
from .systems import find_system

BUNDLED_FOLDER = Path(__file__).parent / "bundled"
DEFAULT_MODEL = "headsup-tiny"
SMALL_MODEL_BYTES = 200_000_000
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def load_one_step(
    model: str | Path | None = None,
    *,
    adapter: str | Path | None = None,
    base: str | Path | Base | None = None,
    dtype: str = "auto",
    host: Host | None = None,
    **options: Any,  # noqa: ANN401 - each system and each file names its own
) -> OneStepModel:
    """Load a one-step restorer: one that is complete in itself (`model`), or a published system's `adapter` and `base`.

    Args:
        model: a bundled name (None: "headsup-tiny"), a path to a HeadsUp `.safetensors` or to a face restorer's file
            (`face_restorers`), or, with a `host`, the name of a file in its `models/headsup` or
            `models/facerestore_models`.
        adapter: a published system's file, found like `model`; its companions lie beside it.
        base: what the adapter goes beside: a diffusers folder or a single-file checkpoint, by path, or, with a `host`,
            by its name in `models/diffusers` or `models/checkpoints`; or a `Base` that is loaded already and shared.
        dtype: "auto" (float32; float16 for files over 200 MB on a GPU; bfloat16 for HeadsUp files on CPUs that compute
            in it), "float32", "bfloat16", "float16"; a shared `Base` keeps its own.
        host: finds files and says which device will compute; None: files by path only, CPU.
        options: with an adapter, `system` and `merge` (`load_options.AdapterOptions`), what every adapter has
            (`load_options.AdaptedOptions`) and what its system declares (`models.systems`); without, what the face
            restorer declares (`models.face_restorers`), or the file: `detail` (`load_options.DetailOptions`).

    Raises:
        ModelFileError: nothing of that name, or a file that is not a usable model: what was found and expected.
        InputError: unknown dtype, option or combination, or a name that leaves its folder.
    """
    if adapter is not None:
        if model is not None:
            raise InputError("give either a model or an adapter with its base, not both")
        if base is None:
            raise InputError(f"adapter {adapter} needs its base, a file or folder: {NEEDED}")
        return _load_adapted(adapter, base, dtype, host, options)
    lone, options = split_options(AdapterOptions, options)
    if base is not None or any(lone.values()):
        given = "base" if base is not None else next(name for name, value in lone.items() if value)
        raise InputError(f"{given} was given without an adapter")
    model = DEFAULT_MODEL if model is None else model
    path = find_model_file(model, host)
    if path.suffix.lower() == ONNX:
        return load_onnx_restorer(path, dtype, options)
    file = read_weights(path)
    if not is_headsup_file(file):
        restorer = find_face_restorer(file)
        if restorer is not None:
            return load_through_spandrel(file, restorer, dtype, options)
        if is_headsup_adapter(file):
            raise ModelFileError(
                f"{file.path} is a HeadsUp adapter: load it as adapter, with its base, {read_adapter_record(file).base}"
            )
        some = ", ".join(list(file.content)[:3]) or "nothing"
        raise ModelFileError(
            f"{file.path} is a weights file, but not a HeadsUp model (it holds {some} ...): expected a .safetensors "
            f"whose header says format = headsup, or a face restorer (GFPGAN, CodeFormer, RestoreFormer); a published "
            f"system's file is loaded as adapter, with its base"
        )
    record = read_model_record(file)
    if record.detail is None:
        choose_options(NoOptions, options, record.card.name)
    detail = choose_options(DetailOptions, options, record.card.name).detail
    return load_headsup(file, _own_dtype(dtype, host, file.path.stat().st_size), detail)


def _load_adapted(
    adapter: str | Path,
    base: str | Path | Base,
    dtype: str,
    host: Host | None,
    options: dict[str, Any],
) -> OneStepModel:
    file: WeightsFile = read_weights(find_model_file(adapter, host))
    own, options = split_options(AdapterOptions, options)
    asked = choose_options(AdapterOptions, own, "an adapter")
    found = find_system(file, asked.system)
    if isinstance(base, Base):
        if asked.merge:
            raise InputError("merge changes the base's weights, which others share: give the base as a file or folder")
        weights = base
    else:
        weights = load_base(find_base(base, host), resolve_dtype(dtype, host, SMALL_MODEL_BYTES + 1))
    own, systems = split_options(AdaptedOptions, options)
    chosen = choose_options(AdaptedOptions, own, found.name)
    model = found.build(file, weights, systems, merge=asked.merge)
    return model if chosen.decoder == "own" else _quickly_decoded(model, host)


def _quickly_decoded(model: OneStepModel, host: Host | None) -> OneStepModel:
    """The model with TAESD's decoder. Raises as `load_one_step`."""
    if model.codec.skips is not None:
        raise InputError(f"{model.card.name}'s decoder reads the encoder's activations: use decoder own")
    config: Any = model.codec.vae.config
    found = (model.codec.channels, model.codec.factor, round(config.scaling_factor, 5))
    if found != LATENTS:
        raise InputError(
            f"decoder taesd is for latents of {LATENTS[0]} channels, {LATENTS[1]} px each and scaled by {LATENTS[2]}, "
            f"this base's have {found[0]}, {found[1]} and {found[2]}: use decoder own"
        )
    decoder = load_taesd(find_taesd(host), model.dtype)
    return replace(model, codec=model.codec.with_quick_decoder(decoder))


def find_base(base: str | Path, host: Host | None = None) -> Path:
    """The folder or file that `load_one_step` would read as base. Raises `ModelFileError` when there is none."""
    path = Path(base)
    if os.path.exists(path) or isinstance(base, Path) or host is None or os.path.isabs(base):
        if not os.path.exists(path):
            raise ModelFileError(f"base {str(base)!r} {why_absent(path)}; needed is {NEEDED}")
        return path
    try:
        return host.find_model("diffusers", base)
    except ModelFileError:
        return host.find_model("checkpoints", base)


def find_model_file(model: str | Path, host: Host | None = None) -> Path:
    """The file that `load_one_step` would read."""
    bundled = bundled_models()
    if str(model) in bundled:
        return bundled[str(model)]
    names = ", ".join(bundled) or "none"
    if isinstance(model, Path) or host is None or os.path.isfile(model) or os.path.isabs(model):
        path = Path(model)
        if not os.path.exists(path):
            raise ModelFileError(f"model {str(model)!r} {why_absent(path)}; bundled: {names}")
        return path
    try:
        return host.find_model("headsup", model)
    except ModelFileError as error:
        try:
            return host.find_model(FACE_RESTORER_FOLDER, model)
        except ModelFileError:
            raise ModelFileError(f"{error}; bundled: {names}") from None


def bundled_models() -> dict[str, Path]:
    """Name -> file of the models that come with the pack."""
    return {path.stem: path for path in sorted(BUNDLED_FOLDER.glob("*.safetensors"))}


def _own_dtype(dtype: str, host: Host | None, file_bytes: int) -> torch.dtype:
    """As `resolve_dtype`, for models of our own: bfloat16 where "auto" computes on a CPU made for it.

    Half the time for 0.4 levels in the mean and 0.0013 of LPIPS, measured (docs/performance.md).
    """
    device = pick_device(None) if host is None else host.device
    if dtype == "auto" and device.type == "cpu" and precision.cpu_computes_in_bfloat16():
        return torch.bfloat16
    return resolve_dtype(dtype, host, file_bytes)


def resolve_dtype(dtype: str, host: Host | None, file_bytes: int = 0) -> torch.dtype:
    """The torch dtype of a choice; see `load_one_step`. Raises `InputError` when it is none."""
    if dtype == "auto":
        on_gpu = host is not None and host.device.type != "cpu"
        return torch.float16 if on_gpu and file_bytes > SMALL_MODEL_BYTES else torch.float32
    if dtype not in DTYPES:
        raise InputError(f"dtype {dtype!r} is unknown: choose auto, {', '.join(DTYPES)}")
    return DTYPES[dtype]
