"""Results in shards: every picture once, whole, kept by a second run, made again where anything has changed."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
from PIL import Image

from headsup_core.bulk.destinations import Destination
from headsup_core.bulk.items import Item
from headsup_core.bulk.shards import Results, Sharding, give_shards
from headsup_core.bulk.sources import list_items
from headsup_core.cli import main
from headsup_core.errors import InputError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three pictures, and a shard of two."""
    given = tmp_path / "in"
    (given / "deep").mkdir(parents=True)
    for index, name in enumerate(("a.png", "a.b.png", "deep/c.png")):
        (given / name).write_bytes(png(index))
    with tarfile.open(given / "some.tar", "w") as archive:
        for index, name in enumerate(("000/d.png", "e.png")):
            entry = tarfile.TarInfo(name)
            entry.size = len(png(50 + index))
            archive.addfile(entry, io.BytesIO(png(50 + index)))
    return given


@pytest.fixture
def bucket() -> Iterator[str]:
    """An object store in this process."""
    system = fsspec.filesystem("memory")
    yield "memory://shards"
    system.rm("/shards", recursive=True) if system.exists("/shards") else None


def png(shade: int) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (12, 9), (4 * shade, 50, 200)).save(stream, "PNG")
    return stream.getvalue()


def upscale(*arguments: str) -> int:
    return main(["upscale", *arguments, "--no-faces", "--quiet", "--recursive", "--engine", "local"])


def tar_members(data: bytes) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for member in archive:
            file = archive.extractfile(member)
            assert file is not None
            found[member.name] = file.read()
    return found


def counts(folder: Path) -> tuple[int, int, int]:
    report = json.loads((folder / "bulk_report.json").read_text())
    return report["done"], report["kept"], report["failed"]


def test_a_webdataset_comes_out_as_the_single_files_would(folder: Path, toy_file: str, tmp_path: Path) -> None:
    single, output = tmp_path / "single", tmp_path / "out"
    given = (str(folder), "--model", toy_file)
    assert upscale(*given, "--output", str(single)) == 0
    assert upscale(*given, "--output", str(output), "--shards", "tar", "--shard-size", "2") == 0
    shards = {path.name: tar_members(path.read_bytes()) for path in sorted(output.glob("*.tar"))}
    assert {name: sorted(members) for name, members in shards.items()} == {
        "pictures-00000.tar": ["a.png", "a_b.png"],
        "pictures-00001.tar": ["deep/c.png"],
        "some.tar": ["000/d.png", "e.png"],
    }
    sources = {
        "pictures-00000.tar/a.png": "a.png",
        "pictures-00000.tar/a_b.png": "a.b.png",
        "pictures-00001.tar/deep/c.png": "deep/c.png",
        "some.tar/000/d.png": "some/000/d.png",
        "some.tar/e.png": "some/e.png",
    }
    for place, source in sources.items():
        shard, _, member = place.partition("/")
        assert shards[shard][member] == (single / source).read_bytes()
    assert not (output / ".headsup-bulk" / "ready").exists() or not any((output / ".headsup-bulk" / "ready").iterdir())
    before = {path: path.stat().st_mtime_ns for path in output.glob("*.tar")}
    assert upscale(*given, "--output", str(output), "--shards", "tar", "--shard-size", "2") == 0
    assert counts(output) == (0, 5, 0)
    assert {path: path.stat().st_mtime_ns for path in output.glob("*.tar")} == before


