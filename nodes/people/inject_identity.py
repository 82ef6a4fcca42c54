"""The node that tells a model who may be in the pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...headsup_core.restoring.headsup_model import IDENTITY_STRENGTH
from ..bridge.comfy import ComfyNode, HeadsUpModelSocket, IdentitiesSocket, io, schema
from ..bridge.input_kinds import checked
from ..bridge.option_inputs import advanced_input
from .identity_list import check_somebody

if TYPE_CHECKING:
    from ...headsup_core import HeadsUpModel
    from .identity_list import Identities

MATCH_THRESHOLD = 0.4
"""The recognisers' own "different people", as `headsup_core.identity.assignment` has it."""


def match_threshold_input(name: str) -> Any:  # noqa: ANN401 - ComfyUI's input
    """Least similarity of a face and a person."""
    return advanced_input(
        io.Float,
        name,
        default=MATCH_THRESHOLD,
        min=-1.0,
        max=1.0,
        step=0.05,
        round=0.001,
        tooltip="Least similarity of a face and a person, -1 to 1, default 0.4; 0 = strangers, 1 = two good photos of "
        "one person. Higher: fewer wrong people, more faces that stay unknown. Lower it for very bad pictures.",
    )


class HeadsUpInjectIdentity(ComfyNode):
    """HEADSUP_MODEL in, one that knows people out."""

    @classmethod
    def define_schema(cls) -> Any:  # noqa: ANN401 - ComfyUI's Schema
        return schema(
            group="people",
            node_id="HeadsUpInjectIdentity",
            display_name="HeadsUp Inject Identity",
            description="Tells the model who may be in the pictures, so that HeadsUp Upscale recognises these people "
            "and restores their faces after their photos. The weights are shared: several of these nodes with "
            "different people can follow one HeadsUp Load Model.",
            search_aliases=["reference face", "face identity", "ip-adapter", "headsup", "参考人脸", "身份保持"],
            inputs=[
                HeadsUpModelSocket.Input("model", tooltip="From HeadsUp Load Model. People it knows already stay."),
                IdentitiesSocket.Input(
                    "identities", tooltip="From HeadsUp Encode Identity or HeadsUp Load Identity. Names must differ."
                ),
                io.Float.Input(
                    "strength",
                    default=IDENTITY_STRENGTH,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    round=0.001,
                    tooltip="How much of the person goes into the face, 0 to 1, default 0.65: a little of what is seen "
                    "without the photo makes the face truer. 1: all of it. 0 is exactly the result without this node.",
                ),
                match_threshold_input("match_threshold"),
            ],
            outputs=[
                HeadsUpModelSocket.Output("MODEL", display_name="model", tooltip="For HeadsUp Upscale."),
            ],
        )

    @classmethod
    @checked
    def execute(cls, model: HeadsUpModel, identities: Identities, strength: float, match_threshold: float) -> Any:  # noqa: ANN401 - ComfyUI's NodeOutput
        check_somebody(identities)
        return io.NodeOutput(model.with_identities((*model.identities, *identities), strength, match_threshold))
