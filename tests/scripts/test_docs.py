"""What the documentation names exists: links, files, commands; its table of imports is what the code does."""

from __future__ import annotations

import argparse
import ast
import re
import subprocess
from pathlib import Path

import pytest

from headsup_core.cli import build_parser

LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
NAMED_FILE = re.compile(
    r"`((?:[\w.-]+/)+[\w.-]+\.py|(?:headsup_core|nodes|docs|scripts|tests|web|locales|workflows)/[\w./-]+)`"
)
PACKAGE = re.compile(r"^\| `\w+/` \|")


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


def test_table_of_imports_is_what_the_code_imports(root: Path) -> None:
    """Each package's row names exactly the packages of the table that its files import."""
    rows = package_rows((root / "docs" / "architecture.md").read_text(encoding="utf-8"))
    core = {name for name in rows if name != "nodes"}
    assert core == {path.name for path in (root / "headsup_core").iterdir() if (path / "__init__.py").is_file()}
    assert rows == {name: imported_packages(root, name) & core for name in rows}


def package_rows(text: str) -> dict[str, set[str]]:
    """Package -> what its row of the table says that it imports."""
    rows = [[cell.strip() for cell in line.strip("| ").split("|")] for line in text.splitlines() if PACKAGE.match(line)]
    return {row[0].strip("`/"): set(re.findall(r"`(\w+)`", row[2] if len(row) > 2 else "")) for row in rows}


def imported_packages(root: Path, package: str) -> set[str]:
    """The first names below `headsup_core` that the files of a package import from outside of it."""
    folder = root / package if package == "nodes" else root / "headsup_core" / package
    found: set[str] = set()
    for file in folder.rglob("*.py"):
        parts = file.relative_to(root).parts[:-1]
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.level:
                base = (*parts[: len(parts) - node.level + 1], *(node.module or "").split("."))
                names = [(*filter(None, base), each.name) for each in node.names]
                found |= {name[1] for name in names if name[0] == "headsup_core" and len(name) > 1}
    return found - {package}


def test_folders_of_the_drawing_exist(root: Path) -> None:
    drawing = (root / "docs" / "architecture.md").read_text(encoding="utf-8").split("```")[1]
    named = re.findall(r"(\w+)/", drawing)
    assert len(named) >= 9
    bases = (root, root / "headsup_core", root / "headsup_core" / "restoring")
    assert [name for name in named if not any((base / name).is_dir() for base in bases)] == []


def test_architecture_stays_short(root: Path) -> None:
    assert len((root / "docs" / "architecture.md").read_text(encoding="utf-8").split()) < 1500


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


COMMAND = r"python -m headsup_core +((?:(?!\*\*)[^`\n])+)"
"""Up to the end of the code or of the bold type, which notes on the canvas have in its place."""


def commands_in(text: str) -> list[str]:
    """What stands behind `python -m headsup_core` in a page, with the lines that a backslash joins."""
    joined = re.sub(r"\\\n\s*", " ", text)
    return [match.split(" # ")[0].strip() for match in re.findall(COMMAND, joined)]


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
        # a recipe names files that do not exist yet, in folders that do
        if not any((base / (Path(path).parent if page.stem == "extending" else path)).exists() for base in bases)
    ]  # fmt: skip
    assert missing == []
