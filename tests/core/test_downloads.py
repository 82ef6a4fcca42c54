"""Against a real HTTP server on this machine; nothing here uses the internet."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

import pytest
from harness.refusals import raises_naming

from headsup_core import downloads
from headsup_core.cli import main
from headsup_core.commands import download as command
from headsup_core.downloads import download, sha256_of
from headsup_core.errors import DownloadError, InputError
from headsup_core.host import PlainHost
from headsup_core.published_files import DOWNLOADS, Download
from headsup_core.whole_files import whole_file

CONTENT = hashlib.shake_256(b"a model").digest(300_000)


@dataclass
class Site:
    """What the server does, and how many bytes it sent per request."""

    url: str
    content: bytes = CONTENT
    cut_after: int | None = None
    interrupt_in: Path | None = None
    status: int = 200
    sent: list[int] = field(default_factory=list)


class Handler(BaseHTTPRequestHandler):
    site: ClassVar[Site]

    def do_GET(self) -> None:
        site = self.site
        if site.status != 200:
            site.sent.append(0)
            self.send_error(site.status)
            return
        body = site.content[: site.cut_after]
        site.sent.append(len(body))
        self.send_response(200)
        self.send_header("Content-Length", str(len(site.content)))
        self.end_headers()
        self.wfile.write(body)
        if site.interrupt_in:  # Ctrl-C reaches the process while it waits for more than it has written
            while not any(path.stat().st_size for path in site.interrupt_in.rglob("*") if path.is_file()):
                time.sleep(0.01)
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            with contextlib.suppress(OSError):
                self.connection.recv(1)  # until the client has gone

    def log_message(self, format: str, *args: Any) -> None:
        """Silent."""


@pytest.fixture
def site() -> Iterator[Site]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    Handler.site = Site(f"http://127.0.0.1:{server.server_port}/model.onnx")
    yield Handler.site
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def record(site: Site) -> Download:
    digest = hashlib.sha256(CONTENT).hexdigest()
    return Download("toy", "toys", "model.onnx", site.url, digest, len(CONTENT), "MIT", commercial=True)


def _pack(site: Site, entries: dict[str, bytes], networks: dict[str, bytes]) -> Download:
    """Serve a zip of `entries`; the record of a pack with those networks."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    site.content = buffer.getvalue()
    pins = tuple((name, hashlib.sha256(content).hexdigest()) for name, content in networks.items())
    digest = hashlib.sha256(site.content).hexdigest()
    return Download("pack", "toys", "pack.zip", site.url, digest, len(site.content), "own", False, pins)


def _names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_fetched_whole_then_left_alone(site: Site, record: Download, tmp_path: Path) -> None:
    folder = tmp_path / "models" / "toys"
    path = download(record, [folder], quiet=True)
    assert path == folder / "model.onnx"
    assert path.read_bytes() == CONTENT
    assert _names(folder) == ["model.onnx"]
    assert download(record, [folder], quiet=True) == path
    assert site.sent == [len(CONTENT)]


def test_found_in_a_later_folder(site: Site, record: Download, tmp_path: Path) -> None:
    (tmp_path / "second").mkdir()
    (tmp_path / "second" / "model.onnx").write_bytes(CONTENT)
    found = download(record, [tmp_path / "first", tmp_path / "second"], quiet=True)
    assert found == tmp_path / "second" / "model.onnx"
    assert not (tmp_path / "first").exists()
    assert site.sent == []


def test_cut_connection_leaves_nothing(site: Site, record: Download, tmp_path: Path) -> None:
    site.cut_after = 100_000
    with raises_naming(DownloadError, record.url):
        download(record, [tmp_path], quiet=True)
    assert _names(tmp_path) == []
    site.cut_after = None
    assert download(record, [tmp_path], quiet=True).read_bytes() == CONTENT
    assert site.sent == [100_000, len(CONTENT)]
    assert _names(tmp_path) == ["model.onnx"]


