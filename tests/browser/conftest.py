"""A real Chromium with ComfyUI's page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from harness.page import ComfyPage, skip_welcome
from playwright.sync_api import Browser, sync_playwright
from support.testing import CHROMIUM

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.server import ComfyServer

WINDOW = {"width": 1600, "height": 1000}


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """The browser of all tests."""
    with sync_playwright() as playwright:
        # no sandbox: it cannot be had as root in a container, and the only page is our own
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def comfy_page(
    browser: Browser, comfy_server: ComfyServer, artifacts: Path, request: pytest.FixtureRequest
) -> Iterator[ComfyPage]:
    """ComfyUI's page, ready, in a fresh profile; a screenshot of its end is kept."""
    skip_welcome(comfy_server.base)
    context = browser.new_context(viewport=WINDOW)
    context.set_default_timeout(120_000)  # a busy machine loads the page slowly
    page = ComfyPage(context.new_page(), comfy_server.address)
    yield page
    page.screenshot(artifacts / f"{request.node.name}.png")
    context.close()
