"""Batches: places and names of results, what counts as done, pictures that fail."""

from __future__ import annotations

import json
import logging
import shutil
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from harness.refusals import raises_naming
from PIL import Image, features

from headsup_core.cli import main
from headsup_core.commands.hosting import check_folder
from headsup_core.commands.upscaling.batch import Job, Restored, plan_jobs, run_batch
from headsup_core.commands.upscaling.records import BLOCK, BLOCKS, KEY, Settings, fingerprint
from headsup_core.errors import InputError
from headsup_core.host import PlainHost
from headsup_core.image_files import FORMAT_SUFFIXES, Manner, picture_text, read_picture, write_picture
from headsup_core.models.file_formats.headsup_file import save_headsup
from headsup_core.models.one_step import OneStepModel
from headsup_core.restoring.options import RestoreOptions
from headsup_core.restoring.restore_report import RestoreReport

Upscale = Callable[..., tuple[int, dict[str, dict[str, Any]], str]]

# --- which file is written where ------------------------------------------------------------------------------------


def _save(path: Path, size: tuple[int, int] = (12, 9), mode: str = "RGB") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.effect_noise(size, 60).convert(mode).save(path)
    return path


def _places(jobs: list[Job], output: Path) -> list[str]:
    return [job.target.relative_to(output).as_posix() for job in jobs]


def test_names_of_results_never_collide(tmp_path: Path) -> None:
    sources = [_save(tmp_path / folder / name) for folder in ("x", "y") for name in ("a.png", "a.jpg", "A.bmp")]
    jobs = plan_jobs([*sources, sources[0]], tmp_path / "out")
    assert [job.source for job in jobs] == sources
    assert _places(jobs, tmp_path / "out") == [
        "a.png", "a.jpg.png", "A.bmp.png", "a.png.png", "a_2.png", "A_3.png"
    ]  # fmt: skip


def test_folders_keep_their_structure(tmp_path: Path) -> None:
    given = tmp_path / "in"
    for name in ("b.png", "a.png", "deep/a.png", "deep/er/c.png", ".hidden/d.png", "deep/._a.png"):
        _save(given / name)
    (given / "deep" / "round").symlink_to(given, target_is_directory=True)
    output = given / "results"
    _save(output / "earlier.png")
    assert _places(plan_jobs([given], output), output) == ["a.png", "b.png"]
    assert _places(plan_jobs([given], output, recursive=True), output) == [
        "a.png", "b.png", "deep/a.png", "deep/er/c.png"
    ]  # fmt: skip
    again = plan_jobs([given / "deep", given], output, recursive=True)
    assert _places(again, output) == ["a.png", "er/c.png", "a.png.png", "b.png"]
    assert all(job.target.resolve().is_relative_to(output) for job in again)


def test_names_that_look_like_paths_stay_in_the_output(tmp_path: Path) -> None:
    sources = [tmp_path / "in" / name for name in ("..png.jpg", "a\\..\\b.png", "...jpg", " .png", "-x.png")]
    jobs = plan_jobs([*sources, tmp_path / "in" / ".." / "in" / "e.png"], tmp_path / "out")
    assert [job.target.parent for job in jobs] == [tmp_path / "out"] * 6


