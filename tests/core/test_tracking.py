"""Frames of a video: names go from frame to frame, and a face that is missed once does not flicker."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from harness.faces import face_at
from harness.people_stubs import EMBEDDER, GREEN, RED, ColourAnalyzer, faces_of, paint, person
from harness.stand_ins import ModelMaker
from harness.telling import telling

import headsup_core as hu
from headsup_core.benchmark.recognising.face_flicker import changes, judged, measure_flicker, pan_over
from headsup_core.errors import InputError
from headsup_core.faces import Face, Faces
from headsup_core.restoring.people.tracking import MOST_MISSED, FaceTracker
from headsup_core.restoring.tiling import tile_memory
from headsup_core.restoring.tiling.tile_memory import check_batch_fits

HOST = hu.PlainHost("cpu", quiet=True)
FRAMES, MISSED, STEP = 10, 6, 3
BLANK = torch.full((1, 3, 120, 180), 0.4)


def _place(frame: int) -> Face:
    return face_at(50 + STEP * frame, 60, 16)


def _pan(missed: Sequence[int] = ()) -> tuple[torch.Tensor, Faces]:
    """A red face that moves `STEP` pixels a frame, and where a detector that misses some frames finds it."""
    frames = [paint(BLANK, _place(index), RED) for index in range(FRAMES)]
    found = tuple(() if index in missed else (_place(index),) for index in range(FRAMES))
    return torch.cat(frames), Faces(found, 120, 180)


def test_what_flickers_is_what_differs_along_the_pan() -> None:
    """A frame that is a tenth lighter differs from both of its neighbours by 25.5 levels, in the box alone."""
    portrait = torch.rand(1, 3, 40, 60, generator=torch.Generator().manual_seed(0)) * 0.8
    pan = pan_over(portrait, 4, 40, STEP, scale=2)
    assert pan.given.shape == (4, 3, 20, 25)
    pictures, box = pan.truth.clone(), (8, 5, 30, 20)
    pictures[2, :, 5:20, 8:30] += 0.1
    found = changes(pictures, STEP, [box] * 4)
    assert found[0] == 0
    assert found[1] == pytest.approx(25.5, abs=1e-3)
    assert found[2] == pytest.approx(25.5 * (22 - STEP) / 22, abs=1e-3)  # the box stays while the lighter part moves
    told = judged("", [1.0, 5.0, 7.0, 2.0], [2])
    assert (told.steady, told.missed, told.worst) == (1.5, 6.0, 7.0)


def test_a_face_missed_in_one_of_ten_frames_does_not_flicker(make_model: ModelMaker) -> None:
    """The model brightens the faces that it is told of: a frame without one is seen."""
    model = telling(make_model, "mask").with_identities([person("Ada", RED)])
    pan = pan_over(paint(BLANK, face_at(100, 60, 16), RED), FRAMES, BLANK.shape[-2], STEP, scale=1)
    places = tuple((face_at(100 - STEP * index, 60, 16),) for index in range(FRAMES))
    faces = Faces(places, pan.given.shape[-2], pan.given.shape[-1])
    plain, found, alone, followed = measure_flicker(pan, faces, model, ColourAnalyzer(), HOST)
    assert plain.worst == 0
    assert alone.missed > 5 * found.missed
    assert followed.worst <= 1.5 * found.worst


def test_somebody_recognised_once_keeps_the_name(make_model: ModelMaker) -> None:
    model = telling(make_model, "mask").with_identities([person("Ada", RED), person("Grace", GREEN)])
    images, faces = _pan()
    images[5:] = torch.cat([paint(BLANK, _place(index), (0.6, 0.35, 0.35)) for index in range(5, FRAMES)])  # paler

    def names(*, frames: bool) -> list[str | None]:
        options = hu.RestoreOptions(scale=1, identity_gate="off", frames=frames)
        result = hu.restore(images, model, options, faces=faces, analyzer=ColourAnalyzer(), host=HOST)
        assert result.faces is not None
        return [face.identity for one in result.faces for face in one]

    assert names(frames=True) == ["Ada"] * FRAMES


def test_somebody_else_in_the_same_place_does_not_inherit_the_name() -> None:
    analyzer, tracker = ColourAnalyzer(embedder=EMBEDDER), FaceTracker()
    here = paint(BLANK, _place(0), RED)
    first = analyzer.embed(here, faces_of(here, _place(0)))
    tracker.follow(first, here, analyzer)
    tracker.learn(first.map(lambda face: replace(face, identity="Ada", identity_score=1.0)))
    for colour, name in ((RED, "Ada"), (GREEN, None)):
        picture = paint(BLANK, _place(1), colour)
        followed = tracker.follow(faces_of(picture, _place(1)), picture, analyzer)
        assert followed[0][0].identity == name


def test_a_face_is_filled_in_where_its_movement_leads_and_not_for_ever() -> None:
    tracker = FaceTracker()
    for index in range(3):
        tracker.follow(faces_of(BLANK, _place(index)), BLANK)
    for index in range(3, 3 + MOST_MISSED):
        filled = tracker.follow(faces_of(BLANK), BLANK)
        assert torch.allclose(filled[0][0].landmarks, _place(index).landmarks, atol=1e-3)
    assert tracker.follow(faces_of(BLANK), BLANK).count == 0


def test_what_was_found_once_is_not_filled_in() -> None:
    tracker = FaceTracker()
    tracker.follow(faces_of(BLANK, _place(0)), BLANK)
    assert tracker.follow(faces_of(BLANK), BLANK).count == 0


def test_two_faces_that_swap_sizes_of_lists_keep_their_names() -> None:
    tracker, left, right = FaceTracker(), face_at(50, 60, 16), face_at(130, 60, 16)
    named = [replace(left, identity="Ada", identity_score=1.0), replace(right, identity="Grace", identity_score=0.9)]
    tracker.follow(faces_of(BLANK, left, right), BLANK)
    tracker.learn(faces_of(BLANK, *named))
    moved = tracker.follow(faces_of(BLANK, right.moved(4, 0), left.moved(-4, 0)), BLANK)
    assert {face.identity: round(float(face.landmarks[:, 0].mean())) for face in moved[0]} == {"Ada": 46, "Grace": 134}


def test_references_are_encoded_once_for_all_frames(make_model: ModelMaker) -> None:
    model = telling(make_model, "reference", "aligned").with_identities([person("Ada", RED)])
    images, faces = _pan()
    result = hu.restore(images, model, scale=1, faces=faces, analyzer=ColourAnalyzer(), host=HOST, frames=True)
    assert result.report.options.tile_batch  # as it was resolved, not 0 for automatic
    codec = model.one_step.codec
    assert len(codec.sizes) == FRAMES + 1  # pyright: ignore[reportAttributeAccessIssue] - a counting codec


class _Watching(hu.PlainHost):
    """Looks at what tensors hold when a third of the work is done, and when two thirds are."""

    def __init__(self, looks: tuple[int, int]) -> None:
        super().__init__("cpu", quiet=True)
        self.looks, self.held, self.asked = looks, list[int](), 0

    def check_cancelled(self) -> None:
        """The core asks so before each tile."""
        self.asked += 1
        if self.asked in self.looks:
            gc.collect()
            tensors = [one for one in gc.get_objects() if type(one) is torch.Tensor]
            stores = {one.untyped_storage().data_ptr(): one.untyped_storage().nbytes() for one in tensors}
            self.held.append(sum(stores.values()))


def test_nothing_is_kept_of_frames_that_are_done_but_their_results(make_model: ModelMaker) -> None:
    """Sixty frames; a latent would be 5 kB a frame, and what is known of a face is less than a tenth of that."""
    model = telling(make_model, "reference").with_identities([person("Ada", RED)])
    images, faces = _pan()
    batch, found = images.repeat(6, 1, 1, 1), Faces(faces.pictures * 6, 120, 180)
    host = _Watching((100, 200))
    hu.restore(batch, model, scale=1, faces=found, analyzer=ColourAnalyzer(), host=host, frames=True)
    assert host.asked == 5 * len(batch)  # so the looks are twenty frames apart
    early, late = host.held
    results = 20 * 2 * images[0].nbytes  # the picture after and before
    assert results <= late - early < results + 20 * 1000


def test_a_batch_that_cannot_fit_is_refused_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    import psutil

    one_gigabyte = type("Memory", (), {"available": 10**9})
    monkeypatch.setattr(psutil, "virtual_memory", lambda: one_gigabyte)
    check_batch_fits(1000, 1000, 39)
    with pytest.raises(InputError) as caught:
        check_batch_fits(1000, 1000, 500)
    assert "give 40 at a time" in str(caught.value)
    assert "python -m headsup_core upscale" in str(caught.value)
    assert tile_memory.FLOAT * 6 * 40 * 10**6 < 10**9
