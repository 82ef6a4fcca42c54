"""Which faces, and how their mask is drawn: inputs that several nodes have."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ...headsup_core import InputError
from ..bridge.comfy import io

if TYPE_CHECKING:
    from ...headsup_core.faces import Faces


def which_input() -> Any:  # noqa: ANN401 - ComfyUI's input
    """Indices of faces."""
    return io.String.Input(
        "which",
        default="",
        tooltip="Indices of the faces that count, as HeadsUp Detect Faces shows them, from 0, with commas: 0,2. Empty "
        "(default): all. In a batch they count in each picture; one that has no such face is left out.",
    )


def grow_input() -> Any:  # noqa: ANN401 - ComfyUI's input
    """How far the outline moves."""
    return io.Float.Input(
        "grow",
        default=0.0,
        min=-1.0,
        max=3.0,
        step=0.05,
        round=0.001,
        tooltip="Moves the outline outwards, in eye distances, -1 to 3, default 0; negative: inwards. Outwards takes "
        "in hair and background.",
    )


def feather_input(default: float) -> Any:  # noqa: ANN401 - ComfyUI's input
    """How soft the edge is."""
    return io.Float.Input(
        "feather",
        default=default,
        min=0.0,
        max=2.0,
        step=0.05,
        round=0.001,
        tooltip=f"Width of the soft edge inside the outline, in eye distances, 0 to 2, default {default:g}. 0: hard. "
        "Softer blends better and covers less; grow by as much to keep the size.",
    )


def parse_which(text: str) -> list[int] | None:
    """The indices of "0, 2", without doubles; None for all. Raises `InputError` for anything but whole numbers."""
    words = [word for word in re.split(r"[,;\s]+", text) if word]
    if not words:
        return None
    if wrong := [word for word in words if not re.fullmatch(r"[0-9]{1,6}", word)]:
        raise InputError(f"which {text!r}: {wrong[0]!r} is no index; write whole numbers from 0 with commas, as 0,2")
    return list(dict.fromkeys(int(word) for word in words))


def chosen_in(faces: Faces, wanted: list[int] | None) -> list[list[int] | None]:
    """For each picture the indices that it has.

    Raises:
        InputError: an index that no picture has, although there are faces.
    """
    if wanted is None:
        return [None] * len(faces)
    most = max((len(here) for here in faces), default=0)
    if most and (wrong := [index for index in wanted if index >= most]):
        has = f"the picture has {most} faces" if len(faces) == 1 else f"no picture has more than {most} faces"
        has = has.replace(" 1 faces", " 1 face")
        raise InputError(f"face {wrong[0]} does not exist: {has}, counted from 0 (the last is {most - 1})")
    return [[index for index in wanted if index < len(here)] for here in faces]
