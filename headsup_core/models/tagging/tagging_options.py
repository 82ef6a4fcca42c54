"""How a picture is tagged: the options, written once for node, command and training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ...option_fields import check_options, option


@dataclass(frozen=True)
class TaggingOptions:
    """What is asked of `Tagger.tags`.

    Raises:
        InputError: an option is out of its range.
    """

    reduction: Literal["smooth", "sampled", "pillow"] = option(
        "smooth",
        "How a picture is reduced to the tagger's size. smooth: bilinear with antialiasing, as torchvision 0.17 and "
        "newer. sampled: without, as SeeSR and OSEDiff were published (torchvision 0.15). pillow: in 8 bits, as RAM's "
        "own script. Tags near their threshold can differ.",
        advanced=True,
    )
    enlarge: int = option(
        1,
        "Enlarge the picture by this (bicubic) before it is tagged: OSEDiff's script tags the fourfold enlargement, "
        "SeeSR's the picture as it is. It changes something only without smooth reduction.",
        minimum=1,
        maximum=8,
        advanced=True,
    )
    threshold_shift: float = option(
        0.0,
        "Added to the threshold of every tag: higher gives fewer, surer tags. 0 is as published.",
        minimum=-0.5,
        maximum=0.5,
        step=0.05,
        advanced=True,
    )

    def __post_init__(self) -> None:
        check_options(self)
