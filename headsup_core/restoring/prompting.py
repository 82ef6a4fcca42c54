"""Prompts and tags: from lists of texts to the options, and from those to what the UNet is told of each picture."""

from __future__ import annotations

from typing import Any

import torch

from ..errors import InputError
from ..models.one_step import OneStepModel
from .options import PictureText, RestoreOptions


def with_texts(shortcuts: dict[str, Any]) -> dict[str, Any]:
    """Fields of `RestoreOptions`, of which `prompt` and `tags` may be lists of texts."""
    texts = {name: shortcuts.get(name) for name in ("prompt", "tags")}
    lists = {name: tuple(given) for name, given in texts.items() if isinstance(given, list | tuple)}
    if not lists:
        return shortcuts
    count = max(map(len, lists.values()))
    if any(len(each) != count for each in lists.values()):
        raise InputError(f"{len(lists['prompt'])} prompts and {len(lists['tags'])} tags: give as many of both")
    each = [PictureText(**{name: texts[index] for name, texts in lists.items()}) for index in range(count)]
    return {name: value for name, value in shortcuts.items() if name not in lists} | {"texts": tuple(each)}


def prompts_of(
    model: OneStepModel, options: RestoreOptions, pictures: int, notes: list[str]
) -> tuple[torch.Tensor, ...]:
    """What the UNet is told of each picture; `notes` gets what the model cannot use, once."""
    found: dict[PictureText, torch.Tensor] = {}
    for index in range(pictures):
        text = options.text_of(index)
        if text not in found:
            said: list[str] = []
            found[text] = _embeddings(model, options.for_picture(index), said)
            notes += [line for line in said if line not in notes]
    return tuple(found[options.text_of(index)] for index in range(pictures))


def _embeddings(model: OneStepModel, options: RestoreOptions, notes: list[str]) -> torch.Tensor:
    """What the UNet is told of the picture, `[p,n,D]`; `notes` gets what the model cannot use.

    Raises:
        InputError: a conditioning of another shape than the model's.
    """
    states = options.conditioning
    if states is not None:
        width = model.prompt.width
        if not model.prompt.reads_text:
            notes.append(f"{model.card.name} was trained without prompts: the conditioning was ignored")
            return model.prompt.embeddings(None)
        if states.ndim != 3 or len(states) != 1 or states.shape[-1] != width:
            raise InputError(f"conditioning is {tuple(states.shape)}, {model.card.name} needs [1, n, {width}]")
        return model.prompt.with_states(states)
    if (options.prompt or options.tags) and not model.prompt.reads_text:
        notes.append(f"{model.card.name} was trained without prompts: the text was ignored")
    return model.prompt.embeddings(options.prompt, options.tags)
