"""`scripts/quickstart`: from a fresh clone to an upscaled portrait in a real ComfyUI.

The first part sets up with the standard library alone; then the same script goes on in the interpreter that has
ComfyUI's requirements.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from .comfyui import CURRENT, ensure_comfyui, read_version
from .console import ScriptError, fail, say, step
from .environment import check_python, ensure_venv, setup_lock
from .paths import BUILD, LOGS, OUTPUT, PACK_NAME, ROOT, relative
from .server import ComfyServer, link_pack, make_base_directory, port_is_free

HOME = BUILD / "comfyui-home"
USUAL_PORT = 8188
GROUPS = ("torch", "comfyui", "pack", "quickstart")


def parse_arguments() -> argparse.Namespace:
    """The options on the command line."""
    parser = argparse.ArgumentParser(
        prog="scripts/quickstart",
        description="Set up ComfyUI with this pack, upscale a portrait with it, and write output/quickstart.png.",
        epilog="With COMFYUI_PATH set to a ComfyUI folder, that one and the python3 on PATH are used; nothing is "
        "installed then.",
    )
    parser.add_argument("--image", type=Path, help="upscale this picture instead of the sample portrait")
    target = OUTPUT / "quickstart.png"
    parser.add_argument("--output", type=Path, default=target, help=f"picture to write (default: {relative(target)})")
    parser.add_argument("--serve", action="store_true", help="leave ComfyUI open afterwards, until Ctrl-C")
    parser.add_argument("--port", type=int, help=f"port of ComfyUI (default: {USUAL_PORT} with --serve, else any)")
    parser.add_argument("--cpu", action="store_true", help="compute on the CPU even when there is a GPU")
    return parser.parse_args()


def main() -> int:
    """Run the quick start; the exit status."""
    options = parse_arguments()
    try:
        check_python()
        if options.image is not None and not options.image.is_file():
            raise ScriptError(f"--image {options.image}: there is no such file.")
        python, tree = set_up()
        if Path(sys.executable) != python:
            os.execv(python, [str(python), *sys.argv])  # noqa: S606 - the same script, in .venv
        run(options, tree)
    except ScriptError as error:
        return fail(error)
    except KeyboardInterrupt:
        say("stopped")
        return 130
    return 0


def set_up() -> tuple[Path, Path]:
    """Make sure that everything is there; the interpreter and the ComfyUI folder to use."""
    given = os.environ.get("COMFYUI_PATH")
    if given:
        from .requirements import check_installed

        tree = Path(given).expanduser().resolve()
        say(f"- using ComfyUI {read_version(tree)} in {tree} with {sys.executable}; nothing is installed")
        check_installed([tree / "requirements.txt", ROOT / "requirements.txt"])
        return Path(sys.executable), tree
    with setup_lock():
        return ensure_venv(GROUPS), ensure_comfyui(CURRENT)


def run(options: argparse.Namespace, tree: Path) -> None:
    """Start ComfyUI, upscale the portrait, and go on serving when asked to."""
    from .portrait import make_comparison, read_workflow

    workflow = read_workflow()
    link = link_pack(ROOT, make_base_directory(HOME), PACK_NAME)
    say(f"- linked the pack as {relative(link)}")
    cpu = options.cpu or not has_accelerator()
    server = ComfyServer(sys.executable, tree, HOME, LOGS / "comfyui.log", cpu=cpu, port=pick_port(options))
    with step(f"starting ComfyUI on the {'CPU' if cpu else 'GPU'} (log: {relative(server.log)})"):
        server.start()
    try:
        make_comparison(server, workflow, options.image, options.output)
        if options.serve:
            say(f"ComfyUI is open at {server.address} (the workflow is under Templates > {PACK_NAME}); Ctrl-C ends it.")
            server.process.wait()
    finally:
        server.stop()


def pick_port(options: argparse.Namespace) -> int | None:
    """The port asked for; with --serve the usual one if it is free; else None for any free one."""
    if options.port is None and options.serve and port_is_free(USUAL_PORT):
        return USUAL_PORT
    return options.port


def has_accelerator() -> bool:
    """Whether torch in this interpreter can compute on something else than the CPU."""
    import torch

    return torch.cuda.is_available() or torch.backends.mps.is_available()
