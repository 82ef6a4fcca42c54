"""Published systems through HeadsUpLoadModel and HeadsUpUpscale: what the core makes of the same files."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from harness.executor import Executor, ExecutorResult
from harness.graph import LOAD_MODEL, Graph
from harness.images import picture
from harness.osdface import osdface_files
from harness.systems import (
    WordStates,
    base_folder,
    headsup_adapters,
    hypir_file,
    osediff_file,
    pisasr_file,
    s3diff_file,
    tiny_networks,
)

import headsup_core as hu
from headsup_core.models.bases.base import Base
from headsup_core.models.file_formats.headsup_adapter import save_headsup_adapter
from headsup_core.models.file_formats.headsup_file import save_headsup
from headsup_core.models.file_formats.two_ends import join_ends
from headsup_core.models.systems import load_options

torch.set_num_threads(1)  # as the executor's: on a busy machine threads wait for each other

BASE = "tiny (diffusers folder)"
LICENCES = {
    "osediff.pkl": "Apache-2.0",
    "pisa_sr.pkl": "Apache-2.0",
    "s3diff.pkl": "Apache-2.0",
    "HYPIR_sd2.pth": "NON-COMMERCIAL",
    "osdface/pytorch_lora_weights.safetensors": "none given",
    "mine.safetensors": "MIT",
}
COMPANIONS = ("de_net.pth", "osdface/associate_2.ckpt", "osdface/embedding_change_weights.pth")


@dataclass(frozen=True)
class Files:
    adapters: Path
    base: Path

    def restore(self, adapter: str, photo: torch.Tensor, scale: float = 2, **options: Any) -> torch.Tensor:
        """What the core makes of a picture `[1,H,W,3]`, in the same layout."""
        chosen = {name: options.pop(name) for name in load_options() if name in options}
        model = hu.load_model(adapter=self.adapters / adapter, base=self.base, **chosen)
        image = photo.permute(0, 3, 1, 2)
        tiles = {"scale": scale, "tile": 256, "overlap": 64}
        return hu.restore(image, model, **(tiles | options)).image.permute(0, 2, 3, 1)


@pytest.fixture(scope="module")
def files(executor: Executor) -> Iterator[Files]:
    """All systems and their base in ComfyUI's folders, away again afterwards."""
    adapters, folder = executor.base / "models" / "headsup", executor.base / "models" / "diffusers" / "tiny"
    (adapters / "osdface").mkdir(parents=True, exist_ok=True)
    folder.mkdir(parents=True)
    base = Base(folder, *tiny_networks(), WordStates())
    base_folder(base, folder)
    osediff_file(base, adapters)
    pisasr_file(base, adapters)
    s3diff_file(base, adapters)
    hypir_file(base, adapters)
    osdface_files(base, adapters / "osdface")
    save_headsup_adapter(adapters / "mine.safetensors", *headsup_adapters(base))
    yield Files(adapters, folder)
    for name in (*LICENCES, *COMPANIONS):
        (adapters / name).unlink()
    (adapters / "osdface").rmdir()
    shutil.rmtree(folder)  # other tests compare the choices that are offered


def run(
    executor: Executor, adapter: str, photo: torch.Tensor, load: dict[str, Any] | None = None, **inputs: Any
) -> tuple[ExecutorResult, Path, Path, Path]:
    """Load an adapter and restore x2; the recordings of image, report and info."""
    graph = Graph()
    loader = graph.add("HeadsUpLoadModel", **(LOAD_MODEL | {"adapter": adapter, "base": BASE} | (load or {})))
    if "conditioning" in inputs:
        inputs["conditioning"] = executor.values(graph, inputs["conditioning"])
    image = executor.values(graph, photo)
    node = graph.upscale(loader[0], image, **({"scale": 2.0, "on_error": "stop"} | inputs))
    recorded = [executor.record(graph, output) for output in (node[0], node[2], loader[1])]
    return executor.run(graph), *recorded


