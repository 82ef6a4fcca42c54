"""Published model files that can be fetched when the user asks: a table, and one function that fetches.

Nothing else in the package opens a connection. Every entry is pinned by the sha256 of the published file.
"""

from __future__ import annotations

import hashlib
import logging
import re
import shutil
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path, PurePosixPath
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from tqdm import tqdm

from .errors import DownloadError

log = logging.getLogger(__name__)
CHUNK = 1 << 16
TIMEOUT = 30.0  # seconds without a byte

FACEXLIB = "https://github.com/xinntao/facexlib/releases/download"
INSIGHTFACE = "https://github.com/deepinsight/insightface/releases/download/v0.7"
RESEARCH_ONLY = "InsightFace: non-commercial research only"


@dataclass(frozen=True)
class Download:
    """One published file.

    Attributes:
        name: what the user types.
        kind: folder below ComfyUI's `models`.
        file: its name; for a pack that of the zip archive, which is unpacked to `models/NAME` below the kind's folder,
            where InsightFace looks.
        url: https, of one fixed version.
        sha256: of the file at `url`, in hexadecimal.
        size: of the file at `url`, in bytes.
        licence: of the weights.
        commercial: whether that licence allows commercial use.
        networks: for a pack, (file, sha256) of the networks that are used, by which an unpacked pack is recognised.
    """

    name: str
    kind: str
    file: str
    url: str
    sha256: str
    size: int
    licence: str
    commercial: bool
    networks: tuple[tuple[str, str], ...] = ()

    def target(self, folder: Path) -> Path:
        """Where it goes when `folder` is the kind's folder: a file, or the folder of a pack."""
        return folder / "models" / self.name if self.networks else folder / self.file


# The sha256 of the SCRFD-10G detector, which two packs hold under different names.
_SCRFD_10G = "5838f7fe053675b1c7a08b633df49e7af5495cee0493c7dcf6697200b85b5b91"

DOWNLOADS: tuple[Download, ...] = (
    # OpenCV Zoo's large files moved from GitHub (LFS budget spent) to the same maintainers' Hugging Face account.
    Download(
        "yunet",
        "facedetection",
        "face_detection_yunet_2023mar.onnx",
        "https://huggingface.co/opencv/face_detection_yunet/resolve/3cc26e7f1014a5ee5d74a42acee58bafc9d0a310/"
        "face_detection_yunet_2023mar.onnx",
        "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4",
        232_589,
        "MIT",
        commercial=True,
    ),
    Download(
        "sface",
        "facedetection",
        "face_recognition_sface_2021dec.onnx",
        "https://huggingface.co/opencv/face_recognition_sface/resolve/3d7082438a6e4551e840c9b2bb60b71e8da4b524/"
        "face_recognition_sface_2021dec.onnx",
        "0ba9fbfa01b5270c96627c4ef784da859931e02f04419c829e83484087c34e79",
        38_696_353,
        "Apache-2.0",
        commercial=True,
    ),
    Download(
        "retinaface",
        "facedetection",
        "detection_Resnet50_Final.pth",
        f"{FACEXLIB}/v0.1.0/detection_Resnet50_Final.pth",
        "6d1de9c2944f2ccddca5f5e010ea5ae64a39845a86311af6fdf30841b0a5a16d",
        109_497_761,
        "MIT (Pytorch_Retinaface)",
        commercial=True,
    ),
    Download(
        "retinaface-mobile",
        "facedetection",
        "detection_mobilenet0.25_Final.pth",
        f"{FACEXLIB}/v0.1.0/detection_mobilenet0.25_Final.pth",
        "2979b33ffafda5d74b6948cd7a5b9a7a62f62b949cef24e95fd15d2883a65220",
        1_789_735,
        "MIT (Pytorch_Retinaface)",
        commercial=True,
    ),
    # facexlib took it from PSFRGAN, whose licence excludes commercial use.
    Download(
        "parsenet",
        "facedetection",
        "parsing_parsenet.pth",
        f"{FACEXLIB}/v0.2.2/parsing_parsenet.pth",
        "3d558d8d0e42c20224f13cf5a29c79eba2d59913419f945545d8cf7b72920de2",
        85_331_193,
        "CC BY-NC-SA 4.0 (PSFRGAN)",
        commercial=False,
    ),
    Download(
        "buffalo_l",
        "insightface",
        "buffalo_l.zip",
        f"{INSIGHTFACE}/buffalo_l.zip",
        "80ffe37d8a5940d59a7384c201a2a38d4741f2f3c51eef46ebb28218a7b0ca2f",
        288_621_354,
        RESEARCH_ONLY,
        commercial=False,
        networks=(
            ("det_10g.onnx", _SCRFD_10G),
            ("w600k_r50.onnx", "4c06341c33c2ca1f86781dab0e829f88ad5b64be9fba56e56bc9ebdefc619e43"),
        ),
    ),
    Download(
        "buffalo_s",
        "insightface",
        "buffalo_s.zip",
        f"{INSIGHTFACE}/buffalo_s.zip",
        "d85a87f503f691807cd8bb97128bdf7a0660326cd9cd02657127fa978bab8b5e",
        127_607_557,
        RESEARCH_ONLY,
        commercial=False,
        networks=(
            ("det_500m.onnx", "5e4447f50245bbd7966bd6c0fa52938c61474a04ec7def48753668a9d8b4ea3a"),
            ("w600k_mbf.onnx", "9cc6e4a75f0e2bf0b1aed94578f144d15175f357bdc05e815e5c4a02b319eb4f"),
        ),
    ),
    Download(
        "antelopev2",
        "insightface",
        "antelopev2.zip",
        f"{INSIGHTFACE}/antelopev2.zip",
        "8e182f14fc6e80b3bfa375b33eb6cff7ee05d8ef7633e738d1c89021dcf0c5c5",
        360_662_982,
        RESEARCH_ONLY,
        commercial=False,
        networks=(
            ("scrfd_10g_bnkps.onnx", _SCRFD_10G),
            ("glintr100.onnx", "4ab1d6435d639628a6f3e5008dd4f929edf4c4124b1a7169e1048f9fef534cdf"),
        ),
    ),
)


