"""Rooms whose names explain themselves: rules on the shape of the code, each of which a planted file breaks."""

from __future__ import annotations

import ast
import inspect
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import headsup_core

MOST_FILES = 12
"""Python files of one folder."""
MOST_PARAMETERS = 6
MOST_PARAMETERS_OF = {"restore": 8}
"""Public functions, called with keywords, that may have more."""
CORE = "headsup_core"
RESTORE_PATH = (
    *(f"{CORE}/{name}" for name in ("restoring", "imaging", "models", "faces", "identity", "image_files", "idfsr")),
    f"{CORE}/commands/upscaling",
    "nodes",
)
"""Folders that a picture, a model and a face go through from a file or a socket to the result."""
TRAINING = ("training", "pretraining")
"""Folders that are not on it, wherever they lie."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


def sources(folder: Path) -> list[Path]:
    """The Python files below a folder."""
    return sorted(path for path in folder.rglob("*.py") if "__pycache__" not in path.parts)


def repeated_modules(core: Path) -> list[str]:
    """Names that more than one module has; `__init__` and `__main__` are no names of subjects."""
    counts = Counter(path.stem for path in sources(core) if not path.stem.startswith("__"))
    return sorted(name for name, count in counts.items() if count > 1)


def full_folders(core: Path) -> list[str]:
    """Folders with more Python files than a person overlooks."""
    counts = Counter(path.parent for path in sources(core) if path.stem != "__init__")
    return sorted(f"{folder.relative_to(core)}: {count}" for folder, count in counts.items() if count > MOST_FILES)


def long_parameter_lists(root: Path) -> list[str]:
    """Functions of the restore path that take more than they may; `self` and `cls` do not count."""
    return [
        f"{name}: {count}"
        for folder in RESTORE_PATH
        for path in sources(root / folder)
        if path.parent.name not in TRAINING
        for name, count in facts_of(path).parameters
        if count > MOST_PARAMETERS_OF.get(name, MOST_PARAMETERS)
    ]


@dataclass(frozen=True)
class Facts:
    """What the rules ask of a file.

    Attributes:
        functions: names of those at its top.
        parameters: (name, number of parameters) of each function and method.
        fragments: lines of docstrings, those of attributes too, that begin as the rest of a sentence: "Of ...".
    """

    functions: frozenset[str]
    parameters: tuple[tuple[str, int], ...]
    fragments: tuple[int, ...]


@cache
def facts_of(path: Path) -> Facts:
    """Each file is read once for all rules."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = list(ast.walk(tree))
    return Facts(
        frozenset(node.name for node in tree.body if isinstance(node, Function)),
        tuple((node.name, len(parameters_of(node))) for node in nodes if isinstance(node, Function)),
        tuple(node.lineno for node in nodes if (text_of(node) or "").lstrip().startswith("Of ")),
    )


def parameters_of(function: Function) -> list[str]:
    """Names of the parameters; `*args` and `**options` are one each."""
    arguments = function.args
    named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    extra = [each for each in (arguments.vararg, arguments.kwarg) if each is not None]
    return [each.arg for each in (*named, *extra) if each.arg not in ("self", "cls")]


def fragments(root: Path) -> list[str]:
    """Where docstrings begin as the rest of a sentence."""
    return [f"{path.relative_to(root)}:{line}" for path in sources(root) for line in facts_of(path).fragments]


def text_of(node: Any) -> str | None:
    """The text that a node is by itself; None for other nodes."""
    value = node.value if isinstance(node, ast.Expr) else None
    return value.value if isinstance(value, ast.Constant) and isinstance(value.value, str) else None


def packages_called_as_functions(core: Path) -> list[str]:
    """Packages that share their name with a function of any module, so that one of the two cannot be imported."""
    packages = {path.parent.name for path in sources(core) if path.parent != core}
    return sorted(packages & {name for path in sources(core) for name in facts_of(path).functions})


def shadowed(core: Path, public: dict[str, object]) -> list[str]:
    """Packages and modules of the core's top that a function of the public interface would hide."""
    names = {path.stem for path in core.iterdir() if path.is_dir() or path.suffix == ".py"}
    return sorted(name for name, value in public.items() if inspect.isroutine(value) and name in names)


@pytest.fixture
def core(root: Path) -> Path:
    return root / "headsup_core"


