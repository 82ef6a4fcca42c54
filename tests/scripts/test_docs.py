"""Links in the documentation lead somewhere; what it says of the layers' drawing is what the code may do."""

from __future__ import annotations

import configparser
import re
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest

LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
ARROW = re.compile(r"^\s*(.+?--> .+)$", re.MULTILINE)


def pages(root: Path) -> list[Path]:
    """The repository's Markdown files."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "*.md"]
    names = subprocess.run(command, cwd=root, capture_output=True, check=True).stdout.decode().split("\0")
    return [root / name for name in names if name and (root / name).is_file()]


def test_links_to_files_lead_somewhere(root: Path) -> None:
    found = [(page, link) for page in pages(root) for link in LINK.findall(page.read_text(encoding="utf-8"))]
    local = [(page, link) for page, link in found if "://" not in link and not link.startswith("mailto:")]
    assert len(local) > 20
    help_pages = root / "web" / "docs"  # ComfyUI's page resolves links from there, whatever the language
    bases = {page: help_pages if page.is_relative_to(help_pages) else page.parent for page, _ in local}
    broken = [f"{page.relative_to(root)}: {link}" for page, link in local if not (bases[page] / link).exists()]
    assert broken == []


@pytest.mark.parametrize("page", ["docs/architecture.md"])
def test_arrows_of_the_drawing_point_downwards(root: Path, page: str) -> None:
    contracts = configparser.ConfigParser()
    contracts.read(root / ".importlinter")
    layers = contracts["importlinter:contract:core"]["layers"].split()
    ranks = {layer.strip("()"): rank for rank, layer in enumerate(layers)}
    drawing = (root / page).read_text(encoding="utf-8").split("```mermaid")[1].split("```")[0]
    chains = [
        [re.sub(r"[\[(\"].*", "", end.strip()) for end in line.split("-->")] for line in ARROW.findall(drawing)
    ]
    arrows = [(above, below) for chain in chains for above, below in pairwise(chain)]
    inside = [(above, below) for above, below in arrows if {above, below} <= set(ranks)]
    assert len(inside) >= 10
    assert [arrow for arrow in inside if ranks[arrow[0]] >= ranks[arrow[1]]] == []
    sources = {above: root / "headsup_core" / above for above, _ in inside}
    unused = [
        f"{above} --> {below}"
        for above, below in inside
        if not any(re.search(rf"from \.\.{below}[. ]|from \.\. import .*\b{below}\b", file.read_text(encoding="utf-8"))
                   for file in sources[above].rglob("*.py"))
    ]  # fmt: skip
    assert unused == []
