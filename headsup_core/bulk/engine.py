"""Where workers run: in this process, or as actors of Ray Data on this machine or a cluster."""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import torch

from ..errors import InputError
from ..libraries import need
from .blocks import Block, BlockWork, MakeWorker, Result
from .items import Item

log = logging.getLogger(__name__)

BLOCK = 16
"""Pictures of a block: what a killed driver may have to do again, and how often it hears of results."""
STORE_BYTES = 200 << 20
"""Size of the object store of a Ray that is started here: only places and reports go through it."""
SPARE_CPUS = 2
"""That Ray wants beside its actors for its own tasks."""
STARTS = 4
"""Times that Ray is started before it is given up: on a busy machine its processes take longer than it waits."""
LOOK_SECONDS = 0.5
"""Between two looks at the processes that a start of Ray begins."""


@dataclass(frozen=True)
class Engine:
    """How many workers there are, and where.

    Attributes:
        kind: "ray", or "local": one worker in this process.
        workers: on Ray; None: as many as the machine or cluster holds.
        cpus, gpus: of each worker; cpus None: this machine's shared out among the workers.
        address: of a running Ray; None: one is started on this machine and ended with the run.
    """

    kind: str = "local"
    workers: int | None = None
    cpus: int | None = None
    gpus: float = 0.0
    address: str | None = None
    block: int = BLOCK

    def __post_init__(self) -> None:
        for name, value in (("workers", self.workers), ("cpus-per-worker", self.cpus), ("block", self.block)):
            if value is not None and value < 1:
                raise InputError(f"--{name} {value}: must be at least 1")
        if self.gpus < 0:
            raise InputError(f"--gpus-per-worker {self.gpus:g}: must be at least 0")

    def run(self, items: Sequence[Item], make_worker: MakeWorker, block: Block) -> Iterator[Result]:
        """What became of each picture, as it is known. Raises `InputError` when the engine cannot be had."""
        if not items:
            return
        if self.kind == "local":
            work = BlockWork(make_worker(), block)
            for start in range(0, len(items), self.block):
                yield from work(items[start : start + self.block])
        else:
            yield from self._on_ray(items, make_worker, block)

    def _on_ray(self, items: Sequence[Item], make_worker: MakeWorker, block: Block) -> Iterator[Result]:
        workers, cpus = (self.workers or 1, self.cpus or 1) if self.address is not None else self._here()
        with ray_started(self.address, workers * cpus) as ray:
            if self.address is not None:
                workers = self._fitting(ray.cluster_resources(), cpus)
            workers = min(workers, len(items))
            log.info("%d worker%s of %d CPUs and %g GPUs on Ray", workers, "s" * (workers > 1), cpus, self.gpus)
            rows = [{"item": json.dumps(item.to_json())} for item in items]
            blocks = min(len(items), -(-len(items) // (self.block * workers)) * workers)  # as many for each worker
            data = ray.data.from_items(rows, override_num_blocks=blocks).map_batches(
                _Actor,
                fn_constructor_args=(make_worker, block, cpus, os.getcwd()),
                batch_size=None,
                compute=ray.data.ActorPoolStrategy(size=workers),
                num_cpus=cpus,
                num_gpus=self.gpus or None,
            )
            for batch in data.iter_batches(batch_size=None, prefetch_batches=0):
                for text in batch["result"]:
                    yield Result.from_json(json.loads(text))

    def _here(self) -> tuple[int, int]:
        """Workers of this machine, and the CPUs of each. Raises `InputError` when its GPUs are too few: Ray would wait
        for more."""
        cores = os.cpu_count() or 1
        workers = self.workers or (cores if self.cpus is None else max(1, cores // self.cpus))
        if self.gpus:
            count = torch.cuda.device_count()
            most, wanted = int(count / self.gpus), self.workers or 1
            if most < wanted:
                raise InputError(
                    f"{wanted} worker{'s' * (wanted > 1)} of {self.gpus:g} GPUs want {wanted * self.gpus:g} GPUs, this "
                    f"machine has {count}: ask for fewer --workers or --gpus-per-worker"
                )
            workers = min(workers, most)
        return workers, self.cpus or max(1, cores // workers)

    def _fitting(self, resources: dict[str, float], cpus: int) -> int:
        """Workers that the cluster holds. Raises `InputError` when that is fewer than asked for."""
        most = (resources.get("CPU", 0) - SPARE_CPUS) // cpus
        if self.gpus:
            most = min(most, resources.get("GPU", 0) // self.gpus)
        wanted = self.workers or max(1, int(most))
        if most < wanted:
            raise InputError(
                f"{wanted} workers of {cpus} CPUs and {self.gpus:g} GPUs want {wanted * cpus + SPARE_CPUS} CPUs and "
                f"{wanted * self.gpus:g} GPUs, the cluster has {resources.get('CPU', 0):g} and "
                f"{resources.get('GPU', 0):g}: ask for fewer --workers"
            )
        return wanted


class _Actor:
    """A worker on Ray: it holds the models, and gets a block at a time."""

    def __init__(self, make_worker: MakeWorker, block: Block, cpus: int, folder: str) -> None:
        if Path(folder).is_dir():
            os.chdir(folder)  # relative names mean what they meant to the user
        torch.set_num_threads(cpus)
        self._work = BlockWork(make_worker(), block)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        results = self._work([Item(**json.loads(text)) for text in batch["item"]])
        return {"result": [json.dumps(result.to_json()) for result in results]}


def need_ray() -> Any:  # noqa: ANN401 - the library
    """Ray, which sends no statistics. Raises `InputError` with what to install."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray = need("ray", "'ray[data]>=2.40'", "--engine ray")
    need("ray.data", "'ray[data]>=2.40'", "--engine ray")
    return ray


@contextmanager
def ray_started(address: str | None, cpus: int) -> Generator[Any]:
    """Ray, connected to `address`, or started on this machine with room for workers of `cpus` CPUs together and ended
    with the block. A Ray that runs in this process already is used and left running.

    Raises:
        InputError: it is not installed, does not start, or nobody answers at the address.
    """
    ray = need_ray()
    if ray.is_initialized():
        yield ray
        return
    before = os.environ.get("PYTHONPATH")
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.WARNING}
    if address is None:
        # its workers inherit this, and find the package where this process has it
        os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parents[2]), *([before] if before else [])])
        options |= {
            "num_cpus": cpus + SPARE_CPUS,
            "object_store_memory": STORE_BYTES,
            "include_dashboard": False,
        }
    else:
        package = Path(__file__).parents[1]
        options |= {"address": address, "runtime_env": {"py_modules": [str(package)]}}
    try:
        start_ray(ray, options)
    finally:
        _restore("PYTHONPATH", before)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.WARNING)
    try:
        yield ray
    finally:
        ray.shutdown()


def _restore(name: str, value: str | None) -> None:
    """An environment variable as it was."""
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value


def start_ray(ray: Any, options: dict[str, Any]) -> None:  # noqa: ANN401 - the library
    """Start it, up to `STARTS` times. Raises `InputError` with the reason of the last."""
    for start in range(1, STARTS + 1):
        begun: set[psutil.Process] = set()
        try:
            with _noted(begun):
                ray.init(**options)
        except Exception as error:  # it raises plain `Exception` when its processes are slow
            ray.shutdown()
            _end_leftovers(begun)
            if start == STARTS or "address" in options:
                where = options.get("address", "this machine")
                raise InputError(f"Ray does not start at {where}: {' '.join(str(error).split())}") from error
            log.info("Ray did not start in time, trying again (%d of %d)", start + 1, STARTS)
            time.sleep(1)
        else:
            return


@contextmanager
def _noted(begun: set[psutil.Process]) -> Generator[None]:
    """Put the processes below this one that begin in the block into `begun`: at its end some are nobody's children."""
    before, ended = set(psutil.Process().children(recursive=True)), threading.Event()

    def look() -> None:
        begun.update(set(psutil.Process().children(recursive=True)) - before)

    def watch() -> None:
        while not ended.wait(LOOK_SECONDS):
            look()

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()
        look()


def _end_leftovers(processes: Iterable[psutil.Process]) -> None:
    """End those of Ray: it lets them run when its start fails, and they make the next one slower yet."""
    for process in processes:
        with suppress(psutil.Error):
            if any("/ray/" in word or word.startswith("ray::") for word in process.cmdline()):
                process.kill()
