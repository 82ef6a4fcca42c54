"""People: encoded, saved, loaded and compared in the executor of ComfyUI, on real photos."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from harness.executor import Executor, finish, refused
from harness.graph import Graph, Node
from harness.images import picture
from harness.people import astronaut, friends, hanks

from headsup_core.identity import Identity, save_identity

NOBODY = picture(60, 80)


@pytest.fixture
def folder(executor: Executor) -> Iterator[Path]:
    """Where identities are saved; emptied afterwards, as the one below models is."""
    folder = executor.base / "output" / "headsup" / "identities"
    folder.mkdir(parents=True, exist_ok=True)
    yield folder
    for place in (folder, executor.base / "models" / "headsup" / "identities"):
        shutil.rmtree(place, ignore_errors=True)


def load(graph: Graph, identity: str, **inputs: Any) -> Node:
    return graph.add("HeadsUpLoadIdentity", identity=identity, **({"name": ""} | inputs))


@pytest.mark.every_comfyui
def test_saved_person_is_recognised_again(executor: Executor, folder: Path) -> None:
    graph = Graph()
    encoded = graph.encode(executor.values(graph, astronaut()), name="Eileen Collins")
    saved = graph.save_identity(encoded[0])
    text, sheet, paths = finish(executor, graph, encoded[2], encoded[1], saved[0])
    assert Path(paths) == folder / "Eileen Collins.safetensors"
    assert Path(paths).is_file()
    assert "Eileen Collins: 1 of 1 photos used" in text
    assert sheet.ndim == 4

    again = Graph()
    loaded = load(again, "Eileen Collins.safetensors (output)")
    same = again.compare(image_a=executor.values(again, astronaut(200)), identities_b=loaded[0])
    other = again.compare(image_a=executor.values(again, hanks()), identities_b=loaded[0])
    info, faces, score, verdict, preview, low, different = finish(
        executor, again, loaded[2], loaded[1], same[0], same[1], same[2], other[0], other[1]
    )

    assert score > 0.8
    assert "same person" in verdict
    assert "Eileen Collins" in verdict
    assert preview.shape[-1] == 3
    assert low < 0.4
    assert "different people" in different
    assert "dlib_resnet_v1" in info
    assert faces.ndim == 4


def test_same_picture_is_the_same_person(executor: Executor) -> None:
    graph = Graph()
    photo = executor.values(graph, astronaut())

    (score,) = finish(executor, graph, graph.compare(image_a=photo, image_b=photo)[0])

    assert score == pytest.approx(1, abs=0.15)  # cosine 1; the scale's 1 is the mean of different photos


@pytest.mark.every_comfyui
def test_photos_of_different_sizes_are_one_person(executor: Executor) -> None:
    graph = Graph()
    photos = executor.values(graph, astronaut(), torch.cat([astronaut(200), astronaut(200).flip(2)]), hanks(), NOBODY)
    node = graph.encode(photos)

    text, sheet = finish(executor, graph, node[2], node[1])

    assert "Ada: 3 of 5 photos used" in text
    lines = text.splitlines()
    assert "photo 4: left out" in lines[4]
    assert "does not show the same person" in lines[4]
    assert "photo 5: left out" in lines[5]
    assert "no face found in its 80x60 px" in lines[5]
    assert lines[-1] == "identities: Ada"
    assert 3 * 256 < sheet.shape[2] < 4 * 256  # three cards a row, two rows


def test_chained_nodes_of_one_name_add_photos(executor: Executor, folder: Path) -> None:
    graph = Graph()
    first = graph.encode(executor.values(graph, astronaut()))
    second = graph.encode(executor.values(graph, astronaut(200).flip(2)), identities=first[0])
    third = graph.encode(executor.values(graph, hanks()), name="Tom", identities=second[0])

    added, text, paths = finish(executor, graph, second[2], third[2], graph.save_identity(third[0])[0])

    assert "added to 1 from before" in added
    assert "photo 2: used" in added
    assert text.splitlines()[-1] == "identities: Ada, Tom"
    assert sorted(path.name for path in folder.iterdir()) == ["Ada.safetensors", "Tom.safetensors"]
    assert len(paths.splitlines()) == 2


def test_name_of_somebody_else_is_refused(executor: Executor) -> None:
    graph = Graph()
    first = graph.encode(executor.values(graph, astronaut()))
    second = graph.encode(executor.values(graph, hanks()), identities=first[0])

    said = refused(executor, graph, second[2])

    assert "'Ada'" in said
    assert "different people" in said
    assert "another name" in said


def test_everybody_in_the_photo(executor: Executor) -> None:
    graph = Graph()
    node = graph.encode(executor.values(graph, friends()), people="everybody in the photo", name="Rachel, Monica")
    more = graph.encode(
        executor.values(graph, astronaut()), people="everybody in the photo", name="person", identities=node[0]
    )

    text, last = finish(executor, graph, node[2], more[2])

    names = text.splitlines()[-1].removeprefix("identities: ").split(", ")
    assert names[:4] == ["Rachel", "Monica", "person 1", "person 2"]
    assert len(names) in (5, 6)
    assert last.splitlines()[-1] == f"identities: {', '.join(names)}, person {len(names) - 1}"


def test_wrong_names_of_everybody(executor: Executor) -> None:
    photo = astronaut(128)
    for name, said in (("A, B, A", "'A' is given twice"), ("A, B", "2 names for 1 faces"), ("A,", "name of 0")):
        graph = Graph()
        node = graph.encode(executor.values(graph, photo), people="everybody in the photo", name=name)

        assert said in refused(executor, graph, node[2])


def test_no_face_is_an_error_or_passes(executor: Executor) -> None:
    graph, other = Graph(), Graph()
    known = other.encode(executor.values(other, astronaut()))
    passing = other.encode(executor.values(other, NOBODY), name="B", identities=known[0], no_face="pass through")

    said = refused(executor, graph, graph.encode(executor.values(graph, NOBODY))[2])
    text, sheet = finish(executor, other, passing[2], passing[1])

    assert "picture 1 (80x60 px)" in said
    assert "no face found" in text
    assert text.splitlines()[-1] == "identities: Ada"
    assert sheet.ndim == 4


def test_nan_and_empty_name_are_refused(executor: Executor) -> None:
    bad = astronaut().index_fill(1, torch.tensor([2]), float("inf"))
    graph, other = Graph(), Graph()

    assert "NaN or infinite" in refused(executor, graph, graph.encode(executor.values(graph, bad))[2])
    assert "1 to 100" in refused(executor, other, other.encode(executor.values(other, astronaut()), name=" ")[2])


# files


def identity(name: str = "Ada", embedder: str = "dlib_resnet_v1", crops: int = 0) -> Identity:
    vector = torch.nn.functional.normalize(torch.arange(1, 129).float(), dim=0)
    return Identity(name, {embedder: vector}, torch.full((crops, 3, 512, 512), 0.5))


@pytest.mark.every_comfyui
def test_names_never_leave_the_folder(executor: Executor, folder: Path) -> None:
    graph = Graph()
    photo = executor.values(graph, astronaut())
    climbing = graph.encode(photo, name="../../up")
    saved = [graph.save_identity(climbing[0], folder=f"{root}/headsup/identities") for root in ("output", "models")]
    prefixed = graph.save_identity(climbing[0], prefix="../x/")

    paths = [Path(path) for path in finish(executor, graph, *(node[0] for node in [*saved, prefixed]))]

    assert [path.parent for path in paths] == [
        folder,
        executor.base / "models" / "headsup" / "identities",
        folder,
    ]
    assert all(path.is_file() and path.parent.resolve() == path.resolve().parent for path in paths)


def test_alike_names_get_files_of_their_own(executor: Executor, folder: Path) -> None:
    graph = Graph()
    first = graph.encode(executor.values(graph, astronaut()), name="A/B")
    second = graph.encode(executor.values(graph, hanks()), name="a:b", identities=first[0])

    finish(executor, graph, graph.save_identity(second[0])[0])

    assert sorted(path.name for path in folder.iterdir()) == ["A_B.safetensors", "a_b 2.safetensors"]


def test_loaded_people_are_joined_and_named(executor: Executor, folder: Path) -> None:
    save_identity(folder, identity("Ada"), "one")
    save_identity(folder, identity("Ada"), "two")
    graph, other = Graph(), Graph()
    one = load(graph, "one.safetensors (output)")
    two = load(graph, "two.safetensors (output)", name="Grace", identities=one[0])
    first = load(other, "one.safetensors (output)")

    (info,) = finish(executor, graph, load(graph, "none", identities=two[0])[2])
    said = refused(executor, other, load(other, "two.safetensors (output)", identities=first[0])[2])

    assert info.splitlines()[-1] == "identities: Ada, Grace"
    assert "'Ada'" in said
    assert "another name" in said


@pytest.mark.every_comfyui
def test_replaced_identity_is_read_again(executor: Executor, folder: Path) -> None:
    def name_now() -> str:
        graph = Graph()
        return finish(executor, graph, load(graph, "x.safetensors (output)")[2])[0].splitlines()[0]

    save_identity(folder, identity("Ada"), "x")
    assert name_now() == "name: Ada"
    save_identity(folder, identity("Bob"), "x")
    assert name_now() == "name: Bob"


@pytest.mark.parametrize("kind", ["cut short", "of another kind", "empty"])
def test_bad_identity_file_is_named(executor: Executor, folder: Path, bundled_model: Path, kind: str) -> None:
    path = save_identity(folder, identity(crops=1), "bad")
    whole = path.read_bytes()
    path.write_bytes(
        {"cut short": whole[: len(whole) // 2], "of another kind": bundled_model.read_bytes(), "empty": b""}[kind]
    )
    graph = Graph()

    assert "bad.safetensors" in refused(executor, graph, load(graph, "bad.safetensors (output)")[2])


@pytest.mark.every_comfyui
def test_unknown_and_climbing_choices_are_refused(executor: Executor, folder: Path) -> None:
    save_identity(executor.base / "output", identity(), "secret")
    for choice in ("gone.safetensors (output)", "../../secret.safetensors (output)"):
        graph = Graph()
        executor.record(graph, load(graph, choice)[2])
        result = executor.run(graph)
        assert result.status in ("rejected", "error")  # 0.3.75 leaves it to the node
        assert choice.split("/")[-1].split(" ")[0] in result.complaint


@pytest.mark.every_comfyui
def test_models_list_has_no_people(executor: Executor, folder: Path) -> None:
    save_identity(executor.base / "models" / "headsup" / "identities", identity())

    info = executor.object_info()

    assert "Ada.safetensors (models)" in str(info["HeadsUpLoadIdentity"]["input"])
    assert "Ada.safetensors" not in str(info["HeadsUpLoadModel"]["input"])


def test_embedding_of_another_recogniser(executor: Executor, folder: Path) -> None:
    """Without photos it is refused, with photos they are embedded again."""
    save_identity(folder, identity("Bare", "sface_2021dec"))
    save_identity(folder, replace(identity("Shown", "sface_2021dec"), crops=torch.full((1, 3, 512, 512), 0.5)))
    graph, other = Graph(), Graph()

    said = refused(
        executor,
        graph,
        graph.compare(
            image_a=executor.values(graph, astronaut()), identities_b=load(graph, "Bare.safetensors (output)")[0]
        )[0],
    )
    verdict = other.compare(
        image_a=executor.values(other, astronaut()), identities_b=load(other, "Shown.safetensors (output)")[0]
    )

    assert [name for name in ("'Bare'", "sface_2021dec", "dlib_resnet_v1") if name not in said] == []
    assert "different people" in finish(executor, other, verdict[1])[0]


# comparing


def test_best_of_several_people_is_named(executor: Executor) -> None:
    graph = Graph()
    first = graph.encode(executor.values(graph, hanks()), name="Tom")
    both = graph.encode(executor.values(graph, astronaut()), name="Eileen", identities=first[0])
    node = graph.compare(identities_a=both[0], image_b=executor.values(graph, astronaut(200)))

    (verdict,) = finish(executor, graph, node[1])

    assert verdict.startswith("Eileen and image_b: same person")


def test_comparing_without_a_face(executor: Executor) -> None:
    graph, other = Graph(), Graph()
    passing = graph.compare(
        no_face="pass through", image_a=executor.values(graph, NOBODY), image_b=executor.values(graph, astronaut())
    )
    stopping = other.compare(image_a=executor.values(other, astronaut()), image_b=executor.values(other, NOBODY))

    score, verdict = finish(executor, graph, passing[0], passing[1])

    assert score == 0
    assert "no face found in image_a" in verdict
    assert "no face" in refused(executor, other, stopping[0])


def test_sides_must_be_one_each(executor: Executor) -> None:
    for inputs, said in (
        ({"image_a": astronaut()}, "side b needs image_b or identities_b, neither is"),
        ({"image_b": astronaut()}, "side a needs image_a or identities_a, neither is"),
        ({"image_a": torch.cat([astronaut()] * 2), "image_b": astronaut()}, "image_a has 2 pictures"),
    ):
        graph = Graph()
        linked = {name: executor.values(graph, image) for name, image in inputs.items()}
        assert said in refused(executor, graph, graph.compare(**linked)[0])
    graph = Graph()
    photo = executor.values(graph, astronaut())
    known = graph.encode(photo)
    node = graph.compare(image_a=photo, identities_a=known[0], image_b=photo)
    assert "both are connected" in refused(executor, graph, node[0])
