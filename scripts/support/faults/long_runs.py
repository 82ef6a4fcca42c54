"""A real ComfyUI that works for long: many queued prompts, and a batch of many frames; its memory stays flat."""

from __future__ import annotations

import shutil
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from PIL import Image

from ..client import ComfyClient, Event, is_progress_of
from ..comfyui import CURRENT, ensure_comfyui
from ..paths import PACK_NAME, ROOT
from ..server import ComfyServer, link_pack, make_base_directory
from .findings import Findings, Steps

FLAT = 0.05
"""Share by which resident memory may differ between the early and the last look."""
EARLY = 100
"""Prompts or frames after which memory is looked at first; of fewer than twice as many, half of them."""
REFUSED = 10
"""Each prompt of so many is one that fails."""
SIDE = 32
SECONDS = 3600
Prompt = dict[str, dict[str, Any]]


@dataclass
class Looks:
    """Resident bytes of a process, early and last."""

    server: ComfyServer
    early: int = 0
    last: int = 0
    seen: list[int] = field(default_factory=list[int])

    def look(self, done: int, total: int) -> None:
        """After so many of the total."""
        self.last = psutil.Process(self.server.process.pid).memory_info().rss
        if done >= min(EARLY, total // 2) and not self.early:
            self.early = self.last

    def judged(self, what: str, findings: Findings) -> str:
        """In words; a finding where memory is not flat."""
        early, last = (size / 2**20 for size in (self.early, self.last))
        if not self.early or abs(self.last / self.early - 1) > FLAT:
            findings.add("growing memory", f"{what}: {early:.0f} MiB, then {last:.0f} MiB")
        return f"{early:.0f} MiB early, {last:.0f} MiB after the last"


def queued_prompts(folder: Path, count: int, findings: Findings) -> str:
    """Queue so many prompts at once in one ComfyUI; each tenth fails. In words what was done."""
    if not count:
        return "no queued prompts"
    with _server(folder) as server:
        client, looks = ComfyClient(server.address), Looks(server)
        steps = Steps("queued prompts", count)
        for number in range(count):
            client.post("/prompt", {"prompt": _prompt(number), "client_id": client.client_id})
        done, started = 0, time.monotonic()
        while done < count and time.monotonic() - started < SECONDS:
            time.sleep(0.2)
            left = client.get("/queue")
            done = count - len(left["queue_running"]) - len(left["queue_pending"])
            looks.look(done, count)
            steps.reach(done)
        if done < count:
            findings.add("hangs", f"{count - done} of {count} queued prompts did not end within {SECONDS} s")
        history = client.get(f"/history?max_items={count}")
        ends = [entry["status"]["status_str"] for entry in history.values()]
    failed, wanted = ends.count("error"), -(-count // REFUSED)
    if (len(ends), failed) != (count, wanted):
        findings.add("lost pictures", f"of {count} queued prompts {len(ends)} ended, {failed} not {wanted} with errors")
    memory = looks.judged(f"{count} queued prompts", findings)
    return f"{count} queued prompts in one ComfyUI, {failed} of them with errors ({memory})"


def frames_of_one_batch(folder: Path, count: int, findings: Findings) -> str:
    """Restore so many frames as one batch, with a person who is known; in words what was done."""
    if not count:
        return "no frames"
    with _server(folder) as server:
        client, looks = ComfyClient(server.address), Looks(server)
        steps, upscale = Steps("frames of one batch", count), "6"

        def watch(event: Event) -> None:
            if is_progress_of(event, upscale):
                done = int(count * event.data["value"] / event.data["max"])
                looks.look(done, count)
                steps.reach(done)

        result = client.run(_frames(count), on_event=watch, timeout=SECONDS)
    if result.status != "success":
        findings.add("lost pictures", f"{count} frames of one batch: {result.error}")
    memory = looks.judged(f"{count} frames of one batch", findings)
    return f"{count} frames as one batch in ComfyUI, with a known person ({memory})"


def _server(folder: Path) -> ComfyServer:
    base = make_base_directory(folder / "comfyui")
    link_pack(ROOT, base, PACK_NAME)
    shutil.copyfile(ROOT / "samples" / "headsup_photo.jpg", base / "input" / "photo.jpg")
    with Image.open(ROOT / "samples" / "headsup_portrait.jpg") as portrait:
        portrait.resize((SIDE, SIDE)).save(base / "input" / "small.png")
        portrait.resize((2 * SIDE, 2 * SIDE)).save(base / "input" / "frame.png")
    quiet = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    log = folder / "comfyui.log"
    return ComfyServer(sys.executable, ensure_comfyui(CURRENT), base, log, cpu=True, env=quiet)


def _node(kind: str, **inputs: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    return {"class_type": kind, "inputs": inputs, "_meta": {"title": kind}}


def _model() -> dict[str, Any]:
    return _node("HeadsUpLoadModel", model="headsup-tiny (bundled)", dtype="float32", device="auto")


def _upscale(**inputs: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    own = {"scale": 2.0, "long_edge": 0, "max_megapixels": 16.0, "tile": 256, "overlap": 64, "tile_batch": 1}
    rest = {"strength": 1.0, "color_fix": "auto", "seed": 0, "on_error": "stop"}
    return _node("HeadsUpUpscale", **(own | rest | inputs))


def _prompt(number: int) -> Prompt:
    """Another one for each number, so that nothing is taken from the cache."""
    overlap = 256 if number % REFUSED == 0 else 64  # as large as a tile: refused by the node
    return {
        "1": _node("LoadImage", image="small.png"),
        "2": _model(),
        "3": _upscale(model=["2", 0], image=["1", 0], seed=number, overlap=overlap),
        "4": _node("SaveImage", images=["3", 0], filename_prefix="queued"),
    }


def _frames(count: int) -> Prompt:
    encode = {"name": "Ada", "people": "one person", "min_score": 0.5, "no_face": "error"}
    return {
        "1": _node("LoadImage", image="photo.jpg"),
        "2": _node("HeadsUpEncodeIdentity", photos=["1", 0], **encode),
        "3": _node("HeadsUpInjectIdentity", model=["7", 0], identities=["2", 0], strength=1.0, match_threshold=0.4),
        "4": _node("LoadImage", image="frame.png"),
        "5": _node("RepeatImageBatch", image=["4", 0], amount=count),
        "6": _upscale(model=["3", 0], image=["5", 0], frames=True),
        "7": _model(),
        "8": _node("PreviewAny", source=["6", 2]),
    }
