"""Known people in a restoration: where the condition lies, what it changes, and what stays bit for bit as it was."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from harness.faces import face_at
from harness.people_stubs import GREEN, RED, ColourAnalyzer, faces_of, paint, person
from harness.records import with_record
from harness.refusals import raises_naming
from harness.stand_ins import ModelMaker
from harness.telling import FACTOR, telling
from torch import nn

import headsup_core as hu
from headsup_core.faces import NOBODY, Face, Faces, registry
from headsup_core.faces.reference import face_location, warped_reference
from headsup_core.imaging.resizing import resize
from headsup_core.imaging.tile_plan import Tile
from headsup_core.models.one_step import OneStepModel
from headsup_core.restoring.headsup_model import HeadsUpModel
from headsup_core.restoring.people.conditions import Condition, Conditions, KnownFace
from headsup_core.restoring.people.injection import shares
from headsup_core.restoring.pipeline import restore_pictures
from headsup_core.restoring.session import Run, Session
from headsup_core.restoring.stages import restore_picture
from headsup_core.restoring.tiling.own_tiles import around_faces
from headsup_core.restoring.tiling.tiled_run import Tiling

HOST = hu.PlainHost("cpu", quiet=True)
LEFT, RIGHT = face_at(50, 60, 16), face_at(130, 60, 16)
ADA, GRACE = person("Ada", RED), person("Grace", GREEN)
ANALYZER = ColourAnalyzer([LEFT, RIGHT])


def photo(left: Sequence[float] = RED, right: Sequence[float] = GREEN) -> torch.Tensor:
    picture = torch.tensor([0.4, 0.43, 0.37]).view(1, 3, 1, 1).repeat(1, 1, 120, 180)  # no grey, which would stay grey
    return paint(paint(picture, LEFT, left), RIGHT, right)


def mask_of(face: Face, height: int = 120, width: int = 180) -> torch.Tensor:
    """Reduced to latents by area, and back as large as it was."""
    return F.interpolate(F.avg_pool2d(face_location(face, height, width), FACTOR), scale_factor=FACTOR)


@pytest.mark.parametrize("tile", [None, 64, 96])
@pytest.mark.parametrize("margin", [0, 16])
def test_mask_lies_on_the_face_whatever_the_tiles(make_model: ModelMaker, tile: int | None, margin: int) -> None:
    """x0 = z + m inside a pass, weighted by m: the picture gains m^2."""
    model = telling(make_model, "mask", margin=margin).with_identities([ADA, GRACE], 1)
    options: dict[str, Any] = {"analyzer": ANALYZER, "identity_gate": "off", "host": HOST}
    result = hu.restore(photo(), model, scale=1, tile=tile, overlap=32, **options)
    expected = (result.before + mask_of(LEFT) ** 2 + mask_of(RIGHT) ** 2).clamp(0, 1)
    assert torch.allclose(result.image, expected, atol=1e-5)
    assert (result.image - result.before).max() > 0.3


def test_each_face_gets_its_own_reference(make_model: ModelMaker) -> None:
    """x0 = z + r where r is the warped reference as the network's codec has it."""
    model = telling(make_model, "reference").with_identities([ADA, GRACE], 1)
    result = hu.restore(photo(), model, scale=1, analyzer=ANALYZER, host=HOST)
    expected = result.before
    for face, who in ((LEFT, ADA), (RIGHT, GRACE)):
        expected = expected + mask_of(face) * warped_reference(who.crops, face, 120, 180)[0]
    assert torch.allclose(result.image, expected.clamp(0, 1), atol=1e-5)
    assert model.one_step.codec.sizes == [(120, 184)] * 3, "the picture, padded, and one reference a face"
    assert model.one_step.unet.calls == 3


def test_tiles_of_a_warped_reference_are_the_whole(make_model: ModelMaker) -> None:
    model = telling(make_model, "reference").with_identities([ADA], 1)
    whole = hu.restore(photo(), model, scale=1, analyzer=ANALYZER, host=HOST)
    for batch in (1, 3):
        tiled = hu.restore(photo(), model, scale=1, tile=64, overlap=32, tile_batch=batch, analyzer=ANALYZER, host=HOST)
        assert tiled.report.tiles > 5
        assert torch.allclose(tiled.image, whole.image, atol=1e-5)


