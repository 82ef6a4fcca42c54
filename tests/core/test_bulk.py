"""Bulk work in one process: inputs of every kind, results anywhere, records, failures, what is given up."""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn, cast

import fsspec
import pytest
from PIL import Image

from headsup_core.bulk.addresses import shown
from headsup_core.bulk.blocks import Block, BlockWork
from headsup_core.bulk.destinations import Destination
from headsup_core.bulk.engine import Engine
from headsup_core.bulk.items import Item
from headsup_core.bulk.progress_lines import Pace
from headsup_core.bulk.sources import give_places, list_items
from headsup_core.bulk.tries import Tries
from headsup_core.cli import main
from headsup_core.errors import InputError
from headsup_core.image_files import read_picture


@pytest.fixture
def bucket() -> Iterator[str]:
    """An object store in this process."""
    system = fsspec.filesystem("memory")
    yield "memory://bucket"
    system.rm("/bucket", recursive=True) if system.exists("/bucket") else None


def _png(shade: int = 100, size: tuple[int, int] = (12, 9)) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", size, (shade, 50, 200)).save(stream, "PNG")
    return stream.getvalue()


def _tar(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, data in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return path


def _upscale(*arguments: str) -> int:
    return main(["upscale", *arguments, "--no-faces", "--quiet", "--engine", "local"])


def _report(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "bulk_report.json").read_text())


def test_a_pattern_follows_no_link_that_leads_back(tmp_path: Path) -> None:
    """Two of them: `glob.glob` would find each file by more ways than can be counted."""
    (tmp_path / "sub").mkdir()
    for name in ("a.png", "sub/b.png", "sub/.hidden.png"):
        (tmp_path / name).touch()
    for name in ("back", "sub/back"):
        (tmp_path / name).symlink_to(tmp_path)
    found = list_items([str(tmp_path / "**" / "*.png")])
    assert sorted(Path(item.address).relative_to(tmp_path).as_posix() for item in found) == ["a.png", "sub/b.png"]
    assert len(list_items([str(tmp_path / "s*" / ".h*.png")])) == 1


