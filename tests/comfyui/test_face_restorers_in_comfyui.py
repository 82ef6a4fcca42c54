"""Files of `models/facerestore_models` through HeadsUpLoadModel and HeadsUpUpscale."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from harness.executor import Executor
from harness.face_restorers import write_onnx
from harness.graph import LOAD_MODEL, Graph
from harness.images import picture

FILE = "GPEN-BFR-256.onnx"


@pytest.fixture(scope="module")
def restorer(executor: Executor) -> Iterator[str]:
    """The choice of a face restorer that halves the contrast and turns it around."""
    path = write_onnx(Path(executor.base, "models", "facerestore_models", FILE))
    yield f"{FILE} (facerestore_models)"
    path.unlink()


def test_they_are_offered_load_and_restore(executor: Executor, restorer: str) -> None:
    """A square picture in which no face is found is taken for one; what is not square stays the plain enlargement."""
    kind, settings = executor.object_info()["HeadsUpLoadModel"]["input"]["required"]["model"]
    assert restorer in (kind if isinstance(kind, list) else settings["options"])
    graph = Graph()
    loader = graph.add("HeadsUpLoadModel", **(LOAD_MODEL | {"model": restorer}))
    square, wide = picture(256, 256), picture(64, 96)
    made = [
        graph.upscale(loader[0], executor.values(graph, photo), scale=1.0, tile=0, overlap=0, on_error="stop")
        for photo in (square, wide)
    ]
    tiny = graph.load_model()
    both = graph.upscale(loader[0], executor.values(graph, wide), scale=1.0, tile=0, overlap=0, model_2=tiny)
    outputs = (made[0][0], made[1][0], made[1][2], loader[1], both[0], both[2])
    recorded = [executor.record(graph, output) for output in outputs]
    result = executor.run(graph)
    assert result.status == "success", result.complaint
    restored, untouched, report, info, of_both, both_report = (executor.recorded(path)[0] for path in recorded)
    assert torch.allclose(of_both, wide, atol=1e-6)  # no face, no contest: all is the first model's
    assert "GPEN, headsup-tiny" in both_report
    assert torch.allclose(restored, 0.75 - 0.5 * square, atol=1e-5)
    assert torch.allclose(untouched, wide, atol=1e-6)
    assert "no face was found" in report
    assert "NON-COMMERCIAL" in info
    assert "aligned faces of 256 px" in info
