"""What people are called: files of their names, names of files, overrides, doubles."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
import torch
from harness.faces import face_at
from harness.people_stubs import BLUE, GREEN, RED, ColourAnalyzer, paint, person
from harness.refusals import raises_naming

from headsup_core.cli import main
from headsup_core.commands.identifying.people_arguments import people_of
from headsup_core.errors import InputError
from headsup_core.faces import Faces
from headsup_core.identity import Identity, encode_identity, encode_people, load_identity, save_identity, with_overrides
from headsup_core.identity.identity_file import file_name, save_identities
from headsup_core.identity.names import checked_name, told_apart
from headsup_core.image_files import write_picture

FACE = face_at(24, 24, 14)
LEFT, RIGHT = face_at(30, 30, 12), face_at(90, 30, 12)


def photo(path: Path, colour: tuple[float, float, float] = RED) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_picture(path, paint(torch.full((1, 3, 48, 48), 0.5), FACE, colour), None)
    return path


@pytest.fixture
def everyone_found(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("identifying.identities", "identifying.find_faces"):
        monkeypatch.setattr(f"headsup_core.commands.{module}.make_analyzer", lambda *_: ColourAnalyzer([FACE]))


@pytest.mark.usefixtures("everyone_found")
@pytest.mark.parametrize(
    "names",
    [
        ("रीमा", "रोमा", "रामा"),
        ("José", "Jose"),
        ("กิม", "กุม"),  # Thai vowels are marks
        ("\u0646\u0647\u200c\u0627", "\u0646\u0647\u0627"),  # parted by a non-joiner, as Persian is written
        ("נָעָה", "נעה"),
    ],
)
def test_people_of_every_script_have_their_own_files(tmp_path: Path, names: tuple[str, ...]) -> None:
    ada, out = photo(tmp_path / "ada.png"), tmp_path / "out"
    for name in names:
        assert main(["identity", "encode", str(ada), "--name", name, "--output", str(out), "--quiet"]) == 0
    assert sorted(load_identity(file).name for file in out.iterdir()) == sorted(names)
    assert all(unicodedata.normalize("NFC", file.stem) in names for file in out.iterdir())


def test_a_decomposed_name_is_the_composed_one() -> None:
    decomposed = unicodedata.normalize("NFD", "José Ångström")
    assert decomposed != "José Ångström"
    assert checked_name(decomposed) == "José Ångström"
    assert file_name(decomposed) == "José Ångström"


def test_a_name_of_marks_alone_is_refused() -> None:
    with pytest.raises(InputError):
        file_name("\u0301\u0302")


@pytest.mark.usefixtures("everyone_found")
def test_names_that_look_alike_as_files_are_numbered_also_in_another_run(tmp_path: Path) -> None:
    ada, out = photo(tmp_path / "ada.png"), tmp_path / "out"
    for name in ("A/B", "A:B", "a?b", "A:B"):
        assert main(["identity", "encode", str(ada), "--name", name, "--output", str(out), "--quiet"]) == 0
    found = {file.stem: load_identity(file).name for file in out.iterdir()}
    assert sorted(found.values()) == ["A/B", "A:B", "a?b"]
    assert {"A_B", "A_B 2"} <= set(found)


def test_a_file_of_somebody_else_or_of_another_kind_is_not_replaced(tmp_path: Path) -> None:
    other = tmp_path / "Ada.safetensors"
    other.write_bytes(b"something else")
    ada = person("Ada", RED)
    (first,) = save_identities(tmp_path, [ada])
    (again,) = save_identities(tmp_path, [ada])
    assert other.read_bytes() == b"something else"
    assert first == again == tmp_path / "Ada 2.safetensors"
    with raises_naming(InputError, "'Ada'"):
        save_identities(tmp_path, [ada, ada])


def test_everybody_has_a_name_of_their_own() -> None:
    analyzer = ColourAnalyzer([LEFT, RIGHT])
    picture = paint(paint(torch.full((1, 3, 60, 120), 0.5), LEFT, RED), RIGHT, GREEN)
    with raises_naming(InputError, "'Ada'"):
        encode_people(picture, analyzer, ["Ada", " Ada "])
    names = [identity.name for identity in encode_people(picture, analyzer, ["person 1"])]
    assert names == ["person 1", "person 2"]
    names = [identity.name for identity in encode_people(picture, analyzer, ["person 2"])]
    assert names == ["person 2", "person 3"]


@pytest.mark.parametrize(
    ("names", "apart"),
    [
        (["Ada", "Eva"], ["Ada", "Eva"]),
        (["Ada", "Ada", "Ada"], ["Ada", "Ada 2", "Ada 3"]),
        (["Ada", "Ada 2", "Ada"], ["Ada", "Ada 2", "Ada 3"]),
        (["x" * 120, "x" * 130], ["x" * 100, "x" * 98 + " 2"]),
    ],
)
def test_names_are_told_apart(names: list[str], apart: list[str]) -> None:
    assert told_apart(names) == apart


class Options:
    """What `people_of` reads of the command line."""

    match_threshold, identity_strength = None, 1.0
    min_score, min_eye_distance, max_faces = 0.5, 5.0, 0

    def __init__(self, *reference: Path, identity: tuple[Path, ...] = ()) -> None:
        self.reference, self.identity = list(reference), list(identity)


def people(*reference: Path, identity: tuple[Path, ...] = ()) -> list[Identity]:
    return people_of(Options(*reference, identity=identity), ColourAnalyzer([FACE]))  # type: ignore[arg-type]


def test_references_of_one_name_in_two_folders_are_two_people(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = photo(tmp_path / "a" / "IMG_0001.jpg", RED), photo(tmp_path / "b" / "IMG_0001.jpg", GREEN)
    assert [one.name for one in people(first, second)] == ["a/IMG_0001", "b/IMG_0001"]
    assert [one.name for one in people(first, first)] == ["IMG_0001"]
    third = photo(tmp_path / "a" / "IMG_0001.png", BLUE)
    with caplog.at_level(logging.INFO):
        assert [one.name for one in people(first, second, third)] == ["a/IMG_0001", "b/IMG_0001", "a/IMG_0001 2"]
    assert "is called a/IMG_0001 2" in caplog.text


def test_identity_files_of_one_name_are_two_people(tmp_path: Path) -> None:
    saved = [save_identity(tmp_path / folder, person("Ada", colour)) for folder, colour in (("a", RED), ("b", BLUE))]
    assert [one.name for one in people(identity=(saved[0], saved[1]))] == ["Ada", "Ada 2"]


def test_a_long_file_name_makes_a_person_of_it(tmp_path: Path) -> None:
    (one,) = people(photo(tmp_path / f"{'long' * 40}.png"))
    assert one.name == ("long" * 40)[:100]


def test_what_a_reference_folder_leaves_out_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "Ada"
    for name, colour in (("1.png", RED), ("2.png", RED), ("stranger.png", GREEN)):
        photo(folder / name, colour)
    with caplog.at_level(logging.INFO):
        people(folder)
    (line,) = caplog.messages
    assert "stranger.png" in line
    assert "does not show the same person" in line


def test_a_group_photo_says_whom_it_took() -> None:
    picture = paint(paint(torch.full((1, 3, 60, 120), 0.5), LEFT, RED), RIGHT, GREEN)
    identity = encode_identity([picture], ColourAnalyzer([LEFT, RIGHT]), "Ada")
    assert identity.photos[0].faces == 2
    assert identity.photos[0].surprising
    assert "the largest of 2 faces was taken" in identity.photos[0].reason
    alone = encode_identity([picture], ColourAnalyzer([LEFT]), "Ada")
    assert not alone.photos[0].surprising


def test_two_photos_of_one_label_have_two_reports() -> None:
    picture = paint(torch.full((1, 3, 60, 120), 0.5), LEFT, RED)
    other = paint(torch.full((1, 3, 60, 120), 0.5), LEFT, GREEN)
    identity = encode_identity([picture, picture, other], ColourAnalyzer([LEFT]), labels=["1.jpg", "1.jpg", "1.jpg"])
    assert [photo.used for photo in identity.photos] == [True, True, False]


def overridden(text: str, names: tuple[str, ...], faces: int = 4) -> list[str | None]:
    found = Faces(((*(face_at(30 + 40 * index, 30, 12) for index in range(faces)),),), 60, 240)
    return [face.identity for face in with_overrides(found, text, names)[0]]


@pytest.mark.parametrize(
    ("text", "chosen"),
    [
        ("0=Doe, Jane", ["Doe, Jane", None]),
        ("0=Doe, Jane, 1=Doe", ["Doe, Jane", "Doe"]),
        ("1 = Doe ; 0=Doe,  Jane", ["Doe, Jane", "Doe"]),
        ("0=A=B, 2=x\n1=Doe", ["A=B, 2=x", "Doe"]),
        ("1=José;", [None, "José"]),
        ("0=nobody,1=Doe", ["", "Doe"]),
    ],
)
def test_override_takes_every_name_that_can_be_encoded(text: str, chosen: list[str | None]) -> None:
    names = ("Doe", "Doe, Jane", "A=B, 2=x", "José")
    assert overridden(unicodedata.normalize("NFD", text), names, 2) == chosen


WRONG = ("0=Doe, Jim", "0=", "0=,1=Doe", "x=Doe", "Doe", "0=Do", "0=Doe,0=Jane", "0=Doe 1=Doe", "0=Jane,1=Jane")


@pytest.mark.parametrize("text", WRONG)
def test_wrong_overrides_are_refused(text: str) -> None:
    with raises_naming(InputError, "override"):
        overridden(text, ("Doe", "Jane"))


def test_faces_of_another_shape_of_picture_are_refused() -> None:
    faces = Faces(((LEFT,),), 128, 128)
    for size in ((128, 64), (64, 128), (512, 640)):
        with raises_naming(InputError, "128x128", f"{size[1]}x{size[0]}"):
            faces.check_pictures(torch.zeros(1, 3, *size))
    for size in ((128, 128), (512, 512), (31, 32), (1000, 1003)):
        faces.check_pictures(torch.zeros(1, 3, *size))
    odd = Faces(((LEFT,),), 683, 1024)
    for size in ((171, 256), (2731, 4096), (1366, 2048), (85, 128)):  # resized to whole pixels
        odd.check_pictures(torch.zeros(1, 3, *size))


def test_a_reader_that_goes_away_ends_the_command_quietly() -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-m", "headsup_core", "download", "--list"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.close()  # as `head -c 5` does
    assert process.wait() == 141
    assert process.stderr is not None
    assert process.stderr.read() == b""


@pytest.mark.skipif(sys.platform != "linux", reason="file names are bytes on Linux only")
@pytest.mark.usefixtures("everyone_found")
def test_a_file_name_that_is_no_text_is_shown_with_a_replacement(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = tmp_path / os.fsdecode(b"M\xfcller.png")
    photo(tmp_path / "plain.png").rename(odd)
    assert main(["faces", str(tmp_path), "--json", "--quiet"]) == 0
    assert Path(json.loads(capsys.readouterr().out)["picture"]).name == "M\ufffdller.png"
    assert main(["faces", str(tmp_path), "--quiet"]) == 0
    assert "M\ufffdller.png: 1 face" in capsys.readouterr().out
    out = tmp_path / "out"
    assert main(["identity", "encode", str(odd), "--name", "Ada", "--output", str(out), "--quiet"]) == 0
    assert load_identity(out / "Ada.safetensors").photos[0].photo.endswith("M\ufffdller.png")
    assert [one.name for one in people(odd)] == ["M\ufffdller"]


