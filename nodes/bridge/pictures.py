"""ComfyUI's IMAGE, MASK and CONDITIONING as the core's tensors, and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from ...headsup_core import InputError
from ...headsup_core.imaging.hidden_colors import fill_hidden
from ...headsup_core.imaging.resizing import resize

if TYPE_CHECKING:
    from collections.abc import Iterable

TEXT_TOKENS = 77
Conditioning = list[tuple[torch.Tensor, dict[str, Any]]]


@dataclass(frozen=True)
class Pictures:
    """A batch: `rgb` `[B,3,H,W]` and `alpha` `[B,1,H,W]` or None, float.

    Below full transparency `rgb` holds the colours of what is visible around: hidden ones show nowhere.
    """

    rgb: torch.Tensor
    alpha: torch.Tensor | None

    @classmethod
    def from_image(cls, image: object) -> Pictures:
        """From an IMAGE `[B,H,W,C]`: C = 3, 4 with transparency, or 1 for grey. Raises `InputError` for others."""
        image = _tensor("image", image)
        if image.ndim != 4 or image.shape[-1] not in (1, 3, 4) or 0 in image.shape:
            raise InputError(
                f"image {tuple(image.shape)}: must be [batch, height, width, channels], none of them 0, with 1, 3 or "
                "4 channels"
            )
        planes = image.permute(0, 3, 1, 2)
        if planes.shape[1] == 1:
            return cls(planes.expand(-1, 3, -1, -1), None)
        if planes.shape[1] == 3:
            return cls(planes, None)
        alpha = planes[:, 3:]
        # a value that is none makes the picture fail later, by name; no hidden colour may do that
        return cls(fill_hidden(planes[:, :3], alpha.clamp(0, 1)), alpha)

    def __len__(self) -> int:
        return len(self.rgb)

    def one(self, index: int) -> torch.Tensor:
        """The colours of one picture, `[1,3,H,W]`."""
        return self.rgb[index : index + 1]

    def alpha_at(self, index: int, height: int, width: int) -> torch.Tensor | None:
        """One picture's transparency `[1,1,height,width]`."""
        if self.alpha is None:
            return None
        return resize(decodable(self.alpha[index : index + 1]), height, width)


class Canvas:
    """The IMAGE `[B,height,width,3 or 4]` of an output, filled picture by picture so that nothing is held twice."""

    def __init__(self, pictures: Pictures, height: int, width: int) -> None:
        self._pictures, self._size = pictures, (height, width)
        # filled now, so that the memory is taken before the work and not bit by bit while it goes on
        self.image = torch.empty(len(pictures), height, width, 3 if pictures.alpha is None else 4).fill_(0)

    def put(self, index: int, rgb: torch.Tensor) -> None:
        """Set a picture `[1,3,height,width]`; its transparency is added."""
        self.image[index, ..., :3] = rgb[0].permute(1, 2, 0)
        alpha = self._pictures.alpha_at(index, *self._size)
        if alpha is not None:
            self.image[index, ..., 3:] = alpha[0].permute(1, 2, 0)


def decodable(picture: torch.Tensor) -> torch.Tensor:
    """`picture` in 0..1 as float32 on the CPU, black where it has no finite value."""
    picture = picture.float().cpu()
    return torch.where(picture.isfinite(), picture, 0.0).clamp(0, 1)


def single_pictures(images: Iterable[object]) -> list[torch.Tensor]:
    """The colours of each picture of several IMAGEs of any sizes, `[1,3,H,W]` float32 on the CPU.

    Raises:
        InputError: as `Pictures.from_image`.
    """
    return [picture for image in images for picture in Pictures.from_image(image).rgb.float().cpu().split(1)]


def _tensor(name: str, value: object) -> torch.Tensor:
    """What a socket of any type gave, if it is a tensor; ComfyUI does not look at the value itself."""
    if not isinstance(value, torch.Tensor):
        raise InputError(f"{name} is a {type(value).__name__}, not a tensor: look at the step before")
    return value


def mask_planes(mask: object, pictures: int) -> torch.Tensor:
    """A MASK `[H,W]` or `[B or 1,H,W]` as `[B,1,H,W]`. Raises `InputError` when it does not fit the batch."""
    mask = _tensor("mask", mask)
    planes = mask[None] if mask.ndim == 2 else mask
    if planes.ndim != 3 or len(planes) not in (1, pictures) or 0 in planes.shape:
        wanted = "1" if pictures == 1 else f"1 or {pictures}"
        raise InputError(
            f"mask {tuple(mask.shape)} does not fit a batch of {pictures}: must be [{wanted}, height, width]"
        )
    if not bool(planes.isfinite().all()):
        raise InputError(f"mask {tuple(mask.shape)} has NaN or infinite values: look at the step before")
    return planes[:, None].expand(pictures, -1, -1, -1)


def prompt_states(conditioning: Conditioning) -> torch.Tensor:
    """The text encoder's states `[1,77n,D]` of a CONDITIONING. Raises `InputError` when it is not one such entry."""
    _check_entries(conditioning)
    shapes = ", ".join(str(list(states.shape)) for states, _options in conditioning) or "none"
    if len(conditioning) != 1:
        raise InputError(
            f"conditioning has {len(conditioning)} entries ({shapes}): must be one, as CLIP Text Encode makes it; "
            "remove what combines several"
        )
    states = conditioning[0][0]
    if states.ndim != 3 or len(states) != 1 or not states.shape[1] or states.shape[1] % TEXT_TOKENS:
        raise InputError(f"conditioning is {shapes}: must be [1, a multiple of {TEXT_TOKENS}, width]")
    return states


def _check_entries(conditioning: Any) -> None:  # noqa: ANN401 - whatever a socket of any type gave
    """Raise `InputError` for what is no list of pairs that begin with a tensor."""
    if isinstance(conditioning, list):
        entries: list[Any] = conditioning
        if all(isinstance(one, list | tuple) and len(one) == 2 and isinstance(one[0], torch.Tensor) for one in entries):
            return
    raise InputError(f"conditioning is a {type(conditioning).__name__} of another kind: use CLIP Text Encode")
