"""The set-up: nothing is done twice, an interrupted one goes on, and what is missing is said."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest
from harness.refusals import raises_naming
from support import environment
from support.console import ScriptError


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A set-up of two groups in an empty folder; the list of what it installs."""
    for name in ("one", "two"):
        (tmp_path / f"{name}.txt").write_text(f"{name}>=1\n")
    groups = {name: [(tmp_path / f"{name}.txt", ())] for name in ("one", "two")}
    done: list[str] = []
    monkeypatch.setattr(environment, "GROUPS", groups)
    monkeypatch.setattr(environment, "STAMP", tmp_path / "stamp.json")
    monkeypatch.setattr(environment, "works", lambda _python: True)
    monkeypatch.setattr(environment, "install", done.append)
    return done


def test_each_group_is_installed_once(installed: list[str]) -> None:
    environment.ensure_venv(["one"])
    environment.ensure_venv(["one", "two"])
    environment.ensure_venv(["one", "two"])

    assert installed == ["one", "two"]


def test_changed_requirements_are_installed_again(installed: list[str], tmp_path: Path) -> None:
    environment.ensure_venv(["one", "two"])
    (tmp_path / "two.txt").write_text("two>=2\n")
    environment.ensure_venv(["one", "two"])

    assert installed == ["one", "two", "two"]


def test_interrupted_set_up_goes_on_where_it_stopped(installed: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(group: str) -> None:
        if group == "two":
            raise KeyboardInterrupt
        installed.append(group)

    with monkeypatch.context() as patch:
        patch.setattr(environment, "install", interrupted)
        with pytest.raises(KeyboardInterrupt):
            environment.ensure_venv(["one", "two"])
    environment.ensure_venv(["one", "two"])

    assert installed == ["one", "two"]


def test_damaged_stamp_means_installing_again(installed: list[str], tmp_path: Path) -> None:
    (tmp_path / "stamp.json").write_text('{"one": ')

    environment.ensure_venv(["one"])

    assert installed == ["one"]


def test_old_python_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 9, 2))

    with raises_naming(ScriptError, "3.9.2", "3.10"):
        environment.check_python()


def test_missing_venv_module_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)

    with pytest.raises(ScriptError, match=r"apt install python3\.\d+-venv"):
        environment.make_venv()


def test_failed_pip_says_the_remedy_and_shows_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "BUILD", tmp_path)
    monkeypatch.setattr(environment, "LOGS", tmp_path)
    monkeypatch.setattr(environment, "PYTHON", Path(sys.executable))
    empty_index = ("--no-index", "--find-links", str(tmp_path))

    with raises_naming(ScriptError, "no-such-distribution"):
        environment.pip("download", *empty_index, "no-such-distribution", log="pip.log")
