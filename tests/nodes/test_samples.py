"""Pictures of the templates are offered in ComfyUI's input folder, and nothing of the user's is touched."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest


@pytest.fixture
def samples(tmp_path: Path, bridge_module: Callable[..., Any]) -> Any:
    """The module, with `tmp_path / "input"` as ComfyUI's folder."""
    folders = SimpleNamespace(get_input_directory=lambda: str(tmp_path / "input"))
    return bridge_module("samples", folder_paths=folders)


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    """A folder of two pictures."""
    folder = tmp_path / "samples"
    (folder / "batch").mkdir(parents=True)
    (folder / "a.jpg").write_bytes(b"a")
    (folder / "batch" / "1.jpg").write_bytes(b"1")
    (folder / "README.md").write_text("no picture")
    return folder


def test_missing_pictures_are_copied_and_others_stay(samples: Any, pack: Path, tmp_path: Path) -> None:
    place = tmp_path / "input"
    place.mkdir()
    (place / "a.jpg").write_bytes(b"the user's")

    copied = samples.offer_samples(pack)
    again = samples.offer_samples(pack)

    assert copied == [place / "batch" / "1.jpg"]
    assert again == []
    assert (place / "a.jpg").read_bytes() == b"the user's"
    assert sorted(path.name for path in place.rglob("*")) == ["1.jpg", "a.jpg", "batch"]


def test_folder_that_cannot_be_written_is_said(
    samples: Any, pack: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "input").write_text("a file in the way")

    with caplog.at_level(logging.WARNING):
        assert samples.offer_samples(pack) == []

    assert str(tmp_path / "input") in caplog.text


def test_pictures_of_the_pack_are_small(root: Path) -> None:
    pictures = sorted((root / "samples").rglob("*.jpg"))

    assert len(pictures) > 8
    assert sum(path.stat().st_size for path in pictures) < 300_000
