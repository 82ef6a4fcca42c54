"""IDENTITIES: a tuple of people with different names, and how people join it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...headsup_core import InputError
from ...headsup_core.identity import merged
from ..bridge.comfy import IdentitiesSocket

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...headsup_core.faces import FaceAnalyzer
    from ...headsup_core.identity import Identity

Identities = tuple["Identity", ...]


def identities_input(tooltip: str, name: str = "identities") -> Any:  # noqa: ANN401 - ComfyUI's input
    """An optional socket of people."""
    return IdentitiesSocket.Input(name, optional=True, tooltip=tooltip)


def check_somebody(identities: Identities, name: str = "identities") -> None:
    """Raises `InputError` when the input `name` holds nobody."""
    if not identities:
        raise InputError(f"{name} holds nobody: look at the report of the node before")


def with_photos_of(known: Sequence[Identity], newcomer: Identity, analyzer: FaceAnalyzer) -> Identities:
    """`known` and `newcomer`, whose photos are added to a person of the same name.

    Raises:
        InputError: the name is already that of somebody who looks different.
    """
    if all(identity.name != newcomer.name for identity in known):
        return (*known, newcomer)
    return tuple(
        merged(identity, newcomer, analyzer) if identity.name == newcomer.name else identity for identity in known
    )


def with_person(known: Sequence[Identity], newcomer: Identity) -> Identities:
    """`known` and `newcomer`. Raises `InputError` when the name is taken."""
    if any(identity.name == newcomer.name for identity in known):
        raise InputError(
            f"there is a {newcomer.name!r} among the identities already: enter another name here, or leave one out"
        )
    return (*known, newcomer)
