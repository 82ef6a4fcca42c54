"""How somebody who has just installed the pack finds its nodes: by the search, and in the library beside the canvas."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from harness.page import ComfyPage, skip_welcome
from playwright.sync_api import Browser
from support.client import ComfyClient
from support.server import ComfyServer

MAIN = "HeadsUp Restore Portrait"
SEARCHES = (
    *("face restore", "restore face", "fix face", "upscale face", "enhance face", "sharpen face", "blurry face"),
    *("restore portrait", "portrait upscale", "group photo", "old photo", "restore old photo", "photo restoration"),
    *("photo enhance", "skin", "unblur", "deblur", "gfpgan", "codeformer", "人脸修复", "去模糊"),
)
FOUND = """() => [...document.querySelectorAll('[role=option]')].map(row => row.innerText.trim().split('\\n')[0])
    .filter(title => title.startsWith('HeadsUp'))"""


@pytest.fixture(scope="module")
def page(browser: Browser, comfy_server: ComfyServer) -> Iterator[ComfyPage]:
    """One page for all searches."""
    skip_welcome(comfy_server.base)
    context = browser.new_context(viewport={"width": 1600, "height": 1600})
    context.set_default_timeout(120_000)
    page = ComfyPage(context.new_page(), comfy_server.address)
    page.load_prompt({}, "empty")
    yield page
    context.close()


def test_search_for_what_it_does_finds_restore_portrait_first(page: ComfyPage) -> None:
    for _ in range(3):  # a busy page loses the first
        page.page.mouse.dblclick(800, 700)
        page.settle()
        if page.page.evaluate("() => document.activeElement?.tagName === 'INPUT'"):
            break
    box = page.page.locator("input:focus")
    first: dict[str, str | None] = {}
    for words in SEARCHES:
        box.fill(words)
        page.settle()
        first[words] = next(iter(page.page.evaluate(FOUND)), None)
    page.page.keyboard.press("Escape")

    assert first == dict.fromkeys(SEARCHES, MAIN)


def test_library_shows_all_nodes_together_and_restore_portrait_first(page: ComfyPage, client: ComfyClient) -> None:
    """A node with an `essentials_category` is not among the extensions, but alone below ComfyUI's own nodes."""
    infos = client.object_info()
    ours = [info for info in infos.values() if info["category"].startswith("HeadsUp")]
    page.page.get_by_text("Nodes", exact=True).first.click()
    folder = page.page.get_by_role("treeitem", name="HeadsUp", exact=True)
    folder.click()
    groups = sorted({info["category"].partition("/")[2] for info in ours} - {""})
    for group in groups:
        page.page.get_by_role("treeitem", name=group, exact=True).click()
    titles = [title for title in page.page.get_by_role("treeitem").all_inner_texts() if title.startswith("HeadsUp ")]

    assert folder.count() == 1
    assert titles[0] == MAIN
    assert sorted(titles) == sorted(info["display_name"] for info in ours)
