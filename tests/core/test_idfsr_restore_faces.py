"""IDFSR in whole pictures."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from harness.refusals import raises_naming

from headsup_core.errors import InputError
from headsup_core.faces.alignment import template
from headsup_core.faces.face import Face
from headsup_core.faces.faces import Faces
from headsup_core.faces.masks import Outline, faces_mask
from headsup_core.host import PlainHost
from headsup_core.identity.identity import Identity
from headsup_core.idfsr.idfsr_model import IDFSRModel
from headsup_core.idfsr.network.idfsr_architecture import IDFSRArchitecture
from headsup_core.idfsr.network.idfsr_unet import IDFSRNetwork
from headsup_core.idfsr.restore_faces import PersonOptions, PersonResult, PersonSession, restore_people
from headsup_core.restoring.tiling.aligned_crops import soft_square

SMALL = IDFSRArchitecture(
    32, 8, (1, 2), (1, 2), 1, residuals=1, embedding=6, embedder="ours", token_width=8, style=8, time=8, groups=4,
    steps=2,
)  # fmt: skip
CPU = PlainHost("cpu", quiet=True)


@pytest.fixture(scope="module")
def model() -> IDFSRModel:
    network = IDFSRNetwork(SMALL).eval()
    generator = torch.Generator().manual_seed(0)
    for parameter in network.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator) * 0.2
    return IDFSRModel(network, SMALL, "small-1")


def face(eyes: float, x: float, y: float, identity: str | None) -> Face:
    points = (template("ffhq", 512) - template("ffhq", 512).mean(0)) * (eyes / 126) + torch.tensor([x, y])
    low, high = points.amin(0).tolist(), points.amax(0).tolist()
    return Face((low[0], low[1], high[0], high[1]), points, 0.9, identity=identity)


def person(name: str, axis: int = 0) -> Identity:
    crop = torch.rand(1, 3, 512, 512, generator=torch.Generator().manual_seed(axis))
    return Identity(name, {"ours": torch.eye(6)[axis]}, crop)


def picture(count: int = 1) -> torch.Tensor:
    return torch.rand(count, 3, 80, 100, generator=torch.Generator().manual_seed(7))


def restored(image: torch.Tensor, faces: Faces, people: list[Identity], model: IDFSRModel, **more: Any) -> PersonResult:
    return restore_people(image, faces, people, PersonSession(model, **{"host": CPU, **more}))


class Recogniser:
    """Sees the same vector in every face."""

    name = analyzer_id = "test"
    embedder_id = "ours"

    def __init__(self, vector: torch.Tensor) -> None:
        self._vector = vector

    def embed(self, image: torch.Tensor, faces: Faces) -> Faces:
        return faces.map(lambda one: replace(one, embedding=self._vector))


def test_faces_of_a_grey_picture_stay_grey(model: IDFSRModel) -> None:
    """Whatever colours the network and the person's photos have."""
    faces = Faces(((face(7.0, 40, 40, "Ada"),),), 80, 100)
    grey = picture()[:, :1].expand(-1, 3, -1, -1).contiguous()
    coloured = restored(picture(), faces, [person("Ada")], model)
    result = restored(grey, faces, [person("Ada")], model)
    assert not torch.equal(coloured.image, picture())
    assert not torch.equal(result.image, grey)
    assert (result.image.amax(1) - result.image.amin(1)).max() < 1e-6


def test_assigned_faces_change_and_others_keep_every_bit(model: IDFSRModel) -> None:
    """The crops overlap: the left face's reaches over the right face."""
    faces = Faces(((face(7.0, 40, 40, "Ada"), face(7.0, 58, 40, None)),), 80, 100)
    image = picture()
    before = image.clone()
    result = restored(image, faces, [person("Ada")], model)
    assert torch.equal(image, before)
    changed = (result.image != image).any(1)[0]
    assert changed[40, 40]
    other = faces_mask(faces, outline=Outline(feather=0.0), only=[1])[0, 0] > 0
    assert not changed[other].any()
    unprotected = Faces(((faces[0][0],),), 80, 100)
    alone = restored(image, unprotected, [person("Ada")], model)
    assert (alone.image != image).any(1)[0][other].any()  # else the test shows nothing
    assert [outcome.restored for outcome in result.outcomes] == [True, False]
    assert str(result.outcomes[1]) == "picture 1, face 2 (nobody): left as it is, no identity is assigned to it"


