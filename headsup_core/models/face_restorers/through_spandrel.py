"""Torch files of face restorers through spandrel, a library that ComfyUI has: it knows the networks, we the path.

spandrel's own call of GFPGAN and CodeFormer leaves out that their authors' scripts bring faces to -1..1; so its
networks are called as those scripts call them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ...errors import InputError, ModelFileError
from ...libraries import need
from ..file_formats.weights_files import WeightsFile, load_network
from ..load_options import choose_options
from ..one_step import OneStepModel
from .aligned_network import AlignedNetwork, aligned_model
from .known_restorers import FACE_RESTORERS, FaceRestorer

SIDE = 512
"""Pixels of the faces that all of them were trained on."""
WRAPPINGS = ("params_ema", "params", "state_dict", "model_state_dict", "model", "net", "g_ema")
"""Names under which training scripts keep the tensors."""
PREFIXES = ("module.", "netG.")
GPEN_STARTS = ("ecd0.", "generator.style.")


def tensors_of(content: Mapping[str, Any]) -> dict[str, Any]:
    """The tensors of a file by their plain names, without what training scripts put around them."""
    for name in WRAPPINGS:
        inner: Any = content.get(name)
        if isinstance(inner, Mapping):
            content = inner
            break
    found: dict[str, Any] = {str(name): value for name, value in content.items()}
    for prefix in PREFIXES:
        if found and all(name.startswith(prefix) for name in found):
            found = {name.removeprefix(prefix): value for name, value in found.items()}
    return found


def find_face_restorer(file: WeightsFile) -> FaceRestorer | None:
    """The kind of face restorer that a torch file is of; None: of none.

    Raises:
        ModelFileError: it is one of GPEN's torch files, which spandrel does not know.
    """
    tensors = tensors_of(file.content)
    if all(any(name.startswith(start) for name in tensors) for start in GPEN_STARTS):
        raise ModelFileError(
            f"{file.path} is a GPEN file for its authors' own program, which spandrel does not know: "
            "use the .onnx file of the same name (GPEN-BFR-512.onnx)"
        )
    return next((one for one in FACE_RESTORERS if one.recognises(tensors)), None)


def load_through_spandrel(
    file: WeightsFile, restorer: FaceRestorer, dtype: str, options: Mapping[str, Any]
) -> OneStepModel:
    """The model of a torch file.

    Args:
        dtype: "auto" or "float32"; "bfloat16" halves the memory of the weights.

    Raises:
        InputError: spandrel, or the part of it that CodeFormer needs, is not installed; "float16", in which these
            networks overflow; an option that is not the model's.
        ModelFileError: tensors that do not fit the network.
    """
    chosen = choose_options(restorer.options, options, restorer.name)
    if dtype not in ("auto", "float32", "bfloat16"):
        raise InputError(f"dtype {dtype}: {restorer.name} computes in float32 or bfloat16: choose auto")
    precision = torch.bfloat16 if dtype == "bfloat16" else torch.float32
    tensors = tensors_of(file.content)
    known = _architecture(restorer)
    network = _empty_network(known, tensors, file.path, restorer.name)
    load_network(network, tensors, precision, file.path)
    placed = AlignedNetwork(network, restorer.call(chosen), SIDE, restorer.width)
    return aligned_model(placed, restorer.sized(SIDE))


def _architecture(restorer: FaceRestorer) -> Any:  # noqa: ANN401 - spandrel's
    """spandrel's description of the network. Raises `InputError` when it is not installed, or too old."""
    purpose = f"{restorer.name} ({restorer.record.card.licence})"
    if restorer.extra:
        registry: Any = need("spandrel_extra_arches", purpose=purpose).EXTRA_REGISTRY
        found = {one.architecture.id: one for one in registry}.get(restorer.architecture)
    else:
        found = need("spandrel", purpose=purpose).MAIN_REGISTRY.get(restorer.architecture)
    if found is None:
        raise InputError(f"{purpose} is unknown to the spandrel that is installed: update it")
    return found.architecture


def _empty_network(known: Any, tensors: Mapping[str, Any], path: Path, name: str) -> Any:  # noqa: ANN401
    """The network that the tensors' shapes describe, on the "meta" device, so that a hostile file takes no memory."""
    shapes = {key: value for key, value in tensors.items() if isinstance(value, torch.Tensor)}
    if len(shapes) != len(tensors):
        odd = next(key for key in tensors if key not in shapes)
        raise ModelFileError(f"{path}: {odd} is a {type(tensors[odd]).__name__}, where {name} has tensors only")
    empty = {key: value.to("meta") for key, value in shapes.items()}
    try:
        with torch.device("meta"):
            return known.load(empty).model
    except (RuntimeError, ValueError, TypeError, KeyError, IndexError, AttributeError, ZeroDivisionError) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise ModelFileError(
            f"{path} has tensors of {name}, but they are not those of its network "
            f"({' '.join(lines[:2])[:300]}): it is damaged, or of another version"
        ) from error