def download(record: Download, folders: Sequence[Path], *, quiet: bool = False) -> Path:
    """The file, or the folder of a pack: found in one of `folders`, else fetched into the first.

    An interrupted transfer leaves `FILE.part` beside the target; the next call goes on from there. What is not the
    published file never reaches its final name, and nothing that stands there is overwritten.

    Args:
        record: what to fetch.
        folders: the folders of its kind, as `PlainHost.model_folders` gives them; at least one.
        quiet: no progress bar.

    Raises:
        DownloadError: no connection, cut off, another content than published, no room on the disk, a folder that
            cannot be written, or something else under the target's name.
    """
    target = record.target(folders[0])
    try:
        for folder in folders:
            if _is_there(record, folder):
                log.info("%s is already there: %s", record.name, record.target(folder))
                return record.target(folder)
        if target.is_file() or (target.is_dir() and any(target.iterdir())):
            raise DownloadError(f"{target} is there, but is not the published {record.name}: move it away first")
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f"{record.file}.part")
        _receive(record, part, quiet)
        _check_content(record, part)
        if record.networks:
            _unpack(record, part, target)
            part.unlink()
        else:
            part.replace(target)
    except OSError as error:
        raise DownloadError(f"{record.name} cannot be put into {target.parent} ({error})") from error
    log.info("%s is ready: %s", record.name, target)
    return target


def sha256_of(path: Path) -> str:
    """The sha256 of a file in hexadecimal. Raises `OSError` when it cannot be read."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def _is_there(record: Download, folder: Path) -> bool:
    """Whether the published content lies in `folder`; a pack's networks count at any depth below its folder."""
    target = record.target(folder)
    if not record.networks:
        return target.is_file() and sha256_of(target) == record.sha256
    return all(any(sha256_of(file) == sha256 for file in target.rglob(name)) for name, sha256 in record.networks)


def _receive(record: Download, part: Path, quiet: bool) -> None:
    """Bring `part` to its full size. Raises `DownloadError`; what has arrived by then stays."""
    kept = part.stat().st_size if part.exists() else 0
    if kept == record.size:
        return
    if kept > record.size:
        part.unlink()
        kept = 0
    _check_space(record, part.parent, record.size - kept)
    try:
        _transfer(record, part, kept, quiet)
    except (OSError, HTTPException) as error:
        kept = part.stat().st_size if part.exists() else 0
        raise DownloadError(
            f"{record.name} could not be fetched whole from {record.url} ({error}); {kept} of {record.size} bytes are "
            "kept: give the same command again to go on"
        ) from error


