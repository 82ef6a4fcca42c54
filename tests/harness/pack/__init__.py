"""A pack for the tests that feeds exact values into a workflow and records what comes out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from comfy_api.latest import ComfyExtension, io
from typing_extensions import override


class HarnessValues(io.ComfyNode):
    """Gives the list of values (tensors, texts, numbers) in a file, one after the other."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="HarnessValues",
            category="harness",
            inputs=[io.String.Input("path")],
            outputs=[io.AnyType.Output(is_output_list=True)],
        )

    @classmethod
    def execute(cls, path: str) -> io.NodeOutput:
        return io.NodeOutput(torch.load(path, weights_only=True))


class HarnessRecord(io.ComfyNode):
    """Writes all values that reach it to a file, exactly."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="HarnessRecord",
            category="harness",
            is_input_list=True,
            is_output_node=True,
            inputs=[io.AnyType.Input("value"), io.String.Input("path")],
            outputs=[],
        )

    @classmethod
    def execute(cls, value: list[Any], path: list[str]) -> io.NodeOutput:
        # a clone: a view would drag its whole storage into the file
        kept = [v.detach().clone() if isinstance(v, torch.Tensor) else v for v in value]
        torch.save(kept, Path(path[0]))
        return io.NodeOutput()


class HarnessSlow(io.ComfyNode):
    """Reports progress `steps` times, a moment apart: something to interrupt."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="HarnessSlow",
            category="harness",
            is_output_node=True,
            inputs=[io.Int.Input("steps", default=100), io.Int.Input("seed", default=0)],
            outputs=[],
        )

    @classmethod
    def execute(cls, steps: int, seed: int) -> io.NodeOutput:
        import time

        from comfy.utils import ProgressBar

        del seed  # only changes what the executor may take from its cache
        bar = ProgressBar(steps)
        for _ in range(steps):
            time.sleep(0.05)
            bar.update(1)
        return io.NodeOutput()


class HarnessSegs(io.ComfyNode):
    """Takes SEGS apart as Impact Pack's nodes do: fields by name, numpy masks."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="HarnessSegs",
            category="harness",
            inputs=[io.Custom("SEGS").Input("segs")],
            outputs=[io.AnyType.Output()],
        )

    @classmethod
    def execute(cls, segs: Any) -> io.NodeOutput:
        size, found = segs
        entries = [
            {
                "fields": list(seg._fields),
                "cropped_image": seg.cropped_image,
                "cropped_mask": torch.from_numpy(seg.cropped_mask.astype("float32")),
                "mask_dtype": str(seg.cropped_mask.dtype),
                "confidence": seg.confidence,
                "crop_region": list(seg.crop_region),
                "bbox": list(seg.bbox),
                "label": seg.label,
                "control_net_wrapper": seg.control_net_wrapper,
            }
            for seg in found
        ]
        return io.NodeOutput({"pair": isinstance(segs, tuple), "size": tuple(size), "segs": entries})


class HarnessSame(io.ComfyNode):
    """Whether two values are one object."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="HarnessSame",
            category="harness",
            inputs=[io.AnyType.Input("a"), io.AnyType.Input("b")],
            outputs=[io.AnyType.Output()],
        )

    @classmethod
    def execute(cls, a: Any, b: Any) -> io.NodeOutput:
        return io.NodeOutput(a is b)


class HarnessHide(io.ComfyNode):
    """Lets a library seem not to be installed, or be there again."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="HarnessHide",
            category="harness",
            is_output_node=True,
            inputs=[io.String.Input("module"), io.Boolean.Input("hide")],
            outputs=[],
        )

    @classmethod
    def execute(cls, module: str, hide: bool) -> io.NodeOutput:
        import sys

        for name in [name for name in sys.modules if name == module or name.startswith(module + ".")]:
            del sys.modules[name]
        if hide:
            sys.modules[module] = None  # type: ignore[assignment] - as Python's own: an import raises ImportError
        return io.NodeOutput()


class HarnessFullGpu(io.ComfyNode):
    """A HEADSUP_MODEL whose UNet raises what torch raises when a GPU's memory is full."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="HarnessFullGpu",
            category="harness",
            inputs=[io.AnyType.Input("model")],
            outputs=[io.AnyType.Output()],
        )

    @classmethod
    def execute(cls, model: Any) -> io.NodeOutput:
        import copy
        from dataclasses import replace

        def full(*_: Any) -> None:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

        unet = copy.deepcopy(model.one_step.unet)
        unet.register_forward_pre_hook(full)
        return io.NodeOutput(replace(model, one_step=replace(model.one_step, unet=unet)))


class HarnessExtension(ComfyExtension):
    """The nodes of this pack."""

    @override
    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return [HarnessValues, HarnessRecord, HarnessSlow, HarnessSegs, HarnessSame, HarnessHide, HarnessFullGpu]


async def comfy_entrypoint() -> HarnessExtension:
    """Called by ComfyUI."""
    return HarnessExtension()
