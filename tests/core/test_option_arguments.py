"""Declared options as flags of a command, and back."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import Literal

import pytest

from headsup_core.commands.option_arguments import add_option_arguments, given_arguments, help_text
from headsup_core.errors import InputError
from headsup_core.option_fields import check_options, declared_options, option


@dataclass(frozen=True)
class Sample:
    scale: float | None = option(None, "Enlargement.", minimum=0.1, maximum=16, unset="the model's own")
    tile_batch: int = option(1, "Tiles that are computed together.", minimum=1)
    fix: Literal["none", "lab"] = option("none", "Where the colours come from, in 100% of the pixels.")
    merge: bool = option(False, "Add the adapter to the base.")
    prompt: str | None = option(None, "What is seen.", unset="the model's own")

    def __post_init__(self) -> None:
        check_options(self)


def parsed(*arguments: str) -> Sample:
    parser = argparse.ArgumentParser(exit_on_error=False)
    add_option_arguments(parser, Sample)
    return Sample(**given_arguments(Sample, parser.parse_args(arguments)))


def test_nothing_typed_gives_the_defaults() -> None:
    assert parsed() == Sample()


def test_flags_give_values_of_their_kind() -> None:
    typed = parsed("--scale", "4", "--tile-batch", "3", "--fix", "lab", "--merge", "--prompt", "a face")
    assert typed == Sample(4.0, 3, "lab", True, "a face")
    assert parsed("--no-merge") == Sample()


def test_out_of_range_is_refused_by_the_options_themselves() -> None:
    with pytest.raises(InputError):
        parsed("--scale", "17")
    with pytest.raises(argparse.ArgumentError):
        parsed("--fix", "other")


def test_only_the_named_options_become_flags() -> None:
    parser = argparse.ArgumentParser()
    add_option_arguments(parser, Sample, ["scale"])
    assert given_arguments(Sample, parser.parse_args(["--scale", "2"])) == {"scale": 2.0}


def test_help_says_range_and_default_and_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    declared = declared_options(Sample)
    assert help_text(declared["scale"]) == "Enlargement. (from 0.1 to 16; default: the model's own)"
    assert help_text(declared["merge"]) == "Add the adapter to the base. (default: no)"
    parser = argparse.ArgumentParser()
    add_option_arguments(parser, Sample)
    parser.print_help()
    assert "100% of the pixels" in " ".join(capsys.readouterr().out.split())
