"""Fixtures that start ComfyUI. Their logs are kept in build/test-artifacts."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.client import ComfyClient
from support.comfyui import CURRENT, OLDEST, ensure_comfyui, ensure_frontend
from support.pack import copy_as_cloned
from support.paths import ROOT
from support.sample import NAME, write_sample
from support.server import ComfyServer, link_pack, make_base_directory

from harness.executor import HARNESS_PACK, TEST_ENVIRONMENT, Executor

if TYPE_CHECKING:
    from collections.abc import Iterator

STRANGE_NAME = "my.pack-main (1)"


@pytest.fixture(scope="session")
def cloned_pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pack as a clone has it, in a folder whose name is no Python name."""
    return copy_as_cloned(tmp_path_factory.mktemp("clone") / STRANGE_NAME)


@pytest.fixture(scope="session")
def comfy_server(
    tmp_path_factory: pytest.TempPathFactory,
    cloned_pack: Path,
    artifacts: Path,
    worker_name: str,
    pytestconfig: pytest.Config,
) -> Iterator[ComfyServer]:
    """A ComfyUI 0.30.0 server with the pack, the harness's pack and a small portrait in its input folder."""
    page: str | None = pytestconfig.getoption("--frontend")
    options = [] if page is None else ["--front-end-root", str(ensure_frontend(page))]
    base = make_base_directory(tmp_path_factory.mktemp("server"))
    link_pack(cloned_pack, base, STRANGE_NAME)
    link_pack(HARNESS_PACK, base, "harness")
    write_sample(base / "input" / NAME)
    log = artifacts / f"comfyui-server-{worker_name}.log"
    tree = ensure_comfyui(CURRENT)
    with ComfyServer(sys.executable, tree, base, log, cpu=True, options=options, env=TEST_ENVIRONMENT) as server:
        yield server


@pytest.fixture(scope="session")
def bundled_model() -> Path:
    """The file of the model that comes with the pack."""
    (file,) = (ROOT / "headsup_core" / "models" / "bundled").glob("*.safetensors")
    return file


@pytest.fixture(scope="session")
def worker_name(request: pytest.FixtureRequest) -> str:
    """Tells the logs of the parts of the tests apart."""
    return Path(str(request.config.args[0])).name


@pytest.fixture
def client(comfy_server: ComfyServer) -> ComfyClient:
    """A client of the server."""
    return ComfyClient(comfy_server.address)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Tests with `executor` run in the newest ComfyUI; those marked `every_comfyui` in the oldest supported one, too.

    The mark belongs to what a node and ComfyUI do together: schemas, types, lists and batches, caching, progress,
    interrupting, memory, folders. What the core makes of a picture is the same in each.
    """
    if "executor" in metafunc.fixturenames:
        every = metafunc.definition.get_closest_marker("every_comfyui")
        metafunc.parametrize("executor", [CURRENT, OLDEST] if every else [CURRENT], indirect=True, scope="session")


@pytest.fixture(scope="session")
def executor(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, cloned_pack: Path, artifacts: Path
) -> Iterator[Executor]:
    """The executor of a supported ComfyUI, with the pack and the core node that loads a folder."""
    version: str = request.param
    base = make_base_directory(tmp_path_factory.mktemp(f"executor-{version}"))
    write_sample(base / "input" / NAME)
    log = artifacts / f"comfyui-executor-{version}.log"
    tree = ensure_comfyui(version)
    with pytest.MonkeyPatch.context() as patch:  # what one version calibrates, the other shall not find
        patch.setenv("HEADSUP_CACHE", str(base / "cache"))
        executor = Executor(version, tree, base, [cloned_pack, tree / "comfy_extras" / "nodes_dataset.py"], log)
    yield executor
    executor.close()
