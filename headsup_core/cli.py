"""`python -m headsup_core …`: the command line. Exit status 0 done, 2 wrong use or bad input."""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import os
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from itertools import takewhile
from typing import Any, NoReturn

from typing_extensions import override

from .commands import benchmarks, download
from .commands.identifying import find_faces, identities
from .commands.learning import average, dataset, join, train
from .commands.upscaling import plan, tag, upscale
from .errors import HeadsUpError
from .host import is_out_of_memory
from .identity.names import readable_lines

BROKEN_PIPE = 141
"""Exit status of a program whose output nobody reads any more, as shells have it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; errors that are the user's to mend are one line on stderr and exit status 2."""
    args = build_parser().parse_args(arguments)
    handler = logging.StreamHandler()
    handler.setFormatter(_Lines())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    for stream in (sys.stdout, sys.stderr):  # file names need not be text: what is none is shown as a question mark
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        status = args.run(args)
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # whoever reads has seen enough, as `head` does
        with contextlib.suppress(OSError, io.UnsupportedOperation):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else the interpreter complains at its end
        return BROKEN_PIPE
    except HeadsUpError as error:
        return _fail(args.command, str(error))
    except OSError as error:  # a disk or a folder that nothing above asked for by itself
        named = f"{error.filename}: " if error.filename else ""
        return _fail(args.command, f"{named}{error.strerror or error}")
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        return _fail(args.command, "memory ran out: end other programs, or give smaller pictures")


class _Parser(argparse.ArgumentParser):
    """Says in one line what is wrong, without the list of all options, which fills a screen.

    An option that there is not is named before one that is missing: often it was meant to be that one.
    """

    @override
    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        known = self._option_string_actions
        if self._subparsers is None:  # else the options are those of a subcommand
            for text in takewhile(lambda text: text != "--", args or ()):
                flag = text.partition("=")[0]
                if flag.startswith("-") and flag[:2] != "--" and flag not in known and os.path.lexists(text):
                    self.error(f"{text} begins with a dash, as options do: write ./{text}")
                if flag.startswith("--") and " " not in text and not any(each.startswith(flag) for each in known):
                    close = get_close_matches(flag.lower(), known, n=1)
                    self.error(f"there is no option {flag}" + "".join(f", did you mean {each}?" for each in close))
        return super().parse_known_args(args, namespace)

    @override
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {readable_lines(message)} ({self.prog} --help lists what there is)\n")


class _Lines(logging.Formatter):
    """Messages as they are, but for what a file's name may hold to direct the terminal."""

    def format(self, record: logging.LogRecord) -> str:
        return readable_lines(super().format(record))


def _fail(command: str, error: str) -> int:
    sys.stderr.write(f"headsup_core {command}: {readable_lines(error)}\n")
    return 2


def build_parser() -> argparse.ArgumentParser:
    """All commands with their options."""
    parser = _Parser(prog="headsup_core", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, module in (
        ("upscale", upscale),
        ("plan", plan),
        ("tag", tag),
        ("faces", find_faces),
        ("identity", identities),
        ("download", download),
        ("benchmark", benchmarks),
        ("train", train),
        ("average", average),
        ("join", join),
        ("dataset", dataset),
    ):
        description = (module.__doc__ or "").strip()
        command = commands.add_parser(name, help=description.partition("\n")[0], description=description)
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return parser
