"""`decoder=taesd` through HeadsUpLoadModel, with the file of ComfyUI's previews."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from harness.executor import Executor
from harness.graph import LOAD_MODEL, Graph
from harness.systems import WordStates, base_folder, osediff_file, tiny_networks
from harness.taesd import taesd_tensors, with_eighth_vae

from headsup_core.models.bases.base import Base

FOLDER, ADAPTER = "eighth", "osediff-eighth.pkl"


@pytest.fixture
def decoder(executor: Executor) -> Iterator[Path]:
    """The decoder's file; an adapter and its base lie beside it. Away again afterwards."""
    models = executor.base / "models"
    folder, adapters, decoders = models / "diffusers" / FOLDER, models / "headsup", models / "vae_approx"
    for each in (folder, adapters, decoders):
        each.mkdir(parents=True, exist_ok=True)
    base = with_eighth_vae(Base(folder, *tiny_networks(), WordStates()))
    base_folder(base, folder)
    osediff_file(base, adapters).rename(adapters / ADAPTER)
    path = decoders / "taesd_decoder.pth"
    torch.save(taesd_tensors(), path)
    yield path
    path.unlink()
    (adapters / ADAPTER).unlink()
    shutil.rmtree(folder)


def test_another_decoder_file_is_read(executor: Executor, decoder: Path) -> None:
    graph = Graph()
    chosen = {"adapter": ADAPTER, "base": f"{FOLDER} (diffusers folder)", "decoder": "taesd"}
    loader = graph.add("HeadsUpLoadModel", **(LOAD_MODEL | chosen))
    executor.record(graph, loader[1])

    runs = [executor.run(graph), executor.run(graph)]
    torch.save({name: tensor * 0.5 for name, tensor in taesd_tensors().items()}, decoder)
    runs.append(executor.run(graph))

    assert [run.status for run in runs] == ["success"] * 3, [run.complaint for run in runs]
    assert [loader.id in run.executed for run in runs] == [True, False, True]