def _transfer(record: Download, part: Path, kept: int, quiet: bool) -> None:
    response, start, total = _open(record.url, kept)
    bar = tqdm(
        desc=record.file,
        total=record.size,
        initial=start,
        unit="B",
        unit_scale=True,
        disable=True if quiet else None,
        leave=False,
    )
    with response, bar:
        if total not in (None, record.size):
            raise DownloadError(f"{record.url} has {total} bytes, the published {record.name} {record.size}")
        with part.open("ab" if start else "wb") as file:
            done = start
            while done < record.size and (chunk := response.read(min(CHUNK, record.size - done))):
                file.write(chunk)
                done += len(chunk)
                bar.update(len(chunk))
    if done < record.size:
        raise ConnectionError("the connection ended early")


def _open(url: str, offset: int) -> tuple[HTTPResponse, int, int | None]:
    """The response, the offset it starts at (0 when the server does not continue), and the whole size if it says so.

    Raises:
        DownloadError: not https (plain http is for this machine only).
        OSError, HTTPException: no connection, or a refusal.
    """
    address = urlsplit(url)
    if address.scheme != "https" and (address.scheme, address.hostname) != ("http", "127.0.0.1"):
        raise DownloadError(f"{url} is not an https address")
    headers = {"User-Agent": "headsup_core", "Accept-Encoding": "identity"}
    if offset:
        headers["Range"] = f"bytes={offset}-"
    # A redirect may lead to another host, as GitHub's and Hugging Face's do: what counts is the sha256.
    request = Request(url, headers=headers)  # noqa: S310 - the scheme is checked above
    try:
        response: HTTPResponse = urlopen(request, timeout=TIMEOUT)  # noqa: S310 - likewise
    except HTTPError as error:
        if error.code == 416 and offset:  # the server's file ends before `offset`: start anew
            return _open(url, 0)
        raise
    if response.status == 206:
        answer = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
        if answer is None or int(answer[1]) != offset:
            response.close()
            raise ConnectionError("the server sent another part of the file than asked for")
        return response, offset, None if answer[2] == "*" else int(answer[2])
    length = response.headers.get("Content-Length")
    return response, 0, None if length is None else int(length)


def _check_space(record: Download, folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        numbers = f"{needed / 1e6:.1f} MB, {free / 1e6:.1f} MB are free"
        raise DownloadError(f"{record.name} needs {numbers} in {folder}: make room there")


def _check_content(record: Download, part: Path) -> None:
    """Raises `DownloadError`, and removes the file, when it is not the published one."""
    found = sha256_of(part)
    if found != record.sha256:
        part.unlink()
        raise DownloadError(
            f"what came from {record.url} is not the published {record.name} and was removed: sha256 {found}, "
            f"expected {record.sha256}"
        )


def _unpack(record: Download, path: Path, target: Path) -> None:
    """Unpack the archive's .onnx files, flat, into the new folder `target`, which appears whole or not at all.

    Raises:
        DownloadError: not a zip archive, an entry that leaves the folder, or networks missing or others than published.
        OSError: cannot be written.
    """
    staging = target.with_name(f".{target.name}.unpacking")
    shutil.rmtree(staging, ignore_errors=True)
    try:
        with zipfile.ZipFile(path) as archive:
            entries = _networks(archive)
            _check_space(record, target.parent, sum(entry.file_size for entry in entries.values()))
            staging.mkdir()
            for name, entry in entries.items():
                with archive.open(entry) as source, (staging / name).open("wb") as sink:
                    shutil.copyfileobj(source, sink, 1 << 20)
        for name, sha256 in record.networks:
            if name not in entries or sha256_of(staging / name) != sha256:
                raise DownloadError(f"{path} does not hold the published {name}")
        if target.is_dir():
            target.rmdir()  # empty, as `download` has checked; a rename onto it fails on Windows
        staging.rename(target)
    except (zipfile.BadZipFile, RuntimeError) as error:  # RuntimeError: encrypted, or an unknown compression
        raise DownloadError(f"{path} cannot be unpacked ({error})") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _networks(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """The .onnx entries by plain file name. Raises `DownloadError` for an entry that leaves the folder, or a double."""
    entries: dict[str, zipfile.ZipInfo] = {}
    for entry in archive.infolist():
        path = PurePosixPath(entry.filename.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or ":" in entry.filename:
            raise DownloadError(f"{archive.filename} is not unpacked: its entry {entry.filename!r} leaves the folder")
        if entry.is_dir() or path.suffix != ".onnx" or path.name.startswith("."):
            continue
        if path.name in entries:
            raise DownloadError(f"{archive.filename} holds {path.name} twice")
        entries[path.name] = entry
    return entries
