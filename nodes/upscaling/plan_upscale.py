"""The node that says what an upscale will be before it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from ...headsup_core import RestoreOptions
from ...headsup_core.restoring.plan.measure import calibration
from ...headsup_core.restoring.plan.plan_drawing import draw_plan
from ...headsup_core.restoring.plan.upscale_plan import plan_upscale
from ...headsup_core.restoring.session import Session
from ..bridge.comfy import ComfyNode, FacesSocket, io, schema
from ..bridge.host import ComfyHost
from ..bridge.input_kinds import checked
from ..bridge.pictures import Pictures, decodable
from ..bridge.precision import outgoing
from ..faces.detection import shown
from .upscale import size_inputs, widget_options

if TYPE_CHECKING:
    from ...headsup_core import HeadsUpModel
    from ...headsup_core.faces import Faces


class HeadsUpPlanUpscale(ComfyNode):
    """IMAGE and sizes in, a drawing and the chosen numbers out."""

    @classmethod
    def define_schema(cls) -> Any:  # noqa: ANN401 - ComfyUI's Schema
        return schema(
            node_id="HeadsUpPlanUpscale",
            display_name="HeadsUp Plan Upscale",
            description="Shows what HeadsUp Upscale with the same inputs will do, without doing it: the size of the "
            "result, the tiles, UNet calls, peak memory and expected time. Its numbers can be wired into HeadsUp "
            "Upscale.",
            search_aliases=["plan", "tiles", "tiling", "memory", "estimate", "time", "headsup", "分块", "显存估算"],
            inputs=[
                *size_inputs(),
                io.Boolean.Input(
                    "calibrate",
                    default=True,
                    tooltip="Measures the model once on this device, for memory and time: some seconds for "
                    "headsup-tiny, up to a minute or more for a large model on a CPU. It is kept for later. Off: what "
                    "was measured before is used; without it memory is guessed with caution and the time is unknown.",
                ),
                FacesSocket.Input(
                    "faces",
                    optional=True,
                    tooltip="The faces of the same pictures, from HeadsUp Detect Faces: they are drawn, tiles are "
                    "planned around them, and models that restore aligned faces are planned by them.",
                ),
            ],
            outputs=[
                io.Image.Output(
                    "PLAN",
                    display_name="plan",
                    tooltip="Each picture with its tiles, numbered in the order of work; overlaps are tinted, faces "
                    "are white boxes, their own tiles dashed. The longer side has 1024 px.",
                ),
                io.String.Output(
                    "REPORT", display_name="report", tooltip="Sizes, tiles, UNet calls, memory and time in words."
                ),
                io.Int.Output("TILE", display_name="tile", tooltip="Tile side that will be used, for HeadsUp Upscale."),
                io.Int.Output(
                    "OVERLAP", display_name="overlap", tooltip="Overlap that will be used, for HeadsUp Upscale."
                ),
                io.Int.Output("TILE_BATCH", display_name="tile_batch", tooltip="Tiles that are computed together."),
                io.Int.Output("WIDTH", display_name="width", tooltip="Width of the result in pixels."),
                io.Int.Output("HEIGHT", display_name="height", tooltip="Height of the result in pixels."),
            ],
        )

    @classmethod
    @checked
    def execute(
        cls,
        model: HeadsUpModel,
        image: torch.Tensor,
        calibrate: bool,
        faces: Faces | None = None,
        **widgets: Any,  # noqa: ANN401 - those of the options
    ) -> Any:  # noqa: ANN401 - ComfyUI's NodeOutput
        pictures = Pictures.from_image(image)
        if faces is not None:
            faces.check_pictures(pictures.rgb)
        host = ComfyHost.on(model.device)
        plan = plan_upscale(
            (len(pictures), pictures.rgb.shape[-2], pictures.rgb.shape[-1]),
            Session(model, RestoreOptions(**widget_options(widgets)), host),
            faces,
            calibration(model.one_step, host, measure=calibrate),
            one_by_one=True,  # as HeadsUp Upscale does
        )
        drawn = [draw_plan(decodable(pictures.one(index)), plan, index) for index in range(len(pictures))]
        drawing = torch.cat(drawn).permute(0, 2, 3, 1).contiguous()
        out_height, out_width = plan.output_size
        numbers = (plan.tile, plan.overlap, plan.tile_batch, out_width, out_height)
        return io.NodeOutput(outgoing(drawing), plan.text(), *numbers, ui=shown(drawing))
