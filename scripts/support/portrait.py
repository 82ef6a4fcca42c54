"""The quick start's run: one portrait through the workflow, shown before and after."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

from .client import ComfyClient, Event, PromptRejectedError, PromptResult
from .console import ScriptError, say, step
from .paths import WORKFLOW, relative
from .sample import side_by_side
from .server import ComfyServer
from .workflow import Prompt, WorkflowError, to_prompt

UPSCALE = "HeadsUpFaceRestorePortrait"
IMAGE, BEFORE, REPORT = 0, 1, 2  # outputs of the upscale node
RUN_SECONDS = 3600


def read_workflow(path: Path = WORKFLOW) -> dict[str, Any]:
    """The workflow's JSON.

    Raises:
        ScriptError: the file is missing or no JSON.
    """
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ScriptError(f"cannot read the workflow {relative(path)}: {error}; restore it from git.") from error


def make_comparison(server: ComfyServer, workflow: dict[str, Any], picture: Path | None, target: Path) -> None:
    """Run the workflow on a picture (None: the sample portrait) and write before | after to `target`.

    Raises:
        ScriptError: ComfyUI did not load the pack, refused the workflow, or the run failed.
    """
    client = ComfyClient(server.address)
    prompt = convert(client, workflow, server.log)
    name = place_picture(prompt, picture, server.base / "input")
    result = queue(client, prompt, name)
    before, after = (client.fetch_image(find_image(prompt, result, output)) for output in (BEFORE, IMAGE))
    width, height = side_by_side(before, after, target)
    say(find_report(prompt, result))
    say(f"ComfyUI {client.version()}: {name} upscaled to {width} x {height} in {result.seconds:.1f} s")
    say(f"before | after: {relative(target)}")


def convert(client: ComfyClient, workflow: dict[str, Any], log: Path) -> Prompt:
    """The workflow as a prompt."""
    try:
        return to_prompt(workflow, client.object_info())
    except WorkflowError as error:
        raise ScriptError(f"ComfyUI cannot run the workflow: {error} (see {relative(log)} for the pack).") from error


def place_picture(prompt: Prompt, picture: Path | None, folder: Path) -> str:
    """Put the picture into ComfyUI's input folder, where the pack has put the sample; the name that is loaded."""
    loader = the_node(prompt, "LoadImage")
    if picture is None:
        return loader["inputs"]["image"]
    shutil.copyfile(picture, folder / picture.name)
    loader["inputs"]["image"] = picture.name
    return picture.name


def queue(client: ComfyClient, prompt: Prompt, name: str) -> PromptResult:
    """Run the prompt, showing its progress."""
    with step(f"running the workflow {relative(WORKFLOW)} on {name}"):
        try:
            result = client.run(prompt, ProgressLine(prompt), timeout=RUN_SECONDS)
        except PromptRejectedError as error:
            raise ScriptError(f"ComfyUI refused the workflow: {error}") from error
        except TimeoutError as error:
            raise ScriptError(f"the workflow did not end within {RUN_SECONDS} s; try --image with less.") from error
    if result.status != "success":
        raise ScriptError(f"the workflow ended with {result.status}: {result.error}")
    return result


class ProgressLine:
    """Shows which node runs and how far it is, on one line of a terminal; silent in a pipe."""

    def __init__(self, prompt: Prompt) -> None:
        self._titles = {node: entry["_meta"]["title"] for node, entry in prompt.items()}
        self._terminal = sys.stdout.isatty()

    def __call__(self, event: Event) -> None:
        title = self._titles.get(str(event.data.get("node")))
        if not self._terminal or title is None:
            return
        text = title
        if event.kind == "progress":
            text = f"{title}: {event.data['value']:.0f} of {event.data['max']:.0f}"
        sys.stdout.write(f"\r\x1b[K  {text}")
        if event.kind == "executed":
            sys.stdout.write("\r\x1b[K")
        sys.stdout.flush()


def the_node(prompt: Prompt, class_type: str) -> dict[str, Any]:
    """The only node of a class in a prompt."""
    found = [entry for entry in prompt.values() if entry["class_type"] == class_type]
    if len(found) != 1:
        raise ScriptError(f"the workflow should have one {class_type} node, it has {len(found)}.")
    return found[0]


def shown_output(prompt: Prompt, result: PromptResult, output: int, key: str) -> Any:  # noqa: ANN401
    """What a node that is linked to an output of the upscale node showed under `key` ("images", "text")."""
    upscale = next(node for node, entry in prompt.items() if entry is the_node(prompt, UPSCALE))
    for node, entry in prompt.items():
        for name, value in entry["inputs"].items():
            own = f"{name[-1]}_{key}" if entry["class_type"] == "ImageCompare" else key  # a_images of image_a
            if value == [upscale, output] and (shown := result.outputs.get(node, {}).get(own)):
                return shown[0]
    names = {IMAGE: "image", BEFORE: "before", REPORT: "report"}
    raise ScriptError(f"the workflow shows nothing of the output {names[output]!r} of {UPSCALE}.")


def find_image(prompt: Prompt, result: PromptResult, output: int) -> dict[str, str]:
    """Where the picture of an output was saved."""
    return shown_output(prompt, result, output, "images")


def find_report(prompt: Prompt, result: PromptResult) -> str:
    """The report of the upscale node."""
    return shown_output(prompt, result, REPORT, "text")