def test_upright_reference_fills_the_tile_and_is_encoded_once(make_model: ModelMaker) -> None:
    model = telling(make_model, "reference", "aligned").with_identities([ADA], 1)
    batch = torch.cat([photo(), photo(GREEN, RED)])
    result = hu.restore(batch, model, scale=1, tile=64, overlap=32, analyzer=ANALYZER, host=HOST)
    reference = torch.tensor(RED).view(1, 3, 1, 1)
    for index, face in enumerate((LEFT, RIGHT)):
        before = result.before[index : index + 1]
        expected = (before + mask_of(face) * reference).clamp(0, 1)
        assert torch.allclose(result.image[index : index + 1], expected, atol=1e-5)
    tiles = 2 * result.report.tiles
    assert len(model.one_step.codec.sizes) == tiles + 1


def test_calls_can_share_upright_references(make_model: ModelMaker) -> None:
    model = telling(make_model, "reference", "aligned").with_identities([ADA], 1)
    options: dict[str, Any] = {"tile": 64, "overlap": 32, "analyzer": ANALYZER, "host": HOST}
    alone = hu.restore(photo(), model, scale=1, **options)
    encoded = model.one_step.codec.sizes
    encoded.clear()
    session = Session(model, hu.RestoreOptions(scale=1, tile=64, overlap=32), HOST, ANALYZER)
    for _ in range(2):
        assert torch.equal(restore_pictures(photo(), session).image, alone.image)
    assert len(encoded) == 2 * alone.report.tiles + 1
    assert [key[0] for key in session.references] == ["Ada"]


def test_only_tiles_with_a_known_face_take_another_pass(make_model: ModelMaker) -> None:
    model = telling(make_model, "mask").with_identities([ADA], 1)
    result = hu.restore(photo(), model, scale=1, tile=64, overlap=0, analyzer=ANALYZER, host=HOST)
    assert result.faces is not None
    plan = around_faces(Tiling(16, 0, 2, 4, FACTOR), result.faces[0]).plan(30, 46)
    mask = mask_of(LEFT, 120, 184)
    with_ada = sum(bool(tile.scaled(FACTOR).crop(mask).any()) for tile in plan.tiles)
    assert 0 < with_ada < len(plan.tiles) == result.report.tiles
    assert model.one_step.unet.calls == len(plan.tiles) + with_ada


def test_a_single_call_is_the_papers(make_model: ModelMaker) -> None:
    """x0 = z + m of one call: the picture gains m where the mixed way gains m^2; one UNet call for the one tile."""
    model = telling(make_model, "mask").with_identities([ADA], 1)
    options: dict[str, Any] = {"analyzer": ANALYZER, "identity_gate": "off", "host": HOST, "scale": 1}
    single = hu.restore(photo(), model, reference_call="single", **options)
    assert model.one_step.unet.calls == 1
    assert torch.allclose(single.image, (single.before + mask_of(LEFT)).clamp(0, 1), atol=1e-5)
    half = hu.restore(photo(), model.with_identities([ADA], 0.5), reference_call="single", **options)
    assert torch.allclose(half.image, (half.before + 0.5 * mask_of(LEFT)).clamp(0, 1), atol=1e-5)
    assert model.one_step.unet.calls == 3
    # a tile that shows nobody is the plain one
    tiled = hu.restore(photo(), model, reference_call="single", tile=64, overlap=32, **options)
    assert torch.allclose(tiled.image, single.image, atol=1e-5)


def test_a_single_call_knows_the_largest_face_of_a_tile(make_model: ModelMaker) -> None:
    model = telling(make_model, "reference").with_identities([ADA, GRACE], 1)
    large = face_at(130, 60, 24)
    found = faces_of(photo(), LEFT, large)
    options: dict[str, Any] = {"analyzer": ColourAnalyzer([LEFT, large]), "identity_gate": "off", "host": HOST}
    result = hu.restore(photo(), model, scale=1, faces=found, reference_call="single", **options)
    expected = result.before + warped_reference(GRACE.crops, large, 120, 180)[0]
    middle = (slice(None), slice(None), slice(8, 112), slice(8, 172))  # the codec sees the padded picture
    assert torch.allclose(result.image[middle], expected.clamp(0, 1)[middle], atol=1e-4)


