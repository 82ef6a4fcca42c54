"""A client of ComfyUI's HTTP and websocket interface: queue a prompt, follow it, fetch what it made."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import aiohttp

Prompt = dict[str, dict[str, Any]]
ENDINGS = {"execution_success": "success", "execution_error": "error", "execution_interrupted": "interrupted"}


class PromptRejectedError(Exception):
    """ComfyUI refused the prompt before running it."""

    def __init__(self, reply: dict[str, Any]) -> None:
        self.error: dict[str, Any] = reply.get("error") or {}
        self.node_errors: dict[str, Any] = reply.get("node_errors") or {}
        parts = [str(self.error.get("message", reply))]
        for node in self.node_errors.values():
            parts += [f"{node['class_type']}: {e['message']} {e['details']}" for e in node["errors"]]
        super().__init__("; ".join(parts))


@dataclass(frozen=True)
class Event:
    """One websocket message; `preview` messages carry only the number of bytes of their picture."""

    kind: str
    data: dict[str, Any]


@dataclass(frozen=True)
class PromptResult:
    """How a prompt ended. `outputs` is the history's: node id -> what the node shows (images, text ...)."""

    prompt_id: str
    status: str
    outputs: dict[str, dict[str, Any]]
    events: list[Event] = field(repr=False)
    seconds: float

    @property
    def error(self) -> str:
        """The message of the exception that ended the prompt, or an empty string."""
        messages = [e.data["exception_message"] for e in self.events if e.kind == "execution_error"]
        return messages[0] if messages else ""

    @property
    def executed_nodes(self) -> list[str]:
        """The nodes that ran, in order; cached ones are not in it."""
        return [e.data["node"] for e in self.events if e.kind == "executing" and e.data.get("node")]

    def progress_of(self, node: str) -> list[tuple[float, float]]:
        """The (value, total) pairs that a node reported."""
        return [(e.data["value"], e.data["max"]) for e in self.events if is_progress_of(e, node)]


def is_progress_of(event: Event, node: str) -> bool:
    """Whether the event is a progress report of that node."""
    return event.kind == "progress" and event.data.get("node") == node


T = TypeVar("T")
OnEvent = Callable[[Event], None]


def wait_for(work: Coroutine[Any, Any, T]) -> T:
    """The result of asynchronous work, in a thread of its own where an event loop runs already (Playwright's)."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()


class ComfyClient:
    """Talks to a ComfyUI at `address`."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.client_id = uuid.uuid4().hex

    def run(self, prompt: Prompt, on_event: OnEvent | None = None, timeout: float = 300) -> PromptResult:
        """Queue a prompt and follow it to its end; `on_event` sees every message as it comes.

        Raises:
            PromptRejectedError: ComfyUI found the prompt invalid.
            TimeoutError: it did not end within `timeout` seconds.
        """
        return wait_for(asyncio.wait_for(self._run(prompt, on_event), timeout))

    def get(self, path: str) -> Any:  # noqa: ANN401 - JSON
        """The JSON that a GET of `path` gives."""
        return json.loads(self.get_bytes(path))

    def get_bytes(self, path: str, **query: str) -> bytes:
        """The bytes that a GET of `path` gives."""
        return wait_for(self._request("GET", path, params=query))

    def post(self, path: str, body: dict[str, Any] | None = None) -> bytes:
        """The bytes that a POST of `body` as JSON gives."""
        return wait_for(self._request("POST", path, json=body or {}))

    def object_info(self) -> dict[str, Any]:
        """The schemas of all nodes."""
        return self.get("/object_info")

    def version(self) -> str:
        """The version of the ComfyUI that answers."""
        return self.get("/system_stats")["system"]["comfyui_version"]

    def interrupt(self) -> None:
        """Stop the prompt that is running."""
        self.post("/interrupt")

    def upload_image(self, path: Path) -> str:
        """Put a picture into the input folder and return its name there."""
        form = aiohttp.FormData()
        form.add_field("image", path.read_bytes(), filename=path.name, content_type="application/octet-stream")
        form.add_field("overwrite", "true")
        return json.loads(wait_for(self._request("POST", "/upload/image", data=form)))["name"]

    def fetch_image(self, image: dict[str, str]) -> bytes:
        """The file of a picture named in a prompt's outputs."""
        return self.get_bytes("/view", **{k: image[k] for k in ("filename", "subfolder", "type")})

    async def _request(self, verb: str, path: str, **options: Any) -> bytes:  # noqa: ANN401 - aiohttp's
        async with aiohttp.ClientSession() as session, session.request(verb, self.address + path, **options) as reply:
            reply.raise_for_status()
            return await reply.read()

    async def _run(self, prompt: Prompt, on_event: OnEvent | None) -> PromptResult:
        start = time.monotonic()
        socket_address = f"{self.address}/ws?clientId={self.client_id}"
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(socket_address, max_msg_size=0) as socket,
        ):
            body = {"prompt": prompt, "client_id": self.client_id}
            async with session.post(self.address + "/prompt", json=body) as reply:
                answer = await reply.json()
            if reply.status != 200:
                raise PromptRejectedError(answer)
            prompt_id = answer["prompt_id"]
            events = await self._follow(socket, prompt_id, on_event)
            outputs = await self._outputs(session, prompt_id)
        return PromptResult(prompt_id, ENDINGS[events[-1].kind], outputs, events, time.monotonic() - start)

    async def _follow(
        self, socket: aiohttp.ClientWebSocketResponse, prompt_id: str, on_event: OnEvent | None
    ) -> list[Event]:
        events: list[Event] = []
        async for message in socket:
            if message.type is aiohttp.WSMsgType.TEXT:
                body = json.loads(message.data)
                event = Event(body["type"], body.get("data") or {})
                if event.data.get("prompt_id", prompt_id) != prompt_id:
                    continue
            elif message.type is aiohttp.WSMsgType.BINARY:
                event = Event("preview", {"bytes": len(message.data)})
            else:
                break
            events.append(event)
            if on_event is not None:
                await asyncio.to_thread(on_event, event)  # may call this client's blocking methods
            if event.kind in ENDINGS:
                return events
        raise ConnectionError("ComfyUI closed the connection before the prompt ended")

    async def _outputs(self, session: aiohttp.ClientSession, prompt_id: str) -> dict[str, dict[str, Any]]:
        # the history is written a moment after the last websocket message
        while True:
            async with session.get(f"{self.address}/history/{prompt_id}") as reply:
                history = await reply.json()
            if prompt_id in history:
                return history[prompt_id]["outputs"]
            await asyncio.sleep(0.05)
