"""A ComfyUI server process: its base directory, its start, its end."""

from __future__ import annotations

import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

from .console import ScriptError, tail

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

HOST = "127.0.0.1"
START_SECONDS = 600  # on a busy machine importing torch alone takes minutes


def free_port() -> int:
    """A TCP port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def port_is_free(port: int) -> bool:
    """Whether a server can listen on the port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def make_base_directory(base: Path) -> Path:
    """The folders that ComfyUI expects below `--base-directory`."""
    for name in ("custom_nodes", "input", "output", "models", "user", "temp"):
        (base / name).mkdir(parents=True, exist_ok=True)
    return base


def link_pack(pack: Path, base: Path, name: str) -> Path:
    """Link the folder `pack` into a base directory as a custom node, replacing an older link.

    Raises:
        ScriptError: a real folder of that name is in the way.
    """
    link = base / "custom_nodes" / name
    if link.is_symlink():
        if link.resolve() == pack.resolve():
            return link
        link.unlink()
    if link.exists():
        raise ScriptError(f"{link} is in the way: it is no link to {pack}; move it away and run this script again.")
    link.symlink_to(pack, target_is_directory=True)
    return link


class ComfyServer:
    """A running ComfyUI, used as a context manager.

    Args:
        python: interpreter that has ComfyUI's requirements.
        tree: the ComfyUI folder.
        base: base directory made by `make_base_directory`.
        log: file that gets everything the server says.
        cpu: compute on the CPU even when there is an accelerator.
        port: port to listen on; None takes a free one.
        env: variables added to the server's environment.
    """

    def __init__(
        self,
        python: str | Path,
        tree: Path,
        base: Path,
        log: Path,
        *,
        cpu: bool,
        port: int | None = None,
        options: Sequence[str] = (),
        env: dict[str, str] | None = None,
    ) -> None:
        self.port = free_port() if port is None else port
        self.base = base
        self.log = log
        self._tree = tree
        # the pack must work with nothing of the repository on the module path
        self._env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | (env or {})
        self._command = [
            str(python),
            str(tree / "main.py"),
            *("--listen", HOST, "--port", str(self.port)),
            *("--base-directory", str(base), "--database-url", "sqlite:///:memory:"),
            *("--disable-api-nodes", "--disable-auto-launch"),
            *(["--cpu"] if cpu else []),
            *options,
        ]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """Where people and clients find it."""
        return f"http://{HOST}:{self.port}"

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The running process."""
        if self._process is None:
            raise RuntimeError("the server was not started")
        return self._process

    def start(self) -> None:
        """Start and wait until the server answers.

        Raises:
            ScriptError: the port is taken, or the server ended or did not answer in time.
        """
        if not port_is_free(self.port):
            raise ScriptError(f"port {self.port} is busy: stop what listens there or give another one with --port.")
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("wb") as stream:
            self._process = subprocess.Popen(
                self._command, cwd=self._tree, stdout=stream, stderr=subprocess.STDOUT, env=self._env
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._process.poll() is not None:
                raise ScriptError(f"{tail(self.log)}\nComfyUI ended while starting (log: {self.log}).")
            if time.monotonic() > deadline:
                self.stop()
                raise ScriptError(f"ComfyUI did not answer within {START_SECONDS} s (log: {self.log}).")
            time.sleep(0.25)

    def stop(self) -> None:
        """End the server; kill it when it does not go by itself."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.address}/system_stats", timeout=5) as reply:  # noqa: S310 - our own
                return reply.status == 200
        except (urllib.error.URLError, OSError):
            return False

    def __enter__(self) -> ComfyServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