def test_overlapping_faces_share() -> None:
    masks = torch.tensor([[[[1.0, 0.8, 0.2]]]]), torch.ones(1, 1, 1, 3)
    first, second = shares([Condition(mask, mask) for mask in masks])
    assert torch.allclose(first, torch.tensor([[[[0.5, 0.8 / 1.8, 0.2 / 1.2]]]]))
    assert torch.allclose(first + second, torch.ones(1, 1, 1, 3))


def toy(toy_model: OneStepModel) -> HeadsUpModel:
    return HeadsUpModel(with_record(toy_model, reference_placement="warped"))


def test_nobody_known_is_bit_equal(toy_model: OneStepModel) -> None:
    model, image = toy(toy_model), photo()
    plain = hu.restore(image, model, scale=1, tile=64, overlap=16, host=HOST)
    options: dict[str, Any] = {"tile": 64, "overlap": 16, "host": HOST, "analyzer": ANALYZER}
    strangers = hu.restore(photo(), model, scale=1, people=[person("Bob", (-0.5, -0.5, 0.7))], **options)
    none = hu.restore(image, model.with_identities([ADA], strength=0), scale=1, **options)
    forbidden = faces_of(image, replace(LEFT, identity=NOBODY), replace(RIGHT, identity=NOBODY))
    said = hu.restore(image, model.with_identities([ADA, GRACE], 1), scale=1, faces=forbidden, **options)
    for result in (strangers, none, said):
        assert torch.equal(result.image, plain.image)
    injected = hu.restore(image, model.with_identities([ADA], 1), scale=1, **options)
    assert (injected.image - plain.image).abs().max() > 1e-3
    assert "identity strength 0" in none.report.text()
    assert "face 0: Ada" in none.report.text()


def test_outside_of_the_masks_nothing_changes_before_the_decoder(toy_model: OneStepModel) -> None:
    """And strength mixes the two predictions: with a decoder that is linear, the pictures."""
    model = with_record(toy_model, reference_placement="warped")
    picture = photo()[..., :176]
    codec = toy_model.codec
    tiling = Tiling(64, 0, 2, 4, codec.factor)
    latents: list[torch.Tensor] = []
    for strength in (1.0, 0.5):
        run = Run(model, HOST, HOST.progress(9), model.prompt.embeddings(None), strength=strength, with_plain=True)
        seen: list[torch.Tensor] = []
        decoder = codec.decode

        def decode(latent: torch.Tensor, seen: list[torch.Tensor] = seen, decoder: Any = decoder) -> torch.Tensor:
            seen.append(latent)
            return decoder(latent)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(codec, "decode", decode)
            both = restore_picture(picture, run, tiling, [KnownFace(LEFT, "Ada", ADA.crops)])
        assert both.plain is not None
        assert not torch.equal(both.plain, both.picture)
        latents += seen
    full, plain, half, again = latents
    assert torch.equal(plain, again)
    small = F.avg_pool2d(face_location(LEFT, 120, 176), codec.factor)
    outside = (small == 0).expand_as(plain)
    assert torch.equal(full[outside], plain[outside])
    assert not torch.allclose(full[~outside], plain[~outside], atol=1e-4)
    assert torch.allclose(half, (full + plain) / 2, atol=1e-6)


def test_without_conditions_both_are_the_same_tensor(toy_model: OneStepModel) -> None:
    tiling = Tiling(64, 0, 2, 4, toy_model.codec.factor)
    run = Run(toy_model, HOST, HOST.progress(9), toy_model.prompt.embeddings(None), with_plain=True)
    both = restore_picture(photo()[..., :176], run, tiling)
    assert both.plain is both.picture


