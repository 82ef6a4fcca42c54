"""ComfyUI's page in a real browser."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from playwright.sync_api import TimeoutError as PageTimeoutError

if TYPE_CHECKING:
    from playwright.sync_api import ConsoleMessage, Page, Request
    from support.workflow import Prompt

READY = "window.app && window.app.graph && window.app.extensionManager"
READY_MS = 240_000  # a busy machine takes minutes
SETTLE_MS = 1_500  # the page reports problems of a workflow a moment after it was loaded
DRAW_MS = 250
OVERLAY = "[data-testid=error-overlay]:visible"
PANEL, LOGGED = "Workflow Overview", "Exception Message"
PROBLEMS = "[role=dialog]:visible, [role=alertdialog]:visible, [data-testid=error-overlay]:visible"

# The page says these on every start without a user's own style, saved files, or other people's templates, and
# because it may not reach the models of the workflow that it shows first, nor the registry that it asks which pack a
# node comes from, whenever its manager happens to look at the canvas.
KNOWN_ERRORS = (
    "/user.css",
    "/api/userdata",
    "/templates/",
    "Error loading core workflow templates",
    "Error loading fuse options",
    "ComfyApp graph accessed before initialization",
    "https://huggingface.co/Comfy-Org/",
    "https://api.comfy.org/comfy-nodes/",
)


def skip_welcome(base: Path) -> None:
    """Let a base directory's page start as on a second visit, without the template gallery in front."""
    folder = base / "user" / "default"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "comfy.settings.json").write_text(json.dumps({"Comfy.TutorialCompleted": True}))


class ComfyPage:
    """The page at `address`, opened and ready; errors that it logs are collected."""

    def __init__(self, page: Page, address: str) -> None:
        self.page = page
        self.errors: list[str] = []
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.goto(address, timeout=READY_MS)
        page.wait_for_function(READY, timeout=READY_MS)

    def _on_console(self, message: ConsoleMessage) -> None:
        text = f"{message.text} ({message.location.get('url', '')})"
        if message.type == "error" and not any(known in text for known in KNOWN_ERRORS):
            self.errors.append(text)

    def load_workflow(self, workflow: dict[str, Any], name: str) -> None:
        """Open a workflow as dropping its file onto the page does, and let the page look at it."""
        self.page.evaluate("([json, name]) => window.app.loadGraphData(json, true, true, name)", [workflow, name])
        self.settle()

    def load_prompt(self, prompt: Prompt, name: str) -> None:
        """Open a prompt in API form; again when the page, still starting, put its own first workflow over it."""
        for _ in range(3):
            self.page.evaluate("([json, name]) => window.app.loadApiJson(json, name)", [prompt, name])
            self.settle()
            if len(self.node_types()) == len(prompt):
                return
        raise AssertionError(f"the page shows {self.node_types()}, not the {len(prompt)} nodes of the prompt")

    def settle(self) -> None:
        """Give the page a moment to report problems and to draw."""
        self.page.wait_for_timeout(SETTLE_MS)

    def draw(self) -> None:
        """Let the page draw what was changed on the canvas, and what lies over it."""
        self.page.wait_for_timeout(DRAW_MS)
        self.page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def known_types(self) -> set[str]:
        """The types of nodes that the page can make."""
        return set(self.page.evaluate("() => Object.keys(window.LiteGraph.registered_node_types)"))

    def node_types(self) -> list[str]:
        """The types of the nodes on the canvas."""
        return self.page.evaluate("() => window.app.graph.nodes.map(node => node.type)")

    def prompt(self) -> Prompt:
        """What the page would queue now."""
        return self.page.evaluate("async () => (await window.app.graphToPrompt()).output")

    def run(self) -> None:
        """Press Run; once more when the page, busy, has lost the first press."""
        for patience in (30_000, 60_000):
            try:
                with self.page.expect_request(_queues, timeout=patience):
                    self.page.get_by_test_id("queue-button").click()
            except PageTimeoutError:
                continue
            return
        raise AssertionError("the page sent no prompt after two presses of Run")

    def wait_for_images(self, node_type: str, seconds: float) -> list[dict[str, str]]:
        """The pictures that the node of a type shows, once it has some."""
        images = (
            "type => { const node = window.app.graph.nodes.find(node => node.type === type);"
            " return window.app.nodeOutputs[node.id]?.images }"
        )
        self.page.wait_for_function(images, arg=node_type, timeout=seconds * 1000)
        return self.page.evaluate(images, node_type)

    def problems(self) -> list[str]:
        """The texts of open dialogs and of the error overlay: missing nodes, values that do not fit, failed runs."""
        return self.page.locator(PROBLEMS).all_inner_texts()

    def complaint(self, seconds: float) -> str:
        """Wait for the error overlay, press its button for more, and give all that the panel says of a failed run."""
        self.page.locator(OVERLAY).wait_for(timeout=seconds * 1000)
        self.page.locator(OVERLAY).get_by_role("button").first.click()
        self.page.wait_for_function(f"() => document.body.innerText.includes({LOGGED!r})", timeout=seconds * 1000)
        return self.page.locator("body").inner_text().split(PANEL)[-1]

    def wait_for_text(self, words: str, seconds: float) -> str:
        """What a text box on the page holds, once one holds those words."""
        held = "words => [...document.querySelectorAll('textarea')].map(box => box.value).find(t => t.includes(words))"
        self.page.wait_for_function(held, arg=words, timeout=seconds * 1000)
        return self.page.evaluate(held, words)

    def screenshot(self, path: Path) -> None:
        """Keep a picture of the page."""
        self.page.screenshot(path=path)


def _queues(request: Request) -> bool:
    return request.method == "POST" and request.url.endswith("/prompt")