def restored(executor: Executor, adapter: str, photo: torch.Tensor, **inputs: Any) -> torch.Tensor:
    result, image, _, _ = run(executor, adapter, photo, **inputs)
    assert result.status == "success", result.complaint
    return executor.recorded(image)[0]


def options(executor: Executor, name: str) -> tuple[list[str], dict[str, Any]]:
    """Choices and settings of an optional input of the loader."""
    kind, settings = executor.object_info()["HeadsUpLoadModel"]["input"]["optional"][name]
    return (kind if isinstance(kind, list) else settings["options"]), settings


@pytest.mark.every_comfyui
def test_companions_are_not_offered(executor: Executor, files: Files) -> None:
    offered, settings = options(executor, "adapter")
    assert {name.replace("\\", "/") for name in offered} == {"none", *LICENCES}
    for said in ("OSEDiff", "OSEDiff-Face", "PiSA-SR", "S3Diff", "HYPIR (NON-COMMERCIAL)", "OSDFace (no licence given"):
        assert said in settings["tooltip"]
    assert BASE in options(executor, "base")[0]


@pytest.mark.parametrize("adapter", [name for name in LICENCES if "osdface" not in name])
def test_node_restores_as_the_core_does(executor: Executor, files: Files, adapter: str) -> None:
    photo = picture(16, 20)
    # HYPIR pads to 512 px unless told otherwise, and this base halves once only: it would attend over 256 x 256 places
    load = {"patch_size": 64} if adapter.startswith("HYPIR") else {}
    result, image, _, info = run(executor, adapter, photo, load)
    assert result.status == "success", result.complaint
    found = executor.recorded(image)[0]
    assert found.shape == (1, 32, 40, 3)
    assert (found - files.restore(adapter, photo, **load)).abs().max() < 1e-4
    (text,) = executor.recorded(info)
    licence = next(line for line in text.splitlines() if line.startswith("licence: "))
    assert LICENCES[adapter] in licence
    expected = "SD-Turbo" if adapter == "s3diff.pkl" else "Stable Diffusion 2.1-base"
    assert f"needs: its base, {expected}; chosen is tiny" in text


def test_osdface_says_its_licence_and_what_to_connect(executor: Executor, files: Files) -> None:
    # strength 0: the tiny base halves once only, and attention over 256 x 256 latents is not for a test
    result, _, report, info = run(executor, "osdface/pytorch_lora_weights.safetensors", picture(16, 16), strength=0.0)
    assert result.status == "success", result.complaint
    (text,) = executor.recorded(info)
    assert "licence: none given" in text
    assert "restores: aligned faces of 512 px" in text
    assert "connect the faces (HeadsUp Detect Faces" in executor.recorded(report)[0]


def test_published_sizing_gives_the_size_of_the_script(executor: Executor, files: Files) -> None:
    """OSEDiff's enlarges a shorter side of less than process_size / scale to that first, and does not come back."""
    photo = picture(16, 20)
    load = {"process_size": 64}
    graph = Graph()
    loader = graph.add("HeadsUpLoadModel", **(LOAD_MODEL | {"adapter": "osediff.pkl", "base": BASE} | load))
    node = graph.upscale(
        loader[0], executor.values(graph, photo), scale=2.0, sizing="published", on_error="stop"
    )
    paths = [executor.record(graph, output) for output in (node[0], node[1], node[2])]
    result = executor.run(graph)
    assert result.status == "success", result.complaint
    found, before, report = (executor.recorded(path)[0] for path in paths)
    assert found.shape == before.shape == (1, 64, 80, 3)
    expected = files.restore("osediff.pkl", photo, sizing="published", **load)
    assert (found - expected).abs().max() < 1 / 255 + 1e-4  # 8 bits: a value may round to the next level
    assert "capped" not in report


def test_lambdas_mix_the_adapters_of_pisasr(executor: Executor, files: Files) -> None:
    photo = picture(16, 20)
    plain = restored(executor, "pisa_sr.pkl", photo)
    mixed = restored(executor, "pisa_sr.pkl", photo, load={"lambda_pix": 0.9, "lambda_sem": 0.4})
    assert (mixed - plain).abs().max() > 0.01
    assert (mixed - files.restore("pisa_sr.pkl", photo, lambda_pix=0.9, lambda_sem=0.4)).abs().max() < 1e-4


