"""HeadsUp Load Model shows the options of the chosen model, and not those of others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from harness.graph import LOAD_MODEL, Graph
from harness.page import ComfyPage
from harness.systems import WordStates, pisasr_file, tiny_networks
from support.server import ComfyServer

import headsup_core as hu
from headsup_core.models.bases.base import Base
from headsup_core.models.file_formats.headsup_file import save_headsup
from headsup_core.models.file_formats.two_ends import join_ends

PLAIN, BOTH, PISA, CODEFORMER = "a-test.safetensors", "detail-test.safetensors", "pisa_sr.pkl", "codeformer-test.pth"
OPTIONS = (
    *("detail", "patch_size", "process_size", "lambda_pix", "lambda_sem"),
    *("guidance_scale", "negative_prompt", "fidelity", "decoder"),
)
CHOOSE = """chosen => {
    const node = window.app.graph.nodes[0]
    for (const [name, value] of Object.entries(chosen)) {
        const widget = node.widgets.find(widget => widget.name === name)
        widget.value = value
        widget.callback?.(value)
    }
    return node.widgets.filter(widget => !widget.hidden && !widget.advanced).map(widget => widget.name)
}"""
VUE = "async on => await window.app.extensionManager.setting.set('Comfy.VueNodes.Enabled', on)"
BOX = "[data-node-id]"
TINY_DETAIL = 0.6
"""What a new node shows, headsup-tiny being its model, and hence might be taken for untouched."""


@pytest.fixture
def files(comfy_server: ComfyServer) -> Iterator[None]:
    """A model with two ends, a system's adapter and a face restorer's names; away again afterwards."""
    models = comfy_server.base / "models"
    folder, restorers = models / "headsup", models / "facerestore_models"
    for each in (folder, restorers):
        each.mkdir(parents=True, exist_ok=True)
    ends = [folder / PLAIN, folder / "b-test.safetensors"]
    tiny = hu.load_model("headsup-tiny").one_step
    for end in ends:
        save_headsup(end, tiny)
        for parameter in tiny.unet.parameters():
            parameter.data.mul_(0.9)
    join_ends(*ends, default=0.25, output=folder / BOTH)
    pisasr_file(Base(Path("tiny"), *tiny_networks(), WordStates()), folder)
    names = ("position_emb", "idx_pred_layer.1.weight", "ft_layers.0.self_attn.in_proj_weight")
    torch.save({"params_ema": {name: torch.zeros(1) for name in names}}, restorers / CODEFORMER)
    yield
    for path in (*ends, folder / BOTH, folder / PISA, restorers / CODEFORMER):
        path.unlink()


def open_loader(comfy_page: ComfyPage, name: str, **settings: object) -> None:
    """Open a workflow of that name, of one Load Model."""
    graph = Graph()
    graph.add("HeadsUpLoadModel", **(LOAD_MODEL | {"adapter": "none", "base": "none"} | settings))
    comfy_page.load_prompt(graph.prompt, name)


@pytest.mark.usefixtures("files")
def test_options_of_the_chosen_model_are_shown(comfy_page: ComfyPage, artifacts: Path) -> None:
    page = comfy_page.page
    open_loader(comfy_page, "options", model=PLAIN)

    def shown(**chosen: object) -> set[str]:
        return set(page.evaluate(CHOOSE, chosen)) & set(OPTIONS)

    def queued(name: str) -> object:
        (node,) = comfy_page.prompt().values()
        return node["inputs"][name]

    assert shown(model=PLAIN) == set()
    assert shown(model=BOTH) == {"detail"}
    assert queued("detail") == 0.25  # the file's own default is what the widget shows
    comfy_page.screenshot(artifacts / "options-detail.png")
    assert shown(model="headsup-tiny (bundled)") == {"detail"}
    assert queued("detail") == hu.load_model("headsup-tiny").one_step.record.detail
    assert shown(model=BOTH, detail=0.75) == {"detail"}
    assert queued("detail") == 0.75
    assert shown(model=f"{CODEFORMER} (facerestore_models)") == {"fidelity"}
    comfy_page.screenshot(artifacts / "options-codeformer.png")
    assert queued("detail") == -1  # CodeFormer would refuse it
    assert shown(model=BOTH) == {"detail"}
    assert queued("detail") == 0.75  # what was set comes back
    assert shown(detail=0.25) == {"detail"}
    assert shown(model=PLAIN) == set()
    assert shown(model=BOTH) == {"detail"}
    assert queued("detail") == 0.25
    assert shown(model=PLAIN, adapter=PISA) == {"lambda_pix", "lambda_sem", "decoder"}
    comfy_page.screenshot(artifacts / "options-pisasr.png")
    assert shown(adapter="none") == set()
    assert shown(adapter=PISA, system="s3diff") == {"guidance_scale", "negative_prompt", "decoder"}


@pytest.mark.usefixtures("files")
def test_a_saved_workflow_keeps_what_its_model_was_set_to(comfy_page: ComfyPage) -> None:
    page = comfy_page.page
    for detail, kept in ((0.75, 0.75), (TINY_DETAIL, TINY_DETAIL), (-1.0, 0.25)):
        open_loader(comfy_page, "saved", model=BOTH, detail=0.75)
        saved = page.evaluate("() => window.app.graph.serialize()")
        (entry,) = saved["nodes"]
        entry["widgets_values"][entry["widgets_values"].index(0.75)] = detail  # -1: as pages before saved it
        open_loader(comfy_page, "another", model=PLAIN)

        comfy_page.load_workflow(saved, "saved")

        (node,) = comfy_page.prompt().values()
        assert (node["inputs"]["model"], node["inputs"]["detail"]) == (BOTH, kept)
        assert set(page.evaluate(CHOOSE, {})) & set(OPTIONS) == {"detail"}


@pytest.mark.usefixtures("files")
def test_the_same_in_nodes_2(comfy_page: ComfyPage, artifacts: Path) -> None:
    page = comfy_page.page
    open_loader(comfy_page, "options", model=BOTH)
    page.evaluate(VUE, True)
    box = page.locator(BOX).first
    box.get_by_text("detail", exact=True).wait_for(timeout=60_000)
    assert "0.25" in box.locator("input").evaluate_all("inputs => inputs.map(input => input.value)")
    comfy_page.screenshot(artifacts / "options-detail-2.png")
    page.evaluate(CHOOSE, {"model": PLAIN})
    box.get_by_text("detail", exact=True).wait_for(state="hidden", timeout=60_000)
    comfy_page.screenshot(artifacts / "options-plain-2.png")
    page.evaluate(VUE, False)

    assert comfy_page.errors == []