def test_handles_share_weights_and_do_not_know_each_others_people(toy_model: OneStepModel) -> None:
    loaded, image = toy(toy_model), photo()
    ada, grace = loaded.with_identities([ADA], 1), loaded.with_identities([GRACE], 0.5, 0.2)
    options: dict[str, Any] = {"tile": 64, "overlap": 16, "host": HOST, "analyzer": ANALYZER}
    first, second = hu.restore(image, ada, scale=1, **options).image, hu.restore(image, grace, scale=1, **options).image
    plain = hu.restore(image, loaded, scale=1, **options).image
    assert not torch.equal(first, second)
    for handle, before in ((ada, first), (loaded, plain), (grace, second)):
        assert torch.equal(hu.restore(image, handle, scale=1, **options).image, before)
    assert (loaded.identities, ada.identities) == ((), (ADA,))
    assert (grace.identity_strength, grace.match_threshold) == (0.5, 0.2)
    assert ada.one_step is grace.one_step


class Recording(hu.PlainHost):
    """Remembers what was on the device, one after the other, and runs out of memory when asked to."""

    def __init__(self, limit: int = 10**9) -> None:
        super().__init__("cpu", quiet=True)
        self.loaded: list[nn.Module] = []
        self.limit = limit

    def load(self, modules: Sequence[nn.Module], bytes_needed: int) -> None:
        self.loaded.append(modules[0])
        super().load(modules, bytes_needed)


def test_references_are_encoded_while_the_encoder_is_there(make_model: ModelMaker) -> None:
    host, model = Recording(), telling(make_model, "mask").with_identities([ADA], 1)
    hu.restore(photo(), model, scale=1, tile=64, overlap=16, analyzer=ANALYZER, host=host)
    vae, unet = model.one_step.codec.vae, model.one_step.unet
    assert host.loaded == [vae, vae, unet, vae]


def test_out_of_memory_in_the_unet_encodes_anew(make_model: ModelMaker) -> None:
    model = telling(make_model, "reference").with_identities([ADA], 1)
    whole = hu.restore(photo(), model, scale=1, tile=64, overlap=32, analyzer=ANALYZER, host=HOST)
    unet, host = model.one_step.unet, Recording()
    run = unet.forward

    def forward(sample: torch.Tensor, *args: Any, **others: Any) -> tuple[torch.Tensor]:
        if sample.shape[-1] > 10:
            raise torch.OutOfMemoryError
        return run(sample, *args, **others)

    object.__setattr__(unet, "forward", forward)
    small = hu.restore(photo(), model, scale=1, tile=64, overlap=32, analyzer=ANALYZER, host=host)
    assert small.report.tile == 32
    assert torch.allclose(small.image, whole.image, atol=1e-5)
    vae = model.one_step.codec.vae
    assert host.loaded == [vae, vae, unet, vae, vae, unet, vae]


# what is said, and who finds the faces


def test_report_and_faces(make_model: ModelMaker) -> None:
    model, batch = telling(make_model, "mask"), torch.cat([photo(), photo(GREEN, (0.0, 0.0, 1.0))])
    analyzer = ColourAnalyzer([LEFT, RIGHT])
    result = hu.restore(batch, model, scale=2, people=[ADA, GRACE], analyzer=analyzer, host=HOST)
    assert analyzer.looked == 2
    assert [line.split(" (score")[0] for line in result.report.faces] == [
        "picture 1, face 0: Ada",
        "picture 1, face 1: Grace",
        "picture 2, face 0: Grace",
        "picture 2, face 1: nobody, most like Ada 0.00",
    ]
    assert result.report.faces[0].endswith(", conditioned by reference")
    assert result.faces is not None
    assert (result.faces.height, result.faces.width) == (240, 360)
    assert [face.identity for face in result.faces[1]] == ["Grace", None]
    assert result.faces[0][0].identity_score == pytest.approx(1 / 0.65, abs=1e-3)
    assert torch.allclose(result.faces[0][0].landmarks, (LEFT.landmarks + 0.5) * 2 - 0.5)