def test_no_module_name_occurs_twice(core: Path) -> None:
    assert repeated_modules(core) == []


@pytest.mark.parametrize("folder", ["headsup_core", "nodes"])
def test_no_folder_is_full(root: Path, folder: str) -> None:
    assert full_folders(root / folder) == []


def test_no_function_of_the_restore_path_takes_too_much(root: Path) -> None:
    assert [folder for folder in RESTORE_PATH if not sources(root / folder)] == []
    assert long_parameter_lists(root) == []


@pytest.mark.parametrize("folder", ["headsup_core", "nodes", "scripts", "tests"])
def test_no_docstring_is_the_rest_of_a_sentence(root: Path, folder: str) -> None:
    assert fragments(root / folder) == []


def test_no_function_hides_a_package(core: Path) -> None:
    assert packages_called_as_functions(core) == []
    public = {name: getattr(headsup_core, name) for name in headsup_core.__all__}
    assert len(public) > 10
    assert shadowed(core, public) == []


PARAMETERS = ", ".join(f"p{number}" for number in range(MOST_PARAMETERS + 1))


@pytest.mark.parametrize(
    ("files", "rule", "found"),
    [
        ({"faces/tiles.py": "", "imaging/tiles.py": ""}, repeated_modules, ["tiles"]),
        ({"faces/__init__.py": "", "imaging/__init__.py": ""}, repeated_modules, []),
        ({f"faces/f{n}.py": "" for n in range(MOST_FILES + 1)}, full_folders, [f"faces: {MOST_FILES + 1}"]),
        ({f"faces/f{n}.py": "" for n in range(MOST_FILES)} | {"faces/__init__.py": ""}, full_folders, []),
        ({"restoring/a.py": "", "b.py": "def restoring(): ..."}, packages_called_as_functions, ["restoring"]),
        ({"restoring/a.py": "class A:\n    def restoring(self): ..."}, packages_called_as_functions, []),
        ({f"{CORE}/restoring/a.py": f"def f({PARAMETERS}): ..."}, long_parameter_lists, ["f: 7"]),
        ({f"{CORE}/faces/a.py": f"class A:\n    def f(self, *, {PARAMETERS}): ..."}, long_parameter_lists, ["f: 7"]),
        ({f"{CORE}/restoring/a.py": "def f(a, b, c, d, e, *f, **g): ..."}, long_parameter_lists, ["f: 7"]),
        ({f"{CORE}/restoring/a.py": f"class A:\n    def f(self, {PARAMETERS[4:]}): ..."}, long_parameter_lists, []),
        ({f"{CORE}/restoring/a.py": f"def restore({PARAMETERS}, p7): ..."}, long_parameter_lists, []),
        ({f"{CORE}/restoring/a.py": f"def restore({PARAMETERS}, p7, p8): ..."}, long_parameter_lists, ["restore: 9"]),
        ({"nodes/upscaling/a.py": f"def f({PARAMETERS}): ..."}, long_parameter_lists, ["f: 7"]),
        ({f"{CORE}/idfsr/a.py": f"def f({PARAMETERS}): ..."}, long_parameter_lists, ["f: 7"]),
        ({f"{CORE}/idfsr/pretraining/a.py": f"def f({PARAMETERS}): ..."}, long_parameter_lists, []),
        ({f"{CORE}/training/a.py": f"def f({PARAMETERS}): ..."}, long_parameter_lists, []),
        ({"a.py": 'def f():\n    """Of a face."""'}, fragments, ["a.py:2"]),
        ({"a.py": 'SIDE = 3\n"""Of a face."""'}, fragments, ["a.py:2"]),
        ({"a.py": 'def f():\n    """Offers. Of a face."""'}, fragments, []),
    ],
)
def test_what_breaks_a_rule_is_found(
    tmp_path: Path, files: dict[str, str], rule: Callable[[Path], list[str]], found: list[str]
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)

    assert rule(tmp_path) == found


def test_a_package_behind_a_function_is_found(tmp_path: Path) -> None:
    (tmp_path / "restore").mkdir()
    (tmp_path / "plan.py").touch()

    public: dict[str, object] = {"restore": shadowed, "plan": shadowed, "faces": shadowed, "restore_too": Path}

    assert shadowed(tmp_path, public) == ["plan", "restore"]
