"""Bulk work from an S3 store and into it, over HTTP to a server on this machine; what is a secret is never told."""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from harness.object_store import BUCKET, KEY, SECRET, TOKEN, content, names, object_store
from PIL import Image

import headsup_core
from headsup_core.bulk.destinations import Destination
from headsup_core.cli import main


@pytest.fixture
def store() -> Iterator[Any]:
    with object_store() as client:
        yield client


def png(shade: int) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (12, 9), (shade, 50, 200)).save(stream, "PNG")
    return stream.getvalue()


def arguments(toy_file: str) -> list[str]:
    given = [f"s3://{BUCKET}/in", "--output", f"s3://{BUCKET}/out", "--recursive", "--model", toy_file]
    return ["upscale", *given, "--no-faces", "--quiet", "--engine", "local"]


def test_pictures_of_a_bucket_are_restored_into_it_and_kept_by_a_second_run(store: Any, toy_file: str) -> None:
    for index, name in enumerate(("in/a.png", "in/deep/b.PNG", "in/notes.txt")):
        store.put_object(Bucket=BUCKET, Key=name, Body=png(60 * index))
    assert main(arguments(toy_file)) == 0
    results = [name for name in names(store, "out/") if name.endswith(".png")]
    assert results == ["out/a.png", "out/deep/b.png"]
    for name in results:
        assert Image.open(io.BytesIO(content(store, name))).size == (48, 36)
    assert main(arguments(toy_file)) == 0
    report = json.loads(content(store, "out/bulk_report.json"))
    assert (report["kept"], report["done"], report["failed"]) == (2, 0, 0)
    assert not names(store, "out/.headsup-bulk/tries/")


def test_shards_are_written_into_a_bucket(store: Any, toy_file: str) -> None:
    import pyarrow.parquet as pq

    for name in ("in/a.png", "in/deep/b.png"):
        store.put_object(Bucket=BUCKET, Key=name, Body=png(7))
    assert main([*arguments(toy_file), "--shards", "parquet"]) == 0
    assert names(store, "out/") == ["out/bulk_report.json", "out/failures.jsonl", "out/pictures-00000.parquet"]
    table = pq.read_table(io.BytesIO(content(store, "out/pictures-00000.parquet")))
    assert table["path"].to_pylist() == ["a.png", "deep/b.png"]
    assert main([*arguments(toy_file), "--shards", "parquet"]) == 0
    assert json.loads(content(store, "out/bulk_report.json"))["kept"] == 2


def test_keys_are_in_no_line_and_no_file(store: Any, toy_file: str, tmp_path: Path) -> None:
    """A run that fails in each way that there is, with everything logged that libraries log."""
    store.put_object(Bucket=BUCKET, Key="in/good.png", Body=png(9))
    store.put_object(Bucket=BUCKET, Key="in/bad.png", Body=b"no picture")
    store.put_object(Bucket=BUCKET, Key="in/list.txt", Body=f"s3://{KEY}:{SECRET}@{BUCKET}/in/gone.png\n".encode())
    command = arguments(toy_file)
    command[1:2] = [f"s3://{BUCKET}/in", f"s3://{BUCKET}/in/list.txt"]
    path = str(Path(headsup_core.__file__).parent.parent)
    run = subprocess.run(
        [sys.executable, "-m", "headsup_core", *command, "--json"],
        env=os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 2
    assert "good.png" in run.stdout
    written = "".join(content(store, name).decode("utf-8", "replace") for name in names(store, "out/"))
    assert "bad.png" in written
    assert "gone.png" in written
    for secret in (SECRET, TOKEN, KEY):
        assert secret not in run.stdout + run.stderr + written


def test_a_bucket_that_is_not_there_is_named_without_keys(
    store: Any, toy_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command = arguments(toy_file)
    command[1] = "s3://elsewhere/in"
    assert main(command) == 2
    command = arguments(toy_file)
    command[3] = f"s3://{KEY}:{SECRET}@elsewhere/out"
    store.put_object(Bucket=BUCKET, Key="in/a.png", Body=png(1))
    assert main(command) == 2
    said = capsys.readouterr().err
    assert said.count("elsewhere") >= 2
    assert SECRET not in said
    assert KEY not in said


def test_objects_are_replaced_read_and_removed(store: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="headsup_core"):
        out = Destination(f"s3://{BUCKET}/out")
        out.check()
        assert out.read("deep/a.bin") is None
        for data in (b"one", b"another"):
            out.write("deep/a.bin", data)
            assert content(store, "out/deep/a.bin") == data
            assert out.read("deep/a.bin") == data
        out.remove("deep/a.bin")
        out.remove("deep/a.bin")
        assert names(store, "out/") == []
    assert SECRET not in caplog.text
