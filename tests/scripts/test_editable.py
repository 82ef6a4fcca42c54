"""An editable install gives `headsup_core` and nothing else of the repository."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

from support.pack import copy_as_cloned

BUILD = "import setuptools.build_meta as b, sys; print(b.build_editable(sys.argv[1]))"


def test_editable_install_exposes_only_the_core(tmp_path: Path) -> None:
    clone = copy_as_cloned(tmp_path / "clone")
    command = [sys.executable, "-c", BUILD, str(tmp_path)]
    built = subprocess.run(command, cwd=clone, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr

    (wheel,) = tmp_path.glob("*.whl")
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as files:
        files.extractall(site)
    lookup = (
        f"import site, importlib.util as u; site.addsitedir({str(site)!r});"
        "print(*(u.find_spec(n) is not None for n in ('headsup_core', 'nodes', 'scripts', 'tests')))"
    )
    found = subprocess.run([sys.executable, "-I", "-c", lookup], capture_output=True, text=True, cwd=tmp_path)

    assert found.stdout.split() == ["True", "False", "False", "False"], found.stderr