def test_each_kind_of_input_gives_the_same_picture(toy_file: str, tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder, shards = tmp_path / "in", tmp_path / "shards"
    (folder / "deep").mkdir(parents=True)
    shards.mkdir()
    (folder / "deep" / "a.png").write_bytes(_png())
    _tar(shards / "one.tar", {"000/a.png": _png(), "000/a.json": b"{}", "b.PNG": _png(7)})
    pq.write_table(pa.table({"image": [_png(), _png(8)], "key": ["x", "y"]}), shards / "two.parquet", row_group_size=1)
    (tmp_path / "list.txt").write_text("# some\nin/deep/a.png\n\n")
    output = tmp_path / "out"
    given = [str(folder), str(shards), str(tmp_path / "list.txt"), str(tmp_path / "in" / "*" / "*.png")]
    assert _upscale(*given, "--output", str(output), "--model", toy_file, "--recursive") == 0
    places = sorted(path.relative_to(output).as_posix() for path in output.rglob("*.png"))
    assert places == ["deep/a.png", "one/000/a.png", "one/b.png", "two/x.png", "two/y.png"]
    same = [read_picture(output / place).rgb for place in ("deep/a.png", "one/000/a.png", "two/x.png")]
    assert same[0].equal(same[1])
    assert same[0].equal(same[2])
    assert not same[0].equal(read_picture(output / "one" / "b.png").rgb)
    report = _report(output)
    assert (report["pictures"], report["done"], report["failed"]) == (5, 5, 0)
    assert report["megapixels_in"] == pytest.approx(5 * 12 * 9 / 1e6, rel=0.1)


def test_the_plain_loop_and_the_engine_know_each_others_results(toy_file: str, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").write_bytes(_png())
    output = tmp_path / "out"
    common = [str(tmp_path / "in"), "--output", str(output), "--model", toy_file]
    assert main(["upscale", *common, "--no-faces", "--quiet"]) == 0
    written = (output / "a.png").stat().st_mtime_ns
    assert _upscale(*common) == 0
    assert (output / "a.png").stat().st_mtime_ns == written
    assert _report(output)["kept"] == 1
    assert _upscale(*common, "--strength", "0.5") == 0
    assert _report(output)["done"] == 1
    assert main(["upscale", *common, "--no-faces", "--quiet", "--strength", "0.5", "--resume"]) == 0
    assert _report(output)["done"] == 1


def test_a_bad_picture_is_named_and_takes_no_other_along(
    toy_file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, output = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    output.mkdir()
    contents = {"a": _png(), "b": b"", "c": _png()[:40], "d": _png(3), "e": _png()}
    for name, data in contents.items():
        (folder / f"{name}.png").write_bytes(data)
    (output / "e.png").write_bytes(b"somebody else's")
    assert _upscale(str(folder), "--output", str(output), "--model", toy_file) == 2
    failures = [json.loads(line) for line in (output / "failures.jsonl").read_text().splitlines()]
    assert [Path(failure["input"]).name for failure in failures] == ["b.png", "c.png", "e.png"]
    assert all(failure["input"] in failure["error"] for failure in failures)
    assert (output / "e.png").read_bytes() == b"somebody else's"
    assert read_picture(output / "d.png").rgb.shape == (1, 3, 36, 48)
    assert "3 of 5 pictures failed" in capsys.readouterr().err
    assert not any((output / ".headsup-bulk" / "tries").iterdir())
    (folder / "b.png").write_bytes(_png())
    (folder / "c.png").unlink()
    (output / "e.png").unlink()
    assert _upscale(str(folder), "--output", str(output), "--model", toy_file) == 0
    assert (output / "failures.jsonl").read_text() == ""
    assert (_report(output)["kept"], _report(output)["done"]) == (2, 2)


def test_urls_in_and_out_and_a_second_run_keeps_everything(toy_file: str, bucket: str, tmp_path: Path) -> None:
    system = fsspec.filesystem("memory")
    for name in ("in/a.png", "in/deep/b.png", "in/notes.txt"):
        system.pipe_file(f"/bucket/{name}", _png())
    tar = _tar(tmp_path / "s.tar", {"c.png": _png(9)}).read_bytes()
    system.pipe_file("/bucket/in/s.tar", tar)
    given = (f"{bucket}/in", "--output", f"{bucket}/out", "--model", toy_file, "--recursive")
    assert _upscale(*given) == 0
    found = sorted(name for name in system.find("/bucket/out") if name.endswith(".png"))
    assert found == ["/bucket/out/a.png", "/bucket/out/deep/b.png", "/bucket/out/s/c.png"]
    assert _upscale(*given) == 0
    report = json.loads(system.cat_file("/bucket/out/bulk_report.json"))
    assert (report["kept"], report["done"]) == (3, 0)


def test_paths_in_parquet_files_and_lists_name_pictures_wherever_they_lie(bucket: str, tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    system = fsspec.filesystem("memory")
    for name in ("a/one.png", "a/two.png", "b/three.png", "b/notes.txt"):
        system.pipe_file(f"/bucket/{name}", _png())
    (tmp_path / "four.png").write_bytes(_png())
    named = [f"{bucket}/a/one.png", "four.png", None, str(tmp_path / "four.png")]
    pq.write_table(pa.table({"url": named, "note": ["x"] * 4}), tmp_path / "named.parquet")
    system.pipe_file("/bucket/b/list.txt", b"three.png\n")

    def found(source: str) -> list[tuple[str, str]]:
        return [(item.address, item.place) for item in list_items([source])]

    four = str(tmp_path / "four.png")
    assert found(str(tmp_path / "named.parquet")) == [
        (f"{bucket}/a/one.png", "bucket/a/one.png"), (four, "four.png"),
    ]  # fmt: skip
    assert found(f"{bucket}/b/list.txt") == [(f"{bucket}/b/three.png", "three.png")]
    assert [place for _, place in found(f"{bucket}/*/*.png")] == ["a/one.png", "a/two.png", "b/three.png"]
    pq.write_table(pa.table({"note": ["x"]}), tmp_path / "none.parquet")
    with pytest.raises(InputError, match=r"none\.parquet.*note"):
        list_items([str(tmp_path / "none.parquet")])


def test_urls_need_an_engine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["upscale", "s3://bucket/a.png", "--output", str(tmp_path)]) == 2
    assert "--engine" in capsys.readouterr().err


def test_logins_and_signatures_are_never_shown(bucket: str, tmp_path: Path) -> None:
    assert "key" not in shown("cannot read https://user:key@host/a.png?X-Signature=key&b=2: no")
    assert shown("https://host/a.png?X=key") == "https://host/a.png"
    assert shown("what?") == "what?"
    item = Item("memory://user:secret@bucket/none.png")
    with pytest.raises(InputError) as caught:
        item.read()
    assert "secret" not in str(caught.value) + item.name
    (tmp_path / "list.txt").write_text("memory://user:secret@bucket/none.png?sign=secret\n")
    assert "secret" not in list_items([str(tmp_path / "list.txt")])[0].place


def test_places_stay_inside_the_output_and_are_told_apart(tmp_path: Path) -> None:
    _tar(tmp_path / "s.tar", {"../../up.png": _png(), "/root.png": _png(), "A.png": _png(), "a.jpg": _png()})
    places = [item.place for item in give_places(list_items([str(tmp_path / "s.tar")]), ".png")]
    assert places == ["s/up.png", "s/root.png", "s/A.png", "s/a.jpg.png"]


def test_what_is_no_input_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bad.tar").write_bytes(b"no tar at all" * 100)
    (tmp_path / "bad.parquet").write_bytes(b"no parquet")
    for name in ("bad.tar", "bad.parquet", "none*.png", "gone.png"):
        with pytest.raises(InputError, match=name.replace("*", r"\*")):
            list_items([str(tmp_path / name)])


def test_results_are_no_inputs_of_the_next_run(toy_file: str, bucket: str, tmp_path: Path) -> None:
    system = fsspec.filesystem("memory")
    system.pipe_file("/bucket/a.png", _png())
    system.pipe_file("/bucket/.hidden/b.png", _png())
    given = (bucket, "--output", f"{bucket}/out", "--model", toy_file, "--recursive")
    for kept in (0, 1):
        assert _upscale(*given) == 0
        report = json.loads(system.cat_file("/bucket/out/bulk_report.json"))
        assert (report["pictures"], report["kept"]) == (1, kept)
    (tmp_path / "in" / ".kept" / "s.tar").mkdir(parents=True)
    (tmp_path / "in" / "folder.tar").mkdir()
    (tmp_path / "in" / "out").mkdir()
    (tmp_path / "in" / "a.png").write_bytes(_png())
    _tar(tmp_path / "in" / ".kept" / "t.tar", {"x.png": _png()})
    _tar(tmp_path / "in" / "out" / "t.tar", {"x.png": _png()})
    found = list_items([str(tmp_path / "in")], without=str(tmp_path / "in" / "out"))
    assert [item.place for item in found] == ["a.png"]


def test_long_names_leave_room_for_a_suffix(toy_file: str, tmp_path: Path) -> None:
    folder, output = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    for name in ("x" * 250 + ".png", "x" * 249 + ".jpeg", "ü" * 125 + ".png"):
        (folder / name).write_bytes(_png())
    given = (str(folder), "--output", str(output), "--model", toy_file)
    assert _upscale(*given) == 0
    assert len(list(output.glob("*.png"))) == 3
    assert _upscale(*given, "--shards", "tar") == 0
    assert _report(output)["failed"] == 0


def test_pipes_are_named_and_nobody_waits(toy_file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.png").write_bytes(_png())
    os.mkfifo(folder / "pipe.png")
    for engine in ("local", "plain"):
        output = tmp_path / engine
        given = [str(folder), "--output", str(output), "--model", toy_file, "--engine", engine]
        assert main(["upscale", *given, "--no-faces", "--quiet"]) == 2
        assert "pipe.png" in capsys.readouterr().err
        assert (output / "a.png").exists()


class _Scripted:
    """A worker that only counts; `dying` stands for a process that ends: nothing after it happens in the block."""

    def __init__(self, dying: str = "") -> None:
        self.dying = dying
        self.worked: list[str] = []

    def read(self, item: Item) -> str:
        return item.address

    def work(self, item: Item, read: str) -> str:
        if item.address == self.dying:
            raise KeyboardInterrupt
        self.worked.append(item.address)
        return read

    def write(self, item: Item, worked: str) -> dict[str, Any]:
        return {}


def test_only_the_picture_that_kills_its_worker_is_given_up(tmp_path: Path) -> None:
    items = [Item(name) for name in "abcdef"]
    destination = Destination(str(tmp_path))
    ended: list[str] = []
    for _ in range(3):
        worker = _Scripted(dying="c")
        with pytest.raises(KeyboardInterrupt):
            BlockWork(worker, Block(str(tmp_path), "run"))(items)
        ended += worker.worked
    assert Tries(destination, "run").count(Item("c")) == 3
    assert Tries(destination, "other run").count(Item("c")) == 0
    results = BlockWork(_Scripted(dying="c"), Block(str(tmp_path), "run"))(items)
    assert {result.item.address: result.status for result in results} == {
        "a": "done", "b": "done", "c": "failed", "d": "done", "e": "done", "f": "done",
    }  # fmt: skip
    assert all(Tries(destination, "run").count(item) == 0 for item in items)


def test_pace_counts_what_was_computed() -> None:
    pace = Pace(100, now=50.0)
    assert pace.left(51.0) is None
    for status in ["kept"] * 40 + ["done"] * 9 + ["failed"]:
        pace.count(status)
    assert pace.rate(60.0) == pytest.approx(1.0)
    assert pace.left(60.0) == pytest.approx(50.0)
    assert "50 of 100 pictures, 1.00 a second, about 00:50 left, 1 failed" in pace.text(60.0)


def test_a_dry_run_plans_and_writes_nothing(toy_file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in").mkdir()
    for index in range(5):
        (tmp_path / "in" / f"{index}.png").write_bytes(_png(size=(20, 10 + index)))
    given = (str(tmp_path / "in"), "--output", str(tmp_path / "out"), "--model", toy_file, "--dry-run", "--json")
    assert _upscale(*given) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["pictures"] == 5
    assert plan["megapixels"] == pytest.approx(20 * (10 + 11 + 12 + 13 + 14) / 1e6)
    assert plan["hours"] == pytest.approx(plan["seconds_each"] * 5 / plan["workers"] / 3600)
    assert plan["fitting"] >= 1
    assert not (tmp_path / "out").exists()


def test_without_ray_one_line_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import sys

    (tmp_path / "a.png").write_bytes(_png())
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main(["upscale", str(tmp_path / "a.png"), "--output", str(tmp_path / "o"), "--engine", "ray"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert "pip install" in lines[0]
    assert "ray[data]" in lines[0]


def test_engines_are_checked() -> None:
    with pytest.raises(InputError, match="workers 0"):
        Engine("ray", workers=0)
    with pytest.raises(InputError, match="gpus"):
        Engine("ray", gpus=-1)


def test_workers_are_as_many_as_this_machines_gpus_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[int] = []

    def start(address: str | None, cpus: int) -> NoReturn:
        started.append(cpus)
        raise InputError("told enough")

    monkeypatch.setattr("headsup_core.bulk.engine.ray_started", start)
    monkeypatch.setattr("os.cpu_count", lambda: 16)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    items, worker, block = [Item("a.png")], cast(Any, None), Block("", "")
    with pytest.raises(InputError, match="told enough"):
        list(Engine("ray", gpus=0.5, cpus=3).run(items, worker, block))
    assert started == [6]  # two share the GPU, of three CPUs each; without the limit five would be of 15
    with pytest.raises(InputError, match="2 GPUs, this machine has 1"):
        list(Engine("ray", workers=2, gpus=1.0).run(items, worker, block))


def test_a_sample_is_shown_in_the_report(toy_file: str, tmp_path: Path) -> None:
    folder, page = tmp_path / "in", tmp_path / "report.html"
    folder.mkdir()
    for index in range(6):
        (folder / f"{index}.png").write_bytes(_png(index, (30, 30)))
    (folder / "bad.png").write_bytes(b"")
    given = [str(folder), "--output", str(tmp_path / "o"), "--model", toy_file, "--report", str(page)]
    assert _upscale(*given, "--report-sample", "4") == 2
    text = page.read_text()
    assert 0 < text.count("data:image/jpeg") // 2 <= 4
    assert "bad.png" in text
