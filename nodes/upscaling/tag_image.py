"""The node that says in words what a picture shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from ...headsup_core import InputError
from ...headsup_core.models.tagging.tagger import Tagger, load_tagger
from ...headsup_core.models.tagging.tagging_options import TaggingOptions
from ..bridge.comfy import ComfyNode, io, schema
from ..bridge.host import DEVICES, ComfyHost
from ..bridge.input_kinds import checked
from ..bridge.option_inputs import given_options, option_inputs
from ..bridge.pictures import Pictures
from ..models.model_files import FOLDER, find_choice, fingerprint, tagger_choices

if TYPE_CHECKING:
    from pathlib import Path

    import torch

NONE = "none"
_shared: WeakValueDictionary[tuple[Any, ...], Tagger] = WeakValueDictionary()


class HeadsUpTagImage(ComfyNode):
    """IMAGE in, a STRING for each picture out."""

    @classmethod
    def define_schema(cls) -> Any:  # noqa: ANN401 - ComfyUI's Schema
        files = tagger_choices()
        return schema(
            node_id="HeadsUpTagImage",
            display_name="HeadsUp Tag Image",
            description="Says in comma-separated words what each picture shows, for models that want tags (OSEDiff). "
            "RAM and SeeSR's DAPE, from files that you bring; any other tagger may take its place.",
            search_aliases=["tagger", "caption", "ram", "dape", "seesr", "recognise", "headsup", "标签", "反推"],
            inputs=[
                io.Image.Input("image", tooltip="Pictures to tag: one, a batch, or a list; each gets a text."),
                io.Combo.Input(
                    "ram",
                    options=[NONE, *files],
                    default=(files or [NONE])[0],
                    tooltip="ram_swin_large_14m.pth of recognize-anything (Apache-2.0), in models/headsup; needed.",
                ),
                io.Combo.Input(
                    "dape",
                    options=[NONE, *files],
                    default=NONE,
                    tooltip="DAPE.pth of SeeSR (Apache-2.0), in models/headsup: makes RAM see in bad pictures what it "
                    "sees in good ones; OSEDiff and SeeSR use it. none (default): RAM alone.",
                ),
                io.Combo.Input(
                    "device",
                    options=list(DEVICES),
                    default="auto",
                    tooltip="Where the tagger computes. auto (default): the device that ComfyUI uses. cpu: slower, but "
                    "takes no GPU memory.",
                ),
                *option_inputs(TaggingOptions, ("reduction", "enlarge", "threshold_shift"), optional=True),
            ],
            outputs=[
                io.String.Output(
                    "TAGS",
                    display_name="tags",
                    is_output_list=True,
                    tooltip="A text for each picture, for the input tags of HeadsUp Upscale, which gives each picture "
                    "its own; or for any input that takes text.",
                ),
            ],
        )

    @classmethod
    def validate_inputs(cls, ram: str = "", dape: str = "") -> bool:
        """Names of files that are not there pass: the page hides why a value is not in a list, and shows our errors."""
        del ram, dape
        return True

    @classmethod
    def fingerprint_inputs(  # ComfyUI's inputs
        cls,
        ram: str,
        dape: str = NONE,
        **_inputs: Any,  # noqa: ANN401
    ) -> str:
        return str([fingerprint(path) for path in _files(ram, dape) if path is not None])

    @classmethod
    @checked
    def execute(
        cls,
        image: torch.Tensor,
        ram: str,
        dape: str,
        device: str,
        **widgets: Any,  # noqa: ANN401 - of the declared options
    ) -> Any:  # noqa: ANN401 - ComfyUI's NodeOutput
        options = TaggingOptions(**given_options(TaggingOptions, widgets))
        pictures = Pictures.from_image(image)
        host = ComfyHost.on(device)
        tagger = _loaded(*_files(ram, dape), str(host.device))
        found: list[str] = []
        with host.progress(len(pictures)) as progress:
            for index in range(len(pictures)):
                found += tagger.tags(pictures.one(index), options, host)
                progress.advance()
        return io.NodeOutput(found)


def _files(ram: str, dape: str) -> tuple[Path, Path | None]:
    """The chosen files. Raises `InputError` where there is none to choose."""
    if ram == NONE:
        raise InputError(f"no tagger is chosen: put ram_swin_large_14m.pth into models/{FOLDER}, press R and choose it")
    return find_choice(ram), None if dape == NONE else find_choice(dape)


def _loaded(ram: Path, dape: Path | None, device: str) -> Tagger:
    """The tagger, read once for the same files and device while anyone uses it."""
    key = (fingerprint(ram), None if dape is None else fingerprint(dape), device)
    tagger = _shared.get(key)
    if tagger is None:
        tagger = load_tagger(ram, dape)
        _shared[key] = tagger
    return tagger
