"""ComfyUI's prompt executor in a process of its own: fast, exact tensors in and out, any pinned version."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import torch
from support.console import tail

from .graph import Graph, Output

RUNNER = Path(__file__).with_name("executor_runner.py")
HARNESS_PACK = Path(__file__).with_name("pack")

# Nothing may be fetched. One thread: several threads wait for each other so long on a busy machine that these small
# pictures take ten times as long, and on an idle one they gain little.
TEST_ENVIRONMENT = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}


@dataclass(frozen=True)
class ExecutorResult:
    """How a prompt ended: status "success", "error", "interrupted" or "rejected" (before it ran)."""

    status: str
    error: str = ""
    error_type: str = ""
    rejection: dict[str, Any] | None = None
    node_errors: dict[str, Any] = field(default_factory=dict)
    executed: list[str] = field(default_factory=list)
    outputs: dict[str, Any] = field(default_factory=dict)
    progress: list[tuple[str, float, float, bool]] = field(default_factory=list)
    random_state_untouched: bool = True
    seconds: float = 0.0

    @property
    def complaint(self) -> str:
        """What a user reads, whether the prompt was rejected or failed while running."""
        errors = [e for node in self.node_errors.values() for e in node["errors"]]
        return "\n".join([self.error, *(f"{e['message']}: {e['details']}" for e in errors)]).strip()


class Executor:
    """One ComfyUI executor; its caches and loaded models live as long as it does."""

    def __init__(self, version: str, tree: Path, base: Path, packs: list[Path], log: Path) -> None:
        self.version = version
        self.base = base
        self._log = log
        self._stream: IO[bytes] = log.open("wb")
        env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | TEST_ENVIRONMENT
        command = [sys.executable, str(RUNNER), str(tree), str(base), *map(str, (HARNESS_PACK, *packs))]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._stream, text=True, env=env, cwd=base
        )
        self.failed_packs: list[str] = self._read()["failed_packs"]

    def run(self, graph: Graph, interrupt_after: int | None = None) -> ExecutorResult:
        """Execute a graph; interrupt it at its n-th progress report when asked to."""
        return ExecutorResult(**self._ask(command="run", prompt=graph.prompt, interrupt_after=interrupt_after))

    def object_info(self) -> dict[str, Any]:
        """The schemas of the loaded V3 nodes."""
        return self._ask(command="object_info")

    def loaded_models(self) -> list[dict[str, Any]]:
        """The networks in ComfyUI's memory management: id, class and bytes of each."""
        return self._ask(command="loaded_models")

    def values(self, graph: Graph, *values: Any) -> Output:
        """An output in `graph` that gives `values` one after the other."""
        path = self._new_file()
        torch.save(list(values), path)
        return graph.add("HarnessValues", path=str(path))[0]

    def record(self, graph: Graph, output: Output) -> Path:
        """Record an output; pass the path to `recorded` after the run."""
        path = self._new_file()
        graph.add("HarnessRecord", value=output, path=str(path))
        return path

    @staticmethod
    def recorded(path: Path) -> list[Any]:
        """The values that were recorded."""
        return torch.load(path, weights_only=True)

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=300)
        self._stream.close()

    def _new_file(self) -> Path:
        handle, name = tempfile.mkstemp(suffix=".pt", dir=self.base)
        os.close(handle)
        return Path(name)

    def _ask(self, **command: Any) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise AssertionError(f"{tail(self._log, 40)}\nthe executor of {self.version} ended (log: {self._log})")
        return json.loads(line)


def finish(executor: Executor, graph: Graph, *outputs: Output) -> list[Any]:
    """Run a graph; the first value of each output."""
    paths = [executor.record(graph, output) for output in outputs]
    result = executor.run(graph)
    assert result.status == "success", result.complaint
    return [executor.recorded(path)[0] for path in paths]


def refused(executor: Executor, graph: Graph, output: Output) -> str:
    """Run a graph that must fail; what its error says."""
    executor.record(graph, output)
    result = executor.run(graph)
    assert result.status == "error", result
    return result.complaint