@pytest.fixture
def ctrl_c_interrupts() -> Iterator[None]:
    """As at a terminal; a process that a script started in the background ignores Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c_interrupts")
@pytest.mark.parametrize("packed", [False, True])
def test_interrupt_leaves_nothing(site: Site, record: Download, tmp_path: Path, packed: bool) -> None:
    site.cut_after = 200_000
    site.interrupt_in = tmp_path
    with pytest.raises(KeyboardInterrupt):
        download(replace(record, networks=(("model.onnx", "0" * 64),)) if packed else record, [tmp_path], quiet=True)
    assert site.sent == [200_000]
    assert [name for name in _names(tmp_path) if name != "models"] == []


@pytest.mark.parametrize("size", [500, 400_000])
def test_file_of_another_size_is_refused(site: Site, record: Download, tmp_path: Path, size: int) -> None:
    site.content = hashlib.shake_256(b"a model").digest(size)
    with raises_naming(DownloadError, record.sha256):
        download(record, [tmp_path], quiet=True)
    assert _names(tmp_path) == []


def test_what_a_killed_process_left_is_removed(site: Site, record: Download, tmp_path: Path) -> None:
    """Its process number is beyond what a system gives."""
    with whole_file(tmp_path / "model.onnx") as temporary:
        temporary.write_bytes(b"half")
        left = tmp_path / temporary.name.replace(f"-{os.getpid()}-", "-999999999-")
        left.write_bytes(b"half")
    (tmp_path / "model.onnx").unlink()
    download(record, [tmp_path], quiet=True)
    assert _names(tmp_path) == ["model.onnx"]


def test_others_may_read_what_was_fetched(site: Site, record: Download, tmp_path: Path) -> None:
    (tmp_path / "mine").write_bytes(b"")
    path = download(record, [tmp_path], quiet=True)
    assert path.stat().st_mode == (tmp_path / "mine").stat().st_mode


def test_without_pooch_the_pip_line_is_said(
    site: Site, record: Download, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pooch", None)
    with raises_naming(InputError, "-m pip install pooch"):
        download(record, [tmp_path], quiet=True)
    assert _names(tmp_path) == []
    assert site.sent == []


def test_nothing_imports_pooch_before_it_is_needed() -> None:
    program = "import sys, headsup_core.cli, headsup_core.downloads; sys.exit('pooch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_wrong_content_is_removed(site: Site, record: Download, tmp_path: Path) -> None:
    site.content = CONTENT[:-1] + b"?"
    found = hashlib.sha256(site.content).hexdigest()
    with raises_naming(DownloadError, found, record.sha256):
        download(record, [tmp_path], quiet=True)
    assert _names(tmp_path) == []


def test_other_file_under_that_name_is_not_overwritten(site: Site, record: Download, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"mine")
    with raises_naming(DownloadError, tmp_path / "model.onnx"):
        download(record, [tmp_path], quiet=True)
    assert (tmp_path / "model.onnx").read_bytes() == b"mine"
    assert site.sent == []


def test_missing_on_the_server_and_no_server(site: Site, record: Download, tmp_path: Path) -> None:
    site.status = 404
    with raises_naming(DownloadError, 404):
        download(record, [tmp_path], quiet=True)
    closed = replace(record, url="http://127.0.0.1:9/model.onnx")
    with pytest.raises(DownloadError) as caught:
        download(closed, [tmp_path], quiet=True)
    message = str(caught.value)
    assert "\n" not in message
    for part in ("toy", closed.url, "Check the connection", str(tmp_path / "model.onnx")):
        assert part in message
    assert _names(tmp_path) == []


@pytest.mark.parametrize("url", ["file:///etc/hostname", "ftp://127.0.0.1/x", "http://example.invalid/x"])
def test_only_https(record: Download, tmp_path: Path, url: str) -> None:
    with raises_naming(DownloadError, url, "https"):
        download(replace(record, url=url), [tmp_path], quiet=True)


def test_full_disk_is_seen_first(site: Site, record: Download, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(downloads.shutil, "disk_usage", lambda _folder: usage._replace(free=200_000))
    with raises_naming(DownloadError, 0.3, 0.2):
        download(record, [tmp_path], quiet=True)
    assert site.sent == []
    monkeypatch.setattr(downloads.shutil, "disk_usage", lambda _folder: usage._replace(free=len(CONTENT)))
    assert download(record, [tmp_path], quiet=True).read_bytes() == CONTENT


def test_folder_that_cannot_be_made(record: Download, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with raises_naming(DownloadError, tmp_path / "file" / "toys"):
        download(record, [tmp_path / "file" / "toys"], quiet=True)


@pytest.mark.parametrize("nest", ["", "pack/", "pack/pack/"])
def test_pack_ends_up_flat(site: Site, tmp_path: Path, nest: str) -> None:
    networks = {"det.onnx": b"detector", "rec.onnx": b"recogniser"}
    entries = {f"{nest}{name}": content for name, content in networks.items()}
    others = {f"{nest}age.onnx": b"age", "README.md": b"no network", "__MACOSX/._det.onnx": b"resource fork"}
    record = _pack(site, {**entries, **others}, networks)
    path = download(record, [tmp_path], quiet=True)
    assert path == tmp_path / "models" / "pack"
    assert _names(tmp_path) == [
        "models", "models/pack", "models/pack/age.onnx", "models/pack/det.onnx", "models/pack/rec.onnx"
    ]  # fmt: skip
    assert (path / "rec.onnx").read_bytes() == b"recogniser"
    assert download(record, [tmp_path], quiet=True) == path
    assert len(site.sent) == 1


def test_pack_that_is_there_nested_counts(site: Site, tmp_path: Path) -> None:
    record = _pack(site, {"det.onnx": b"detector"}, {"det.onnx": b"detector"})
    nested = tmp_path / "models" / "pack" / "pack" / "det.onnx"
    nested.parent.mkdir(parents=True)
    nested.write_bytes(b"detector")
    download(record, [tmp_path], quiet=True)
    assert site.sent == []
    nested.write_bytes(b"another")
    with raises_naming(DownloadError, tmp_path / "models" / "pack"):
        download(record, [tmp_path], quiet=True)
    assert nested.read_bytes() == b"another"


@pytest.mark.parametrize(
    "entry",
    [
        "../det.onnx",
        "pack/../../det.onnx",
        "..\\..\\det.onnx",
        "/tmp/det.onnx",  # noqa: S108 - a hostile entry, never written
        "C:\\det.onnx",
        "copy/det.onnx",  # twice
    ],
)
def test_hostile_archive_writes_nothing(site: Site, tmp_path: Path, entry: str) -> None:
    record = _pack(site, {"det.onnx": b"detector", entry: b"evil"}, {"det.onnx": b"detector"})
    folder = tmp_path / "deep" / "toys"
    with raises_naming(DownloadError, "det.onnx"):
        download(record, [folder], quiet=True)
    assert _names(tmp_path) == ["deep", "deep/toys", "deep/toys/models"]


@pytest.mark.parametrize("entries", [{"det.onnx": b"other"}, {"README.md": b"nothing"}])
def test_pack_without_its_networks(site: Site, tmp_path: Path, entries: dict[str, bytes]) -> None:
    record = _pack(site, entries, {"det.onnx": b"detector"})
    with raises_naming(DownloadError, "det.onnx"):
        download(record, [tmp_path], quiet=True)
    assert _names(tmp_path / "models") == []


def test_archive_that_is_none(site: Site, tmp_path: Path) -> None:
    record = _pack(site, {}, {"det.onnx": b"detector"})
    site.content = CONTENT
    broken = replace(record, size=len(CONTENT), sha256=hashlib.sha256(CONTENT).hexdigest())
    with raises_naming(DownloadError, broken.file):
        download(broken, [tmp_path], quiet=True)


def test_remains_of_a_killed_unpacking_do_not_matter(site: Site, tmp_path: Path) -> None:
    record = _pack(site, {"det.onnx": b"detector"}, {"det.onnx": b"detector"})
    for left in (".pack.arriving/half.onnx", "pack"):
        path = tmp_path / "models" / left
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir() if left == "pack" else path.write_bytes(b"half")
    download(record, [tmp_path], quiet=True)
    assert _names(tmp_path / "models") == ["pack", "pack/det.onnx"]


def test_the_table() -> None:
    assert len({record.name for record in DOWNLOADS}) == len(DOWNLOADS)
    for record in DOWNLOADS:
        assert urlsplit(record.url).scheme == "https"
        assert urlsplit(record.url).path.endswith(f"/{record.file}")
        assert bool(record.networks) == record.file.endswith(".zip")
        for digest in (record.sha256, *(digest for _, digest in record.networks)):
            assert re.fullmatch(r"[0-9a-f]{64}", digest)
        assert not (record.commercial and "non-commercial" in record.licence.lower())


def test_sha256_of_a_known_text(tmp_path: Path) -> None:
    """The one-block message of FIPS 180-2, appendix B.1."""
    (tmp_path / "abc").write_bytes(b"abc")
    assert sha256_of(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_command_fetches_to_where_find_model_reads(
    record: Download,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    broken = replace(record, name="broken", file="broken.onnx", sha256="0" * 64)
    research = replace(record, name="research", file="research.onnx", licence="research only", commercial=False)
    monkeypatch.setattr(command, "DOWNLOADS", (record, broken, research))
    caplog.set_level("INFO")
    models = tmp_path / "models"
    models.mkdir()
    arguments = ["download", "broken", "toy", "research", "toy", "--models-dir", str(models), "--quiet"]
    assert main(arguments) == 2
    assert _names(models) == ["toys", "toys/model.onnx", "toys/research.onnx"]
    assert PlainHost("cpu", models).find_model("toys", "model.onnx").read_bytes() == CONTENT
    errors = capsys.readouterr().err
    assert "not the published broken" in errors
    assert "Traceback" not in errors
    assert "toy: model.onnx, 0.3 MB. Licence: MIT. Commercial use allowed." in caplog.messages
    assert "research: research.onnx, 0.3 MB. Licence: research only. Commercial use NOT allowed." in caplog.messages


def test_command_uses_extra_model_paths(record: Download, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "DOWNLOADS", (record,))
    extra = tmp_path / "extra_model_paths.yaml"
    extra.write_text("mine:\n  base_path: .\n  toys: |\n    one\n    two\n")
    assert main(["download", "toy", "--extra-model-paths", str(extra), "--quiet"]) == 0
    assert (tmp_path / "one" / "model.onnx").read_bytes() == CONTENT
    assert not (tmp_path / "two").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no NAME: choose from yunet, sface, "),
        (["yolo"], "'yolo' is no known name: choose from yunet, sface, "),
        (["yunet"], "no folder for yunet: give --models-dir"),
        (["yunet", "--models-dir", "missing"], "--models-dir missing is not a folder"),
    ],
)
def test_wrong_use_is_one_line_and_status_2(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main(["download", *arguments]) == 2
    errors = capsys.readouterr().err.strip().splitlines()
    assert len(errors) == 1
    assert message in errors[0]


def test_list_shows_licences_and_folders(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["download", "--list", "--models-dir", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(DOWNLOADS) + 1
    table = {line.split()[0]: line for line in lines}
    assert re.search(r"0\.2 MB +MIT +yes ", table["yunet"])
    assert re.search(r"288\.6 MB .*non-commercial research only +no ", table["buffalo_l"])
    assert table["buffalo_l"].endswith(str(tmp_path / "insightface" / "models" / "buffalo_l"))
