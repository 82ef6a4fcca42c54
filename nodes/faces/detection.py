"""What the nodes that look for faces have in common: inputs, progress, the answer to "no face"."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from ...headsup_core import InputError
from ...headsup_core.faces import Faces
from ..bridge.comfy import FaceAnalyzerSocket, ImageSaveHelper, io
from ..bridge.host import ComfyHost
from ..bridge.option_inputs import advanced_input

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from ...headsup_core.faces import DetectionOptions, FaceAnalyzer

PASS, ERROR = "pass through", "error"
SHOWN = 16
"""Pictures of a batch that a node shows."""


DEFAULT = "dlib, which needs no files and may be used commercially"


def analyzer_input(use: str, unconnected: str = DEFAULT) -> Any:  # noqa: ANN401 - ComfyUI's input
    """The optional socket of an analyzer; `unconnected` is what takes its place."""
    return FaceAnalyzerSocket.Input(
        "analyzer",
        optional=True,
        tooltip=f"From HeadsUp Load Face Analyzer: what {use}. Unconnected: {unconnected}.",
    )


def no_face_input(default: str, passed: str, when: str = "a picture has no") -> Any:  # noqa: ANN401 - ComfyUI's input
    """What happens without a face; `passed` says what "pass through" gives."""
    return advanced_input(
        io.Combo,
        "no_face",
        options=[PASS, ERROR],
        default=default,
        tooltip=f"When {when} face. pass through{' (default)' * (default == PASS)}: {passed}. "
        f"error{' (default)' * (default == ERROR)}: the workflow stops and says which picture it was.",
    )


def min_score_input() -> Any:  # noqa: ANN401 - ComfyUI's input
    """The detector's threshold."""
    return advanced_input(
        io.Float,
        "min_score",
        default=0.5,
        min=0.0,
        max=1.0,
        step=0.05,
        round=0.001,
        tooltip="Least certainty of a face, 0 to 1, default 0.5. Lower finds more faces, blurred and turned ones, too, "
        "and more that are none.",
    )


def detect_each(
    analyzer: FaceAnalyzer, pictures: Sequence[torch.Tensor], options: DetectionOptions
) -> list[Faces]:
    """The faces of each picture `[1,3,H,W]`, with progress; Cancel works between any two.

    Raises:
        InputError: a picture cannot be used; it is named by its index when there are several.
    """
    host = ComfyHost.on("cpu")
    found: list[Faces] = []
    with host.progress(len(pictures)) as progress:
        for index, picture in enumerate(pictures):
            host.check_cancelled()
            try:
                found.append(analyzer.detect(picture, options))
            except InputError as error:
                raise InputError(place(index, len(pictures)) + str(error)) from error
            progress.advance()
    return found


def together(found: Sequence[Faces], analyzer: FaceAnalyzer) -> Faces:
    """The faces of pictures of one size as those of a batch."""
    pictures = tuple(faces[0] for faces in found)
    return Faces(pictures, found[0].height, found[0].width, analyzer.analyzer_id)


def require_faces(found: Sequence[Faces], analyzer: FaceAnalyzer, options: DetectionOptions) -> None:
    """Raises `InputError` when a picture has no face."""
    without = [index for index, faces in enumerate(found) if not faces.count]
    if without:
        first = found[without[0]]
        raise InputError(
            f"no face was found in {len(without)} of {len(found)} pictures, the first is picture {without[0] + 1} "
            f"({first.width}x{first.height} px), by {analyzer.name} with a score of {options.min_score:g} and eyes "
            f"{options.least_eyes(first.height, first.width):.2g} px apart or more: lower these, load "
            f"another analyzer, or set no_face to {PASS}"
        )


def place(index: int, pictures: int) -> str:
    """How a line about one of several pictures begins."""
    return f"picture {index + 1} of {pictures}: " if pictures > 1 else ""


def shown(image: torch.Tensor) -> dict[str, Any]:
    """What the node shows below its widgets: the first pictures of an IMAGE `[B,H,W,3]`."""
    # not ComfyUI's PreviewImage, which draws its file name from the global random state
    saved = ImageSaveHelper.save_images(
        image[:SHOWN], f"headsup_{uuid.uuid4().hex[:8]}", folder_type=io.FolderType.temp, cls=None, compress_level=1
    )
    return {"images": saved}