def test_links_that_lead_round_and_back(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A file that is a link to itself, folders that lead back, and one that lies elsewhere."""
    given, output = tmp_path / "in", tmp_path / "out"
    _save(given / "sub" / "a.png")
    elsewhere = _save(tmp_path / "elsewhere" / "b.png").parent
    for name, goal in (("loop.png", "loop.png"), ("self", given), ("sub/back", ".."), ("away", elsewhere)):
        (given / name).symlink_to(goal)
    jobs = plan_jobs([given, given / "sub" / "back" / "loop.png"], output, recursive=True)
    assert sorted(_places(jobs, output)) == ["loop.png", "sub/a.png"]
    named = [record.getMessage() for record in caplog.records if "away" in record.getMessage()]
    assert len(named) == 1
    assert "back" not in named[0]
    assert "self" not in named[0]
    output = given / "loop.png"
    assert _places(plan_jobs([given / "sub" / "a.png"], output), output) == ["a.png"]


def test_a_link_by_another_name_is_another_picture(tmp_path: Path) -> None:
    picture = _save(tmp_path / "a.png")
    (tmp_path / "b.png").symlink_to(picture)
    (tmp_path / "folder").symlink_to(tmp_path)
    given = [picture, tmp_path / "b.png", tmp_path / "folder" / "a.png"]
    output = tmp_path / "out"
    assert _places(plan_jobs(given, output), output) == ["a.png", "b.png"]


@pytest.mark.parametrize("command", ["upscale", "plan", "faces", "tag"])
def test_a_name_that_no_disk_takes_is_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    """As for a folder that may not be searched, the system does not even say whether it is there."""
    given = [command, str(tmp_path / ("x" * 300))]
    given += ["--output", str(tmp_path / "out")] if command == "upscale" else []
    given += ["--model", str(tmp_path / "none.pth")] if command == "tag" else []
    assert main(given) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_pictures_are_never_overwritten_by_results(tmp_path: Path) -> None:
    picture = _save(tmp_path / "a.png")
    with raises_naming(InputError, "--output"):
        plan_jobs([tmp_path], tmp_path)
    with raises_naming(InputError, "a.png"):
        plan_jobs([picture], tmp_path)
    with raises_naming(InputError, tmp_path / "deep"):
        plan_jobs([_save(tmp_path / "deep" / "below" / "b.png").parent.parent], tmp_path / "out")


def test_a_file_that_was_not_given_is_never_replaced(upscale: Upscale, tmp_path: Path) -> None:
    """A photo beside the input, a note, a folder, a link, another program's picture: all of them stay."""
    out = tmp_path / "out"
    for name in ("a.jpg", "b.jpg", "c.jpg", "d.jpg"):
        _save(tmp_path / "in" / name)
    photo = _save(out / "a.png").read_bytes()
    (out / "b.png").mkdir()
    (out / "c.png").symlink_to(_save(tmp_path / "elsewhere.png"))
    (out / "d.png").write_text("a note")
    elsewhere = (tmp_path / "elsewhere.png").read_bytes()
    for _ in range(2):
        status, records, _errors = upscale("--strength", "0")
        assert status == 0
        assert {Path(record["output"]).name for record in records.values()} == {
            "a.jpg.png", "b.jpg.png", "c.jpg.png", "d.jpg.png"
        }  # fmt: skip
    assert (out / "a.png").read_bytes() == photo
    assert list((out / "b.png").iterdir()) == []
    assert (out / "c.png").is_symlink()
    assert (tmp_path / "elsewhere.png").read_bytes() == elsewhere
    assert (out / "d.png").read_text() == "a note"


@pytest.mark.parametrize("resume", [False, True])
def test_pictures_of_one_name_from_two_folders_keep_their_results(model: Path, tmp_path: Path, resume: bool) -> None:
    out = tmp_path / "out"
    common = ["upscale", "--output", str(out), "--model", str(model), "--quiet", "--strength", "0"]
    common += ["--resume"] * resume
    sizes = {"x": (12, 9), "y": (10, 10), "z": (6, 8)}
    sources = {name: _save(tmp_path / name / "IMG_1.png", size) for name, size in sizes.items()}
    for source in sources.values():
        assert main([*common, str(source)]) == 0
    names = ["IMG_1.png", "IMG_1.png.png", "IMG_1_2.png"]
    assert sorted(path.name for path in out.iterdir()) == names
    for name, size in zip(names, sizes.values(), strict=True):
        with Image.open(out / name) as image:
            assert image.size == (4 * size[0], 4 * size[1])
    first = {path.name: path.read_bytes() for path in out.iterdir()}
    for source in reversed(sources.values()):  # each again: its own result, no further file
        assert main([*common, str(source)]) == 0
    assert {path.name: path.read_bytes() for path in out.iterdir()} == first
    assert main([*common, str(sources["y"]), str(sources["x"])]) == 0  # together, in another order
    assert {path.name: path.read_bytes() for path in out.iterdir()} == first


def test_a_drawing_of_a_plan_replaces_only_its_own(model: Path, tmp_path: Path) -> None:
    photo = _save(tmp_path / "out" / "a_plan.png").read_bytes()
    common = ["plan", "--output", str(tmp_path / "out"), "--model", str(model), "--no-calibration", "--quiet"]
    for _ in range(2):
        assert main([*common, str(_save(tmp_path / "a.jpg"))]) == 0
    assert (tmp_path / "out" / "a_plan.png").read_bytes() == photo
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.jpg_plan.png", "a_plan.png"]


def test_a_report_replaces_only_a_report(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, page = _save(tmp_path / "a.png"), tmp_path / "page.html"
    common = ["upscale", str(source), "--output", str(tmp_path / "out"), "--model", str(model), "--quiet"]
    common += ["--strength", "0", "--report"]
    assert main([*common, str(page)]) == 0
    assert main([*common, str(page)]) == 0
    page.write_text("<html>my own page</html>")
    assert main([*common, str(page)]) == 2
    assert page.read_text() == "<html>my own page</html>"
    before = source.read_bytes()
    assert main([*common, str(source)]) == 2
    assert source.read_bytes() == before
    capsys.readouterr()


def test_two_runs_at_once_lose_nothing(tmp_path: Path) -> None:
    """Both found the name free before either wrote; the second gives its result another one."""
    jobs = [Job(_save(tmp_path / folder / "a.jpg", size), tmp_path / "out" / "a.png") for folder, size in
            (("x", (12, 9)), ("y", (10, 10)))]  # fmt: skip
    (tmp_path / "out").mkdir()
    host = PlainHost("cpu", quiet=True)

    def restore(job: Job, texts: dict[str, str]) -> Restored:
        if job is jobs[0]:
            run_batch(jobs[1:], restore, Settings({}), host)  # in the middle of the other
        shade = torch.full((1, 3, 4, 4), 0.25 if job is jobs[0] else 0.75)
        return Restored(_restored().report, partial(write_picture, rgb=shade, manner=Manner(text=texts)))

    run_batch(jobs[:1], restore, Settings({}), host)
    shades = {path.name: round(float(read_picture(path).rgb.mean()), 2) for path in (tmp_path / "out").iterdir()}
    assert shades == {"a.png": 0.75, "a.jpg.png": 0.25}


def test_a_folder_is_tried_without_getting_in_the_way_of_others(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _number: check_folder(tmp_path), range(400)))
    assert list(tmp_path.iterdir()) == []


def test_long_and_odd_names_have_results(tmp_path: Path) -> None:
    stems = ["a" * 251, "a" * 250 + "b", "ü" * 125, "Jose\u0301", "José"]
    jobs = plan_jobs([tmp_path / f"{stem}.jpg" for stem in stems], tmp_path / "out")
    names = [job.target.name for job in jobs]
    assert max(len(name.encode()) for name in names) <= 255
    assert len({unicodedata.normalize("NFC", name).casefold() for name in names}) == len(stems)
    assert names[3:] == ["Jose\u0301.png", "José.jpg.png"]


# --- what is done -----------------------------------------------------------------------------------------------------


@pytest.fixture
def model(toy_model: OneStepModel, tmp_path: Path) -> Path:
    path = tmp_path / "toy.safetensors"
    save_headsup(path, toy_model)
    return path


@pytest.fixture
def upscale(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Upscale:
    """Run the command with --resume --json on `in`; exit status, input's name -> record, stderr."""

    def run(*more: str) -> tuple[int, dict[str, dict[str, Any]], str]:
        command = ["upscale", str(tmp_path / "in"), "--output", str(tmp_path / "out"), "--model", str(model)]
        status = main([*command, "--json", "--quiet", "--resume", *more])
        said = capsys.readouterr()
        records = [json.loads(line) for line in said.out.splitlines()]
        return status, {Path(record["input"]).name: record for record in records}, said.err

    return run


def _fates(records: dict[str, dict[str, Any]]) -> dict[str, str]:
    return {name: record["status"] for name, record in records.items()}


def test_done_means_the_same_picture_and_settings(
    upscale: Upscale, model: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    for name in ("a", "b", "c"):
        _save(tmp_path / "in" / f"{name}.png")
    assert _fates(upscale()[1]) == dict.fromkeys(("a.png", "b.png", "c.png"), "done")
    first = (tmp_path / "out" / "a.png").read_bytes()
    moved = tmp_path / "in" / "b.png"
    shutil.copyfile(moved, tmp_path / "b")  # the same content at another time
    shutil.move(tmp_path / "b", moved)
    _save(tmp_path / "in" / "c.png", (8, 8))
    _save(tmp_path / "in" / "d.png")
    assert _fates(upscale("--tile-batch", "1")[1]) == {
        "a.png": "kept", "b.png": "kept", "c.png": "done", "d.png": "done"
    }  # fmt: skip
    assert "out/c.png was made from another picture: it is made again" in caplog.text
    assert read_picture(tmp_path / "out" / "c.png").rgb.shape == (1, 3, 32, 32)
    assert (tmp_path / "out" / "a.png").read_bytes() == first

    assert set(_fates(upscale("--scale", "2")[1]).values()) == {"done"}
    assert "out/a.png was made with other settings (scale unset, not 2.0): it is made again" in caplog.text
    weights = bytearray(model.read_bytes())
    weights[-1] ^= 1
    model.write_bytes(weights)
    assert set(_fates(upscale("--scale", "2")[1]).values()) == {"done"}
    assert "with other settings (model toy.safetensors " in caplog.text
    assert set(_fates(upscale("--scale", "2")[1]).values()) == {"kept"}


def test_files_that_are_no_results_are_left_alone(upscale: Upscale, tmp_path: Path) -> None:
    for name in ("a", "b", "c", "d"):
        _save(tmp_path / "in" / f"{name}.png")
    upscale()
    out = tmp_path / "out"
    cut = (out / "a.png").read_bytes()[:-9]
    (out / "a.png").write_bytes(cut)
    _save(out / "b.png")
    strange = (out / "b.png").read_bytes()
    (out / "c.png").write_bytes(b"")  # of a disk that was full, or a power cut: nothing to lose
    status, records, _errors = upscale()
    assert status == 0
    assert _fates(records) == {"a.png": "done", "b.png": "done", "c.png": "done", "d.png": "kept"}
    assert (out / "a.png").read_bytes() == cut
    assert (out / "b.png").read_bytes() == strange
    assert {name: Path(record["output"]).name for name, record in records.items()} == {
        "a.png": "a.png.png", "b.png": "b.png.png", "c.png": "c.png", "d.png": "d.png"
    }  # fmt: skip
    assert set(_fates(upscale()[1]).values()) == {"kept"}


def test_the_record_of_a_result(upscale: Upscale, tmp_path: Path) -> None:
    _save(tmp_path / "in" / "a.png")
    upscale("--strength", "0.5")
    record = json.loads(picture_text(tmp_path / "out" / "a.png", KEY) or "")
    assert record["settings"]["strength"] == 0.5
    assert record["settings"]["model"].startswith("toy.safetensors ")
    assert str(tmp_path) not in json.dumps(record)  # results are shown to others
    assert not record["settings"].keys() & {"output", "pictures", "device", "resume", "run"}


def test_fingerprints_see_changes_anywhere_in_small_files_and_at_the_ends_of_large_ones(tmp_path: Path) -> None:
    small, large = tmp_path / "small", tmp_path / "large"
    small.write_bytes(bytes(3 * BLOCK + 5))
    with large.open("wb") as file:
        file.truncate(2 * BLOCK * BLOCKS + 7)
    for path, places in ((small, (0, BLOCK, 3 * BLOCK + 4)), (large, (0, 2 * BLOCK * BLOCKS + 6))):
        before = fingerprint(path)
        assert fingerprint(path) == before
        for place in places:
            with path.open("r+b") as file:
                file.seek(place)
                file.write(b"x")
            assert fingerprint(path) != before
            before = fingerprint(path)
    assert fingerprint(tmp_path).startswith(tmp_path.name)


# --- pictures that fail -----------------------------------------------------------------------------------------------


def test_every_kind_of_picture_is_done_or_named(upscale: Upscale, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    _save(folder / "plain.png")
    _save(folder / "cmyk.jpg", mode="CMYK")
    Image.fromarray(np.full((9, 12), 40_000, np.uint16)).save(folder / "deep.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its side
    Image.effect_noise((12, 9), 60).convert("RGB").save(folder / "turned.jpg", exif=exif)
    frames = [Image.effect_noise((12, 9), 60).convert("RGB") for _ in range(3)]
    frames[0].save(folder / "moving.webp", save_all=True, append_images=frames[1:], lossless=True)
    _save(folder / "long.png", (20_000, 1))
    Image.fromarray(np.full((9, 12), np.nan, np.float32)).save(folder / "nan.tiff")
    (folder / "empty.png").write_bytes(b"")
    (folder / "text.jpg").write_text("no picture")
    (folder / "gone.png").symlink_to(tmp_path / "nowhere")
    (folder / "folder.png").mkdir()
    (folder / "notes.txt").write_text("no picture either")

    status, records, errors = upscale("--strength", "0")

    assert status == 2
    sizes = {name: record["output_size"] for name, record in records.items() if record["status"] == "done"}
    assert sizes == {"plain.png": [36, 48], "cmyk.jpg": [36, 48], "deep.png": [36, 48], "turned.jpg": [48, 36],
                     "moving.webp": [36, 48]}  # fmt: skip
    assert "the file has 3 frames: the first was restored" in records["moving.webp"]["notes"]
    assert read_picture(tmp_path / "out" / "deep.png").rgb.mean() == pytest.approx(40_000 / 65_535, abs=0.003)
    reasons = {
        "long.png": "at most 65536 px a side",
        "nan.tiff": "F grey values from nan to nan",
        "empty.png": "is empty",
        "text.jpg": "is not a picture",
        "gone.png": "No such file",
    }
    assert _fates(records) == dict.fromkeys(sizes, "done") | dict.fromkeys(reasons, "failed")
    assert "5 of 10 pictures failed:" in errors
    for name, reason in reasons.items():
        assert any(name in line and reason in line for line in errors.splitlines()), (name, errors)


def _restored() -> Restored:
    report = RestoreReport("toy", (1, 1), (4, 4), RestoreOptions(tile=8, overlap=0, tile_batch=1, color_fix="none"))
    return Restored(report, lambda path, *, replace: write_picture(path, torch.zeros(1, 3, 4, 4), replace=replace))


def test_out_of_memory_is_the_pictures_fault_and_a_bug_is_not(tmp_path: Path) -> None:
    jobs = [Job(_save(tmp_path / f"{name}.png"), tmp_path / "out" / f"{name}.png") for name in "abc"]
    tried: list[str] = []

    def restore(job: Job, texts: dict[str, str]) -> Restored:
        tried.append(job.source.stem)
        assert json.loads(texts[KEY])["settings"] == {"x": 1}
        if job.source.stem == "a":
            raise MemoryError
        if job.source.stem == "b":
            raise torch.OutOfMemoryError("CUDA out of memory")
        return _restored()

    host = PlainHost("cpu", quiet=True)
    with raises_naming(InputError, "2 of 3", "a.png", "b.png"):
        run_batch(jobs, restore, Settings({"x": 1}), host)
    assert tried == ["a", "b", "c"]

    def broken(job: Job, texts: dict[str, str]) -> Restored:
        raise RuntimeError("size mismatch")

    with raises_naming(RuntimeError, "size mismatch"):
        run_batch(jobs, broken, Settings({}), host)


def test_an_interrupt_says_how_to_go_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    jobs = [Job(_save(tmp_path / f"{name}.png"), tmp_path / f"{name}_out.png") for name in "abc"]

    def restore(job: Job, texts: dict[str, str]) -> Restored:
        if job.source.stem == "b":
            raise KeyboardInterrupt
        return _restored()

    with pytest.raises(KeyboardInterrupt):
        run_batch(jobs, restore, Settings({}), PlainHost("cpu", quiet=True))
    assert "interrupted: 1 restored of 3 pictures; the same command with --resume goes on" in caplog.text


# --- how results are written ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [kind for kind in FORMAT_SUFFIXES if kind != "avif" or features.check("avif")])
def test_results_of_every_format_are_resumed_and_keep_what_is_said(upscale: Upscale, tmp_path: Path, kind: str) -> None:
    exif = Image.Exif()
    exif[0x013B] = "Ada"
    (tmp_path / "in").mkdir()
    Image.effect_noise((24, 18), 60).convert("RGB").save(tmp_path / "in" / "a.jpg", exif=exif)
    for expected in ("done", "kept"):
        status, records, _errors = upscale("--strength", "0", "--format", kind)
        assert status == 0
        assert _fates(records) == {"a.jpg": expected}
    result = Path(records["a.jpg"]["output"])
    assert result.name == f"a{FORMAT_SUFFIXES[kind]}"
    with Image.open(result) as image:
        assert image.size == (96, 72)
        assert image.getexif()[0x013B] == "Ada"
    assert _fates(upscale("--strength", "0", "--format", kind, "--metadata", "none")[1]) == {"a.jpg": "done"}
    assert b"Ada" not in result.read_bytes()


def test_16_bits_in_are_16_bits_out_when_asked(upscale: Upscale, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    ramp = np.linspace(30_000, 30_400, 64).astype(np.uint16).reshape(1, 64).repeat(32, 0)  # within two steps of 8 bits
    Image.fromarray(ramp).save(tmp_path / "in" / "a.png")
    common = ("--strength", "0", "--scale", "1")
    levels = {}
    for bits in ("8", "16"):
        assert upscale(*common, "--bits", bits)[0] == 0
        levels[bits] = len(read_picture(tmp_path / "out" / "a.png").rgb[0, 0].unique())
    assert levels["8"] <= 3
    assert levels["16"] == len(np.unique(ramp))
    status, _records, errors = upscale(*common, "--bits", "16", "--format", "jpeg")
    assert status == 2
    assert "8 bits" in errors


def test_a_long_name_is_not_said_to_be_there(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.png").write_bytes(b"of somebody else")
    with caplog.at_level("INFO"):
        jobs = plan_jobs([tmp_path / f"{'é' * 120}.jpg", tmp_path / "a.jpg"], tmp_path / "out")
    assert len(jobs[0].target.name.encode()) <= 255
    reasons = [record.args[1] for record in caplog.records if isinstance(record.args, tuple)]
    assert len(set(reasons)) == 2  # each its own