def test_the_analyzer_that_faces_name_is_loaded_and_a_given_one_overrides(
    make_model: ModelMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, image = telling(make_model, "mask").with_identities([ADA], 1), photo()
    faces = ColourAnalyzer([LEFT]).detect(image)
    with raises_naming(hu.InputError, "'colours'"):  # not one that has a name in the registry
        hu.restore(image, model, scale=1, faces=faces, host=HOST)
    monkeypatch.setattr(registry, "BACKENDS", {**registry.BACKENDS, "colours": lambda _host: ColourAnalyzer([LEFT])})
    found = hu.restore(image, model, scale=1, faces=faces, host=HOST).faces
    assert found is not None
    assert found[0][0].identity == "Ada"
    with raises_naming(hu.InputError, "colour", "colours", "other"):
        hu.restore(
            image, HeadsUpModel(model.one_step), scale=1, faces=faces, analyzer=ColourAnalyzer(embedder="other"),
            host=HOST, people=[replace(ADA, crops=torch.zeros(0, 3, 512, 512))],
        )  # fmt: skip


def test_model_that_takes_nobody_says_so(make_model: ModelMaker) -> None:
    model = make_model(layers=1)
    plain = hu.restore(photo(), model, scale=1, host=HOST)
    result = hu.restore(photo(), model, scale=1, people=[ADA], analyzer=ANALYZER, host=HOST)
    assert torch.equal(result.image, plain.image)
    assert "stand-in takes no reference: people were recognised, but not injected" in result.report.text()
    assert "face 0: Ada" in result.report.text()
    assert result.report.faces[0].endswith("not conditioned")


def test_no_face_and_no_photos_are_said(make_model: ModelMaker) -> None:
    model = telling(make_model, "mask")
    nobody = hu.restore(photo(), model, scale=1, people=[ADA], analyzer=ColourAnalyzer(), host=HOST)
    assert "no face was found: nobody could be recognised there" in nobody.report.text()
    bare = replace(ADA, crops=torch.zeros(0, 3, 512, 512))
    result = hu.restore(photo(), model, scale=1, people=[bare], analyzer=ANALYZER, host=HOST)
    assert torch.equal(result.image, result.before.clamp(0, 1))
    assert "Ada has no photos, and stand-in takes nothing else" in result.report.text()


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda model: model.with_identities([ADA], strength=1.5), ("strength", 1.5, 0)),
        (lambda model: model.with_identities([ADA], match_threshold=2.0), ("threshold", 2, -1)),
        (lambda model: model.with_identities([ADA, ADA]), ("'Ada'",)),
    ],
)
def test_wrong_people_are_refused(make_model: ModelMaker, call: Any, named: tuple[object, ...]) -> None:
    with raises_naming(hu.InputError, *named):
        call(make_model())


def test_many_small_faces_ask_only_their_tiles(make_model: ModelMaker) -> None:
    one_step = telling(make_model, "mask").one_step
    faces = [face_at(20 + 40 * (n % 20), 30 + 60 * (n // 20), 5) for n in range(40)]
    known = [KnownFace(face, str(n), ADA.crops) for n, face in enumerate(faces)]
    conditions = Conditions(known, one_step, HOST)
    plan = Tiling(16, 0, 2, 4, FACTOR).plan(40, 200)
    assert conditions.prepare(plan.tiles, 0)
    passes = sum(len(conditions.of(tile)) for tile in plan.tiles)
    assert 40 <= passes <= 80
    assert not conditions.prepare(plan.tiles, 0)
    assert conditions.of(Tile(*vars(plan.tiles[0]).values())) is conditions.of(plan.tiles[0])


def test_resized_reference_matches_the_enlargement(make_model: ModelMaker) -> None:
    """At x2 faces and masks are those of the output."""
    model = telling(make_model, "mask").with_identities([ADA], 1)
    options: dict[str, Any] = {"analyzer": ANALYZER, "identity_gate": "off", "host": HOST}
    result = hu.restore(photo(), model, scale=2, faces=Faces(((LEFT,),), 120, 180), **options)
    expected = (resize(photo(), 240, 360) + mask_of(LEFT.scaled(2, 2), 240, 360) ** 2).clamp(0, 1)
    assert torch.allclose(result.image, expected, atol=1e-5)