def test_options_that_s3diff_declares_are_inputs(executor: Executor, files: Files) -> None:
    photo = picture(16, 20)
    asked = {"guidance_scale": 3.0, "negative_prompt": "blue"}
    plain = restored(executor, "s3diff.pkl", photo)
    guided = restored(executor, "s3diff.pkl", photo, load=asked)
    assert (guided - plain).abs().max() > 1e-3
    assert (guided - files.restore("s3diff.pkl", photo, **asked)).abs().max() < 1e-4


@pytest.mark.every_comfyui
def test_every_declared_option_is_an_input(executor: Executor, files: Files) -> None:
    inputs = executor.object_info()["HeadsUpLoadModel"]["input"]["optional"]
    for name, field in load_options().items():
        settings = inputs[name][1]
        assert field.help in settings["tooltip"]
        assert field.default is None or settings["default"] == field.default


@pytest.mark.every_comfyui
def test_the_page_is_told_which_choice_has_which_options(executor: Executor, files: Files) -> None:
    told = executor.object_info()["HeadsUpLoadModel"]["input"]
    spec = {name: settings for name, (_, settings) in (told["required"] | told["optional"]).items()}
    of = {name: spec[name]["headsup_options_of_choices"] for name in ("model", "adapter", "system")}
    assert {name for name in spec if spec[name].get("headsup_option_of_models")} == set(load_options())
    tiny = {"detail": hu.load_model("headsup-tiny").one_step.record.detail}
    assert of["model"]["headsup-tiny (bundled)"] == of["model"]["idfsr-tiny (bundled)"] == tiny
    assert of["model"]["osediff.pkl"] == of["adapter"]["osediff.pkl"] == {"process_size": 512, "decoder": "own"}
    dials = {"lambda_pix": 1.0, "lambda_sem": 1.0}
    assert of["adapter"]["pisa_sr.pkl"] == dials | {"process_size": 512, "decoder": "own"}
    assert of["adapter"]["mine.safetensors"] == of["system"]["headsup"] == {"decoder": "own"}
    assert not any(spec[name].get("advanced") for name in ("detail", "fidelity", "guidance_scale", "decoder", *dials))


@pytest.mark.parametrize(
    ("load", "owner", "option"),
    [
        ({"adapter": "osediff.pkl", "base": BASE, "lambda_sem": 0.4}, "OSEDiff", "lambda_sem"),
        ({"guidance_scale": 2.0}, "headsup-tiny", "guidance_scale"),
        ({"detail": 0.5, "adapter": "osediff.pkl", "base": BASE}, "OSEDiff", "detail"),
    ],
)
def test_an_option_of_another_model_is_refused(
    executor: Executor, files: Files, load: dict[str, Any], owner: str, option: str
) -> None:
    graph = Graph()
    loader = graph.add("HeadsUpLoadModel", **(LOAD_MODEL | load))
    executor.record(graph, loader[1])
    result = executor.run(graph)
    assert result.status == "error"
    assert f"{owner} has no option '{option}'" in result.complaint


def test_detail_mixes_the_two_ends_of_a_file(executor: Executor) -> None:
    folder = executor.base / "models" / "headsup"
    ends = [folder / f"{name}.safetensors" for name in ("faithful", "crisp", "both")]
    tiny = hu.load_model("headsup-tiny").one_step
    save_headsup(ends[0], tiny)
    for parameter in tiny.unet.parameters():
        parameter.mul_(0.9)
    save_headsup(ends[1], tiny)
    join_ends(ends[0], ends[1], 0.25, ends[2])
    graph = Graph()
    photo = picture(16, 20)
    recorded = []
    for detail in (0.0, 1.0, -1.0):
        loader = graph.add("HeadsUpLoadModel", **(LOAD_MODEL | {"model": "both.safetensors", "detail": detail}))
        image = graph.upscale(loader[0], executor.values(graph, photo), scale=2.0, on_error="stop")[0]
        recorded.append((executor.record(graph, image), executor.record(graph, loader[1])))
    result = executor.run(graph)
    for path in ends:
        path.unlink()
    assert result.status == "success", result.complaint
    first, second, third = (executor.recorded(image)[0] for image, _ in recorded)
    assert (first - second).abs().max() > 1e-3
    assert (third - first).abs().max() > 1e-4
    (info,) = executor.recorded(recorded[2][1])
    assert "detail: 0.25, of 0 (faithful) to 1 (crisp)" in info


