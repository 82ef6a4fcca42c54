from __future__ import annotations

from pathlib import Path

import torch
from harness.faces import face_at
from harness.people_stubs import BLUE, GREEN, RED, ColourAnalyzer, paint
from harness.refusals import raises_naming

import headsup_core as hu
from headsup_core.benchmark.comparing.cases import CleanFolder
from headsup_core.benchmark.recognising.recognition_rates import DRAWS, assignment_table, tallies
from headsup_core.image_files import write_picture

FACE = face_at(64, 64, 56)


def test_tallies_count_right_nobody_and_wrong() -> None:
    sure = torch.eye(6, dtype=torch.float64)
    alone, stranger, group = tallies(sure, 3, 0.4)
    assert (str(alone), stranger.right, str(group)) == ("100 / 0 / 0", DRAWS, "100 / 0 / 0")

    unseen = torch.full((6, 6), -torch.inf, dtype=torch.float64)
    assert [str(tally) for tally in tallies(unseen, 2, 0.4)[::2]] == ["0 / 100 / 0", "0 / 100 / 0"]

    # everybody looks like the next person: in a full group each gets that one, never its own
    shifted = sure.roll(1, dims=1)
    alone, stranger, group = tallies(shifted, 6, 0.4)
    assert (str(alone), str(group)) == ("0 / 0 / 100", "0 / 0 / 100")
    assert stranger.right + stranger.nobody + stranger.wrong == 0


def test_table_of_a_folder(tmp_path: Path) -> None:
    for number, colour in enumerate((RED, GREEN, BLUE)):
        for photo in ("a", "b"):
            picture = paint(torch.full((1, 3, 128, 128), 0.5), FACE, colour)
            write_picture(tmp_path / f"{number}_{photo}.png", picture, None)

    class Scaled(ColourAnalyzer):
        def _find(self, picture: torch.Tensor, options: hu.DetectionOptions) -> list[hu.Face]:
            del options
            return [FACE.scaled(picture.shape[-1] / 128, picture.shape[-2] / 128)]

    table = assignment_table(CleanFolder(tmp_path, "realesrgan", 128), [Scaled()])

    rows = [line for line in table.splitlines() if line.startswith("| colours")]
    assert len(rows) == 6, "two degradations, three ways to look, groups of 2; there are not 5 people"
    assert all("| 2 |" in row for row in rows)
    assert all("100 / 0 / 0 | " in row for row in rows if "x8" in row)


def test_one_photo_each_is_not_enough(tmp_path: Path) -> None:
    write_picture(tmp_path / "0_a.png", torch.rand(1, 3, 128, 128), None)
    with raises_naming(hu.InputError, 0):
        assignment_table(CleanFolder(tmp_path, "realesrgan", 128), [ColourAnalyzer()])
