"""Lists of pictures and of texts: which text belongs to which picture.

ComfyUI repeats a node for each element of a list, so that three texts beside a batch of three pictures would make nine.
HeadsUp Upscale takes whole lists and pairs them here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...headsup_core import InputError
from ...headsup_core.restoring.options import PictureText

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

TEXTS = ("prompt", "tags")


def calls_of(lists: Mapping[str, Sequence[Any]]) -> Iterator[dict[str, Any]]:
    """The arguments of each call that lists of inputs stand for; shorter ones repeat their last element, as always.

    A list of texts as long as there are pictures in all batches gives each picture its own: the call then has `texts`,
    one `PictureText` a picture.

    Args:
        lists: input -> its list, of which `image` has IMAGEs `[B,H,W,C]`.

    Raises:
        InputError: texts that are neither one, nor one a batch, nor one a picture.
    """
    sizes = [_pictures_in(image) for image in lists["image"]]
    told = {name: list(lists[name]) for name in TEXTS if lists.get(name)}
    each = {name: _one_each(name, texts, sizes) for name, texts in told.items()}
    others = {name: values for name, values in lists.items() if name not in TEXTS and len(values)}
    repeated = [*others.values(), *(texts for name, texts in told.items() if each[name] is None)]
    count = max(map(len, repeated))
    for index in range(count):
        call = {name: values[min(index, len(values) - 1)] for name, values in others.items()}
        batch = min(index, len(sizes) - 1)
        first = sum(sizes[:batch])
        own = {name: texts[first : first + sizes[batch]] for name, texts in each.items() if texts is not None}
        for name, texts in told.items():
            if name not in own:
                call[name] = texts[min(index, len(texts) - 1)]
        if own:
            rows = zip(*own.values(), strict=True)
            call["texts"] = tuple(PictureText(**dict(zip(own, row, strict=True))) for row in rows)
        yield call


def _one_each(name: str, texts: Sequence[str], sizes: Sequence[int]) -> Sequence[str] | None:
    """The texts when there is one a picture, None when one holds for a whole batch."""
    total = sum(sizes)
    if len(texts) == total and total > len(sizes):
        return texts
    if len(texts) in (1, len(sizes)) or len(sizes) == 1 == total:
        return None
    raise InputError(
        f"{name} has {len(texts)} texts for {total} pictures in {len(sizes)} batches: give one text, one for each "
        "batch, or one for each picture"
    )


def _pictures_in(image: object) -> int:
    """How many pictures an IMAGE has; what is none is refused later, by name."""
    shape: Any = getattr(image, "shape", ())
    return int(shape[0]) if len(shape) == 4 else 1
