"""Links in the documentation lead somewhere; what it says of the layers' drawing is what the code may do."""

from __future__ import annotations

import argparse
import configparser
import re
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest

from headsup_core.cli import build_parser

LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
NAMED_FILE = re.compile(
    r"`((?:[\w.-]+/)+[\w.-]+\.py|(?:headsup_core|nodes|docs|scripts|tests|web|locales|workflows)/[\w./-]+)`"
)
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


def test_commands_in_the_documentation_exist(root: Path) -> None:
    """Each command line of ours names a command and options that there are."""
    lines = [(page, line) for page in pages(root) for line in commands_in(page.read_text(encoding="utf-8"))]
    assert len(lines) > 30
    wrong = [f"{page.relative_to(root)}: {line}: {problem}" for page, line in lines for problem in unknown_in(line)]
    assert wrong == []


@pytest.mark.parametrize(
    ("line", "problems"),
    [
        ("upscale photo.jpg --output DIR", []),
        ("identity encode a.jpg --name Ada", []),
        ("enhance photo.jpg", ["enhance"]),
        ("upscale photo.jpg --outputs DIR", ["--outputs"]),
        ("identity encode a.jpg --scale 4", ["--scale"]),
    ],
)
def test_commands_that_do_not_exist_are_found(line: str, problems: list[str]) -> None:
    assert unknown_in(line) == problems


def commands_in(text: str) -> list[str]:
    """What stands behind `python -m headsup_core` in a page, with the lines that a backslash joins."""
    joined = re.sub(r"\\\n\s*", " ", text)
    return [match.split(" # ")[0].strip() for match in re.findall(r"python -m headsup_core +([^`\n]+)", joined)]


def unknown_in(line: str) -> list[str]:
    """The first word or the options of a command line that the parser does not know."""
    parser: argparse.ArgumentParser = build_parser()
    words = line.split()
    for word in words:
        inner = next((a for a in parser._actions if isinstance(a, argparse._SubParsersAction)), None)
        if inner is None:
            break
        if word not in inner.choices:
            return [word] if word.isalpha() and word.islower() else []
        parser = inner.choices[word]
    options = [word.split("=")[0].rstrip(".,;") for word in words if word.startswith("--")]
    return [option for option in options if option not in parser._option_string_actions]


def test_files_named_in_the_documentation_exist(root: Path) -> None:
    """Paths in code marks lead to a file of the repository, from its root or from `headsup_core`."""
    named = [(page, path) for page in pages(root) for path in NAMED_FILE.findall(page.read_text(encoding="utf-8"))]
    assert len(named) > 20
    bases = (root, root / "headsup_core", root / "docs")
    missing = [
        f"{page.relative_to(root)}: {path}"
        for page, path in named
        if not any((base / path).exists() for base in bases)
    ]  # fmt: skip
    assert missing == []