def test_prompt_and_tags_reach_the_model(executor: Executor, files: Files) -> None:
    photo = picture(16, 20)
    plain = restored(executor, "osediff.pkl", photo)
    told = restored(executor, "osediff.pkl", photo, prompt="sharp", tags="man, hat")
    assert (told - plain).abs().max() > 1e-3
    assert (told - files.restore("osediff.pkl", photo, prompt="sharp", tags="man, hat")).abs().max() < 1e-4


@pytest.mark.every_comfyui
def test_conditioning_of_the_right_width_is_the_prompt(executor: Executor, files: Files) -> None:
    photo = picture(16, 20)
    states = torch.randn(1, 77, 16, generator=torch.Generator().manual_seed(2))
    found = restored(executor, "osediff.pkl", photo, conditioning=[[states, {"pooled_output": None}]])
    assert (found - files.restore("osediff.pkl", photo, conditioning=states)).abs().max() < 1e-4
    assert (found - restored(executor, "osediff.pkl", photo)).abs().max() > 1e-3


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ([[torch.zeros(1, 77, 768), {}]], ["(1, 77, 768)", "OSEDiff needs [1, n, 16]"]),
        ([[torch.zeros(1, 77, 16), {}]] * 2, ["2 entries"]),
    ],
)
def test_other_conditionings_are_refused(executor: Executor, files: Files, entries: list[Any], said: list[str]) -> None:
    result, *_ = run(executor, "osediff.pkl", picture(16, 20), conditioning=entries, on_error="keep going")
    assert result.status == "error"
    assert [text for text in said if text not in result.complaint] == [], result.complaint


def test_system_can_be_named(executor: Executor, files: Files) -> None:
    result, _, _, info = run(executor, "osediff.pkl", picture(16, 20), load={"system": "osediff-face"})
    assert result.status == "success", result.complaint
    (text,) = executor.recorded(info)
    assert text.startswith("model: OSEDiff-Face (osediff.pkl)")
    wrong, *_ = run(executor, "osediff.pkl", picture(16, 20), load={"system": "hypir"})
    assert "osediff.pkl is not a HYPIR file: it holds OSEDiff" in wrong.complaint


@pytest.mark.every_comfyui
def test_adapters_share_one_base(executor: Executor, files: Files) -> None:
    graph = Graph()
    for phase, adapter in enumerate(("osediff.pkl", "pisa_sr.pkl", "mine.safetensors")):
        photo = executor.values(graph, picture(16, 20, phase=40.0 + phase))
        executor.record(graph, graph.upscale(graph.load_model(adapter=adapter, base=BASE), photo, scale=2.0)[0])
    before = {entry["id"] for entry in executor.loaded_models()}
    result = executor.run(graph)
    assert result.status == "success", result.complaint
    loaded = [entry for entry in executor.loaded_models() if entry["id"] not in before]
    unet = sum(tensor.numel() * 4 for tensor in tiny_networks()[0].parameters())
    assert Counter(entry["bytes"] == unet for entry in loaded)[True] <= 1


def test_missing_parts_are_named(executor: Executor, files: Files) -> None:
    alone, *_ = run(executor, "osediff.pkl", picture(16, 20), load={"base": "none"})
    assert "adapter osediff.pkl needs a base" in alone.complaint
    companion = files.adapters / "de_net.pth"
    kept = companion.rename(files.adapters / "away")
    result, *_ = run(executor, "s3diff.pkl", picture(16, 20))
    kept.rename(companion)
    assert result.status == "error"
    assert "needs its companion de_net.pth" in result.complaint
