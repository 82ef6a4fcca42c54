"""Tells the page which of Load Model's inputs belong to which model, and what they are unless they are turned; it
hides those of the others.

Not by ComfyUI's `DynamicCombo`, which 0.3.75 does not have: its inputs have other names in prompts and other places in
saved workflows, so that neither could be opened in both.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...headsup_core import InputError, ModelFileError
from ...headsup_core.idfsr.known_faces import is_idfsr
from ...headsup_core.models.file_options import options_of_file, options_of_system
from ...headsup_core.models.loading import DEFAULT_MODEL, find_model_file
from ...headsup_core.models.systems import SYSTEMS
from .model_files import find_choice, fingerprint

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

OF_CHOICES, OF_MODELS = "headsup_options_of_choices", "headsup_option_of_models"
"""Settings of inputs in what the page is told: choice -> option -> its default there; and of such an
option itself the least that one would choose, which may be more than what stands for the model's own default."""


def marked(described: Any, **settings: Any) -> Any:  # noqa: ANN401 - ComfyUI's input
    """An input with further settings for the page. 0.3.75 takes them after the input was made only."""
    described.extra_dict = {**described.extra_dict, **settings}
    return described


def options_of_choices(choices: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Each file's options; a file that cannot be looked into is left out, and the page shows all options."""
    found = ((choice, options_of_choice(choice)) for choice in choices)
    return {choice: options for choice, options in found if options is not None}


def options_of_systems() -> Mapping[str, dict[str, Any]]:
    """Options of each system, by its id."""
    return {system.id: options_of_system(system) for system in SYSTEMS}


def options_of_choice(choice: str) -> dict[str, Any] | None:
    """The options of one file, with the defaults that it gives them; None where it cannot be looked into."""
    try:
        return _options_of_file(fingerprint(find_choice(choice)))
    except (ModelFileError, InputError):  # a damaged file or none: let the loader say so
        return None


@lru_cache(maxsize=512)
def _options_of_file(file: tuple[Path, int, int]) -> dict[str, Any]:
    """The options of a file of that fingerprint: the page asks for all choices each time it is opened."""
    path = find_model_file(DEFAULT_MODEL) if is_idfsr(file[0]) else file[0]
    return options_of_file(path)