def test_a_batch_is_restored_picture_by_picture(model: IDFSRModel) -> None:
    image = picture(3)
    here = (face(6.0, 50, 40, "Ada"),)
    faces = Faces((here, (), (face(6.0, 30, 30, "Bea"),)), 80, 100)
    people = [person("Ada"), person("Bea", 1)]
    result = restored(image, faces, people, model)
    assert result.image.shape == image.shape
    assert torch.equal(result.image[1], image[1])
    alone = restored(image[:1], Faces((here,), 80, 100), people, model)
    assert torch.equal(alone.image[0], result.image[0])
    # who it is, and the seed, decide
    other = restored(image[:1], Faces((here,), 80, 100), [person("Ada", 2)], model)
    assert not torch.equal(other.image, alone.image)
    seeded = restored(image[:1], Faces((here,), 80, 100), people, model, options=PersonOptions(seed=1))
    assert not torch.equal(seeded.image, alone.image)


def test_faces_found_at_another_size_are_scaled(model: IDFSRModel) -> None:
    image = picture()
    small = Faces(((face(3.0, 24.75, 19.75, "Ada"),),), 40, 50)
    large = small.scaled_to(80, 100)
    one, other = (restored(image, faces, [person("Ada")], model).image for faces in (small, large))
    assert torch.equal(one, other)
    assert not torch.equal(one, image)


def test_a_face_is_not_replaced_by_a_smaller_one(model: IDFSRModel) -> None:
    image, faces = picture(), Faces(((face(12.0, 50, 40, "Ada"),),), 80, 100)
    result = restored(image, faces, [person("Ada")], model)
    assert torch.equal(result.image, image)
    assert "its eyes are 12 px apart, the model's 8: it would become coarser" in result.outcomes[0].note
    forced = restored(image, faces, [person("Ada")], model, options=PersonOptions(allow_smaller=True))
    assert not torch.equal(forced.image, image)


def test_a_wrong_person_is_restored_with_a_warning(model: IDFSRModel) -> None:
    image, faces = picture(), Faces(((face(6.0, 50, 40, "Ada"),),), 80, 100)
    for axis, warned in ((0, False), (3, True)):
        analyzer: Any = Recogniser(torch.eye(6)[axis])
        outcome = restored(image, faces, [person("Ada")], model, analyzer=analyzer).outcomes[0]
        assert outcome.restored
        assert outcome.score == pytest.approx(0.0 if warned else 1 / 0.65)
        assert ("WARNING: it does not look like Ada" in outcome.note) == warned


def test_the_fitted_embedding_is_used(model: IDFSRModel) -> None:
    image, faces = picture(), Faces(((face(6.0, 50, 40, "Ada"),),), 80, 100)
    plain = person("Ada")
    fitted = replace(plain, fitted={"small-1": torch.eye(6)[4] * 2})
    foreign = replace(plain, fitted={"other-2": torch.eye(6)[4] * 2})
    results = [restored(image, faces, [one], model).image for one in (plain, fitted, foreign)]
    assert not torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])
    with raises_naming(InputError, "small-1", 5, 6):
        restored(image, faces, [replace(plain, fitted={"small-1": torch.ones(5)})], model)


def test_it_can_be_cancelled_between_steps(model: IDFSRModel) -> None:
    class Stop(BaseException):
        pass

    class Cancelling(PlainHost):
        calls = 0

        def check_cancelled(self) -> None:
            self.calls += 1
            if self.calls == 3:
                raise Stop

    host = Cancelling("cpu", quiet=True)
    faces = Faces(((face(6.0, 30, 40, "Ada"), face(5.0, 70, 40, "Ada")),), 80, 100)
    with pytest.raises(Stop):
        restored(picture(), faces, [person("Ada")], model, host=host)
    assert host.calls == 3  # the first step of the second face


def test_the_crop_fades_out_at_its_border() -> None:
    mask = soft_square(32, 0.25)[0, 0]
    assert mask[16, 16] == 1
    assert mask[8, 16] == 1
    assert mask[0, 16] == 0
    assert mask[4, 16] == pytest.approx(0.5)
    assert bool((soft_square(8, 0.0) == 1).all())


def test_wrong_use_is_named(model: IDFSRModel) -> None:
    faces = Faces(((face(6.0, 50, 40, "Bea"),),), 80, 100)
    outcome = restored(picture(), faces, [person("Ada")], model).outcomes[0]
    assert outcome.note == "no identity of that name was given (Ada)"
    with pytest.raises(InputError):
        restored(picture(), faces, [person("Ada"), person("Ada")], model)
    with raises_naming(InputError, "arcface", "ours"):
        restored(picture(), faces, [replace(person("Ada"), embeddings={"arcface": torch.ones(1)})], model)
    with raises_naming(InputError, "feather", 0.7, 0, 0.5):
        PersonOptions(feather=0.7)
