"""Inputs that grow: one more socket appears whenever the last one is connected, where the ComfyUI version has them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .comfy import io

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Autogrow: Any = getattr(io, "Autogrow", None)
"""0.3.75 has none."""


def growing_images(name: str, sockets: Sequence[str], tooltip: str) -> Any:  # noqa: ANN401 - ComfyUI's input
    """Optional IMAGE sockets that are called `sockets` and appear one by one; else the first of them alone.

    Prompts and workflows call a socket `name.socket`, in every version. `given_images` reads what the node gets.
    """
    if Autogrow is None:
        return io.Image.Input(f"{name}.{sockets[0]}", optional=True, tooltip=tooltip)
    template = Autogrow.TemplateNames(io.Image.Input("image", tooltip=tooltip), names=list(sockets), min=0)
    return Autogrow.Input(name, template=template, optional=True, tooltip=tooltip)


def given_images(inputs: Mapping[str, Any], name: str) -> list[Any]:
    """The IMAGEs that are connected to the input `name` of `growing_images`, in the order of its sockets."""
    by_socket: dict[str, Any] = dict(inputs.get(name) or {})
    alone = [value for key, value in inputs.items() if key.startswith(f"{name}.")]
    return [image for image in (*by_socket.values(), *alone) if image is not None]
