"""The node that fits people's embeddings to their photos."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ...headsup_core.idfsr.identity_fitting import Fitted, FittingOptions, fit_identity, loss_curve
from ...headsup_core.option_fields import declared_options
from ..bridge.comfy import ComfyNode, IdentitiesSocket, IDFSRModelSocket, folder_paths, io, schema
from ..bridge.host import DEVICES, ComfyHost
from ..bridge.input_kinds import checked
from ..bridge.option_inputs import advanced_input, given_options, option_input
from ..bridge.precision import outgoing
from ..people.identity_list import check_somebody

if TYPE_CHECKING:
    from ...headsup_core.idfsr.idfsr_model import IDFSRModel
    from ..people.identity_list import Identities

OPTIONS = declared_options(FittingOptions)


class HeadsUpFitIdentity(ComfyNode):
    """People in, the same people with embeddings fitted to a model out."""

    @classmethod
    def define_schema(cls) -> Any:  # noqa: ANN401 - ComfyUI's Schema
        return schema(
            group="tiny faces",
            node_id="HeadsUpFitIdentity",
            display_name="HeadsUp Fit Identity",
            description="Tells an IDFSR model more exactly what a person looks like: nothing of the model changes, "
            "only the embedding is fitted to the 1 to 10 photos of the identity. Cancelled, it goes on when queued "
            "again with the same inputs. Save the result with HeadsUp Save Identity.",
            search_aliases=["personalize", "train face", "idfsr", "headsup", "人物训练"],
            inputs=[
                IdentitiesSocket.Input("identities", tooltip="People with photos, from HeadsUp Encode Identity."),
                IDFSRModelSocket.Input(
                    "model", tooltip="From HeadsUp Load IDFSR. The embedding that is fitted is for this model alone."
                ),
                option_input(OPTIONS["steps"]),
                option_input(OPTIONS["learning_rate"], round=0.0001),
                option_input(OPTIONS["seed"], control_after_generate=False),
                advanced_input(
                    io.Combo,
                    "device",
                    options=list(DEVICES),
                    default="auto",
                    tooltip="Where it computes. auto (default): the device that ComfyUI uses. cpu: slower, but takes "
                    "no GPU memory.",
                ),
            ],
            outputs=[
                IdentitiesSocket.Output(
                    "IDENTITIES", display_name="identities", tooltip="The same people with the fitted embedding."
                ),
                io.Image.Output(
                    "LOSS_CURVE",
                    display_name="loss curve",
                    tooltip="One picture a person: loss of the steps (blue), of the held-out photo (orange, with "
                    "dots), the step that was taken (green, upright).",
                ),
                io.String.Output("REPORT", display_name="report", tooltip="Steps and losses of each person in words."),
            ],
        )

    @classmethod
    @checked
    def execute(
        cls,
        identities: Identities,
        model: IDFSRModel,
        device: str,
        **widgets: Any,  # noqa: ANN401 - of the options
    ) -> Any:  # noqa: ANN401 - ComfyUI's NodeOutput
        check_somebody(identities)
        options = FittingOptions(**given_options(FittingOptions, widgets))
        host = ComfyHost.on(device)
        fitted: list[Fitted] = []
        for index, identity in enumerate(identities):
            state = _state_file(model.model_id, identity.name, options.learning_rate, options.seed, str(host.device))
            one = fit_identity(identity, model, options, host.for_picture(index, len(identities)), state=state)
            fitted.append(one)
        curves = torch.cat([loss_curve(one) for one in fitted]).permute(0, 2, 3, 1).contiguous()
        return io.NodeOutput(
            tuple(one.identity for one in fitted),
            outgoing(curves),
            "\n".join(f"{one.identity.name}: {one.summary()}" for one in fitted),
        )


def _state_file(*inputs: object) -> Path:
    """Where a fitting of these inputs lies when it was cancelled, for as long as ComfyUI keeps its temp folder."""
    digest = hashlib.sha256(repr(inputs).encode()).hexdigest()[:16]
    return Path(folder_paths.get_temp_directory()) / f"headsup-{digest}.fitting"
