"""`RestoreOptions`: every option of a restoration, written once.

Node schemas, the command line, plans, the record in a result and the reports read these fields, so an option that is
added here appears there.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch

from ..errors import InputError
from ..imaging.color import COLOR_FIXES
from ..imaging.resizing import MAX_SIDE, output_size
from ..option_fields import check_options, declared_options, option

Sizing = Literal["pad", "published"]
GateMode = Literal["on", "report", "off"]

SEEDS = 2**64
"""Random numbers have so many starts."""
_CHANGES_NOTHING = frozenset({"tile_batch"})
"""Options of speed alone."""
_SAID_OTHERWISE = frozenset({
    "scale", "long_edge", "max_megapixels", "tile", "overlap", "color_fix", "strength", "prompt", "tags",
})  # fmt: skip
"""Options that a report says with sizes and tiles, or that are texts."""


@dataclass(frozen=True)
class PictureText:
    """What belongs to one picture, in place of the options of these names; None: theirs."""

    prompt: str | None = None
    tags: str | None = None


@dataclass(frozen=True)
class RestoreOptions:
    """What is asked of `restore()`. Sizes are in pixels of the result. None is chosen when pictures are restored.

    Three fields are no options but belong to the pictures of the call:

    Attributes:
        conditioning: a prompt that is encoded already, `[1,n,D]` as the model's text encoder gives it, in place of
            `prompt`.
        mask: `[B or 1,1,h,w]` in 0..1, resized to the output; 1 = restore. None: everywhere.
        texts: one for each picture; (): `prompt` and `tags` hold for all.

    Raises:
        InputError: an option is out of its range, or two contradict each other.
    """

    scale: float | None = option(
        None,
        "Enlargement; 1 restores without enlarging.",
        minimum=0.01,
        maximum=64,
        step=0.25,
        unset="the model's own",
    )
    long_edge: int | None = option(
        None,
        "Longer side of the result; it takes the place of the scale.",
        minimum=1,
        maximum=MAX_SIDE,
        unit="px",
        unset="use the scale",
    )
    max_megapixels: float | None = option(
        None,
        "A larger result is made smaller, in proportion, to this many million pixels, and the report says so. Guards "
        "against a huge photo that takes hours.",
        minimum=0.0001,
        maximum=10000,
        step=1.0,
        unit="megapixels",
        unset="no cap",
        advanced=True,
    )
    tile: int | None = option(
        None,
        "Largest tile side in pixels of the result. Smaller takes less memory and more time. Out of memory halves it "
        "by itself.",
        minimum=1,
        maximum=16384,
        step=8,
        unit="px",
        unset="chosen by the model and the free memory",
        advanced=True,
    )
    overlap: int | None = option(
        None,
        "How far neighbouring tiles overlap at least, in pixels of the result; must be below the tile. More hides "
        "differences between tiles better and takes longer; 0 may show seams.",
        minimum=0,
        maximum=8192,
        unit="px",
        unset="128, or a quarter of the tile when that is less",
        advanced=True,
    )
    tile_batch: int | None = option(
        None,
        "Tiles that are computed together. More is faster on a GPU and takes more memory.",
        minimum=1,
        maximum=64,
        unset="1 on a CPU, up to 8 on a GPU as memory allows",
        advanced=True,
    )
    strength: float = option(
        1.0,
        "How much of the restoration is used; 0 is exactly the plain enlargement.",
        minimum=0,
        maximum=1,
        step=0.05,
    )
    color_fix: str | None = option(
        None,
        "Takes the colours back from the input, over the whole picture. none: as the model paints. adain: mean and "
        "contrast of each colour. wavelet: all coarse light and colour, may leave bright rims. lab: coarse colour "
        "only, and brightness as a whole, without rims: the choice for portraits with a colour cast.",
        choices=COLOR_FIXES,
        unset="what the model was made for",
    )
    seed: int = option(
        0,
        "Start of the random numbers. It changes nothing while nothing is drawn, as by default: see sample_posterior.",
        minimum=0,
        maximum=SEEDS - 1,
        advanced=True,
    )
    prompt: str | None = option(
        None,
        "What the picture shows, for models that read text; the others ignore it and the report says so.",
        unset="the model's own prompt",
        advanced=True,
    )
    tags: str | None = option(
        None,
        "Comma-separated words for what is seen, from any tagger, for systems that want them (OSEDiff).",
        unset="none",
        advanced=True,
    )
    identity_gate: Literal["on", "report", "off"] = option(
        "on",
        "Guards the faces of known people. on: where the evidence says that the photo is of somebody else, the face is "
        "restored without it; if you said whose face it is, it has to say so clearly. report: it is only scored. off: "
        "the photo is used, and nothing is scored, which saves time.",
    )
    sizing: Literal["pad", "published"] = option(
        "pad",
        "pad gives exactly the asked size. published enlarges, sizes and rounds as the system's own script does, for "
        "comparison with it; the result may then have another size.",
        advanced=True,
    )
    sample_posterior: bool = option(
        False,
        "Draw the latent from what the encoder says is likely, as the published systems' scripts do, in place of its "
        "mean; with another seed the result differs a little. Where the encoder gives one answer, as headsup-tiny's, "
        "nothing is drawn.",
        advanced=True,
    )
    grain: float = option(
        0.0,
        "Fine film grain over what is restored, so that skin does not look like plastic; the same for the same seed, "
        "and as coarse as the result is large.",
        minimum=0,
        maximum=1,
        step=0.05,
    )
    reference_call: Literal["mixed", "single"] = option(
        "mixed",
        "How the UNet is told of a known face. mixed: one call without and one with the photo, mixed where the face "
        "is, so that several people can be told and everything else stays as it was. single: one call with the photo, "
        "as the HeadsUp paper has it; each tile knows one person, the whole of it may change, and the plain call is "
        "saved when the identity gate is off.",
        advanced=True,
    )
    tiling: Literal["own", "published"] = option(
        "own",
        "own: few tiles of equal size around faces, whose borders have no weight. published: a published system's own "
        "tiles in fixed steps under gaussian bells, for comparison with its script (OSEDiff and PiSA-SR 768 px with "
        "256 px overlap, HYPIR 512 and 256 in all stages); tile and overlap change them.",
        advanced=True,
    )
    frames: bool = option(
        False,
        "The pictures are frames of one video, in their order: a face keeps its name from frame to frame, one that is "
        "not found in a frame or three stays where its movement leads, and references are encoded once for all.",
    )
    conditioning: torch.Tensor | None = field(default=None, compare=False, repr=False)
    mask: torch.Tensor | None = field(default=None, compare=False, repr=False)
    texts: tuple[PictureText, ...] = ()

    def __post_init__(self) -> None:
        check_options(self)
        if self.scale is not None and self.long_edge is not None:
            raise InputError(f"scale {self.scale:g} and long edge {self.long_edge}: give one of them")

    @property
    def draws(self) -> bool:
        """Whether random numbers can change a pixel."""
        return self.sample_posterior or self.grain > 0

    def size_of(self, height: int, width: int, scale: float) -> tuple[int, int]:
        """The output's (height, width) for a picture, with `scale` where none was asked for. Raises `InputError`."""
        asked = scale if self.scale is None and self.long_edge is None else self.scale
        return output_size(
            height, width, scale=asked, long_edge=self.long_edge, max_megapixels=self.max_megapixels
        )

    def for_picture(self, index: int) -> RestoreOptions:
        """The options of picture `index` of a batch alone: with its mask and its start of the random numbers."""
        mask = self.mask if self.mask is None or len(self.mask) == 1 else self.mask[index : index + 1]
        text = self.text_of(index)
        seed = (self.seed + index) % SEEDS
        return replace(self, seed=seed, mask=mask, prompt=text.prompt, tags=text.tags, texts=())

    def text_of(self, index: int) -> PictureText:
        """The prompt and the tags of picture `index` of a batch."""
        own = self.texts[index] if self.texts else PictureText()
        prompt = self.prompt if own.prompt is None else own.prompt
        return PictureText(prompt, self.tags if own.tags is None else own.tags)

    def check_texts(self, pictures: int) -> None:
        """Raise `InputError` unless there is no text of its own for any picture, or one for each."""
        if self.texts and len(self.texts) != pictures:
            raise InputError(
                f"{len(self.texts)} texts for {pictures} pictures: give one text for all, or one for each picture"
            )

    def settings(self) -> dict[str, Any]:
        """Option -> value, of all that can change a pixel; the seed is left out while nothing is drawn."""
        unused = _CHANGES_NOTHING if self.draws else _CHANGES_NOTHING | {"seed"}
        return {name: getattr(self, name) for name in declared_options(RestoreOptions) if name not in unused}

    def remarks(self) -> str:
        """Colour fix and strength, and what else is set otherwise than by default, in words."""
        declared = declared_options(RestoreOptions)
        said = [f"colour fix {self.color_fix or 'of the model'}", f"strength {self.strength:g}"]
        for name, value in self.settings().items():
            if name not in _SAID_OTHERWISE and value != declared[name].default:
                said.append(f"{declared[name].label} {_shown(value)}")
        return ", ".join(said)


def _shown(value: Any) -> str:  # noqa: ANN401 - of any of the kinds
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:g}" if isinstance(value, float) else str(value)