def test_parquet_goes_in_and_out_again(folder: Path, toy_file: str, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    first, second = tmp_path / "first", tmp_path / "second"
    assert upscale(str(folder), "--output", str(first), "--model", toy_file, "--shards", "parquet") == 0
    rows = pq.read_table(first / "some.parquet").to_pylist()
    assert [row["path"] for row in rows] == ["000/d.png", "e.png"]
    assert Image.open(io.BytesIO(rows[0]["image"])).size == (48, 36)
    given = (str(first), "--output", str(second), "--model", toy_file, "--shards", "parquet", "--scale", "1")
    assert upscale(*given) == 0
    assert counts(second) == (5, 0, 0)
    assert [row["path"] for row in pq.read_table(second / "some.parquet").to_pylist()] == ["000/d.png", "e.png"]
    assert upscale(*given) == 0
    assert counts(second) == (0, 5, 0)


def test_what_failed_is_put_into_its_shard_later(folder: Path, toy_file: str, tmp_path: Path) -> None:
    output = tmp_path / "out"
    given = (str(folder), "--output", str(output), "--model", toy_file, "--shards", "tar")
    sound = (folder / "a.png").read_bytes()
    (folder / "a.png").write_bytes(b"no picture")
    assert upscale(*given) == 2
    assert counts(output) == (4, 0, 1)
    early = tar_members((output / "pictures-00000.tar").read_bytes())
    assert sorted(early) == ["a_b.png", "deep/c.png"]
    (folder / "a.png").write_bytes(sound)
    assert upscale(*given) == 0
    assert counts(output) == (1, 4, 0)
    late = tar_members((output / "pictures-00000.tar").read_bytes())
    assert sorted(late) == ["a.png", "a_b.png", "deep/c.png"]
    assert {name: late[name] for name in early} == early
    assert upscale(*given, "--strength", "0.5") == 0
    assert counts(output) == (5, 0, 0)
    assert tar_members((output / "pictures-00000.tar").read_bytes())["a.png"] != late["a.png"]


def test_a_run_that_was_killed_before_its_shards_goes_on(folder: Path, toy_file: str, tmp_path: Path) -> None:
    whole, output = tmp_path / "whole", tmp_path / "out"
    given = (str(folder), "--model", toy_file, "--shards", "tar")
    assert upscale(*given, "--output", str(whole)) == 0
    ready = output / ".headsup-bulk" / "ready" / "some.tar"  # what such a run leaves
    ready.mkdir(parents=True)
    (ready / "e.png").write_bytes(tar_members((whole / "some.tar").read_bytes())["e.png"])
    assert upscale(*given, "--output", str(output)) == 0
    assert counts(output) == (4, 1, 0)
    assert (output / "some.tar").read_bytes() == (whole / "some.tar").read_bytes()


def test_shards_of_others_are_not_replaced(
    folder: Path, toy_file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    output.mkdir()
    theirs = (folder / "some.tar").read_bytes()
    (output / "pictures-00000.tar").write_bytes(theirs)
    given = (str(folder), "--model", toy_file, "--shards", "tar", "--output")
    assert upscale(*given, str(output)) == 2
    assert "pictures-00000.tar" in capsys.readouterr().err
    assert (output / "pictures-00000.tar").read_bytes() == theirs
    assert upscale(str(folder / "some.tar"), *given[1:], str(folder)) == 2  # the result would be the input
    assert (folder / "some.tar").read_bytes() == theirs


def test_shards_by_url(folder: Path, toy_file: str, bucket: str) -> None:
    given = (str(folder), "--output", f"{bucket}/out", "--model", toy_file, "--shards", "tar")
    assert upscale(*given) == 0
    system = fsspec.filesystem("memory")
    assert sorted(tar_members(system.cat_file("/shards/out/some.tar"))) == ["000/d.png", "e.png"]
    assert not [name for name in system.find("/shards/out") if "/ready/" in name]
    assert upscale(*given) == 0
    report = json.loads(system.cat_file("/shards/out/bulk_report.json"))
    assert (report["done"], report["kept"]) == (0, 5)


def test_shards_in_a_folder_are_not_said_to_be_left_out(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    (folder / "film.mov").write_bytes(b"none")
    assert len(list_items([str(folder)])) == 5
    assert "film.mov" in caplog.text
    assert "some.tar" not in caplog.text


def test_names_in_a_shard_are_told_apart() -> None:
    items = [Item(f"/in/{name}", place=name) for name in ("a.jpg", "a.png", "A.tif", "x/a.jpg", "b.c.png", "b_c.png")]
    placed = give_shards(items, ".png", Sharding("tar", 10))
    assert [item.place for item in placed] == ["a.png", "a_2.png", "A_3.png", "x/a.png", "b_c.png", "b_c_2.png"]
    assert give_shards([Item("/x", place="b\udcfcd.jpg")], ".png", Sharding("tar"))[0].place == "b\ufffdd.png"
    two = [Item(f"/{part}/s.tar", "tar", "a.jpg", place="s/a.jpg", shard="s.tar") for part in "pq"]
    assert [item.shard for item in give_shards(two, ".png", Sharding("tar"))] == ["s.tar", "s_2.tar"]
    with pytest.raises(InputError, match="0"):
        Sharding("tar", 0)


def test_shards_need_an_engine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.png").write_bytes(png(1))
    assert main(["upscale", str(tmp_path / "a.png"), "--output", str(tmp_path / "o"), "--shards", "tar"]) == 2
    assert "--engine" in capsys.readouterr().err


def test_a_member_that_is_not_there_is_none(tmp_path: Path) -> None:
    results = Results(Destination(str(tmp_path)))
    assert results.read(Item("/in/a.png", place="a.png", shard="s.tar")) is None
