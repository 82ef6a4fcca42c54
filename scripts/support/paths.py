"""Where things lie. Everything made by the scripts is below `.venv`, `build` and `output`."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build"
VENV = ROOT / ".venv"
OUTPUT = ROOT / "output"
LOGS = BUILD / "logs"
ARTIFACTS = BUILD / "test-artifacts"
NOT_RUN = ARTIFACTS / "not-run.txt"
TEST_SECONDS = ARTIFACTS / "test-seconds.txt"  # seconds, a tab, the test
REQUIREMENTS = Path(__file__).resolve().parents[1] / "requirements"
WORKFLOW = ROOT / "workflows" / "Restore a portrait.json"
PACK_NAME = "ComfyUI-HeadsUp"


def comfyui_tree(version: str) -> Path:
    """The folder of a pinned ComfyUI version."""
    return BUILD / f"comfyui-{version}"


def relative(path: Path) -> str:
    """The path as a person would type it from the repository root."""
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)
