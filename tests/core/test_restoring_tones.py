"""Grey pictures come out grey and tinted ones with their tint, through the whole restore path, with people, too."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

import headsup_core as hu
from headsup_core.faces import Face
from headsup_core.faces.alignment import template
from headsup_core.host import PlainHost
from headsup_core.imaging.color import COLOR_FIXES
from headsup_core.models.one_step import OneStepModel
from headsup_core.restoring.headsup_model import HeadsUpModel
from headsup_core.restoring.people.conditions import KnownFace
from headsup_core.restoring.toned import Tones

HOST = PlainHost("cpu", quiet=True)
BROWN = (1.0, 220 / 255, 170 / 255)


def portrait(side: int = 32) -> torch.Tensor:
    picture = Image.fromarray(data.astronaut()[:256, 100:356]).resize((side, side), Image.Resampling.BICUBIC)
    return torch.from_numpy(np.asarray(picture).astype(np.float32) / 255).permute(2, 0, 1)[None]


def grey(picture: torch.Tensor) -> torch.Tensor:
    return ((picture.mean(1, keepdim=True) * 255).round() / 255).expand_as(picture).clone()


def brown(picture: torch.Tensor) -> torch.Tensor:
    return ((grey(picture) * torch.tensor(BROWN).view(1, 3, 1, 1)) * 255).round() / 255


def spread(picture: torch.Tensor) -> torch.Tensor:
    return picture.amax(1) - picture.amin(1)


def hue(picture: torch.Tensor) -> torch.Tensor:
    red, green, blue = picture.double().unbind(1)
    return torch.rad2deg(torch.atan2(3**0.5 * (green - blue), 2 * red - green - blue))


@pytest.mark.parametrize("color_fix", COLOR_FIXES)
def test_grey_in_is_grey_out(toy_model: OneStepModel, color_fix: str) -> None:
    """The network has random weights and paints every colour there is."""
    coloured = hu.restore(portrait(), HeadsUpModel(toy_model), scale=2, color_fix=color_fix, host=HOST).image
    assert spread(coloured).max() > 0.1
    result = hu.restore(grey(portrait()), HeadsUpModel(toy_model), scale=2, color_fix=color_fix, host=HOST)
    assert spread(result.image).max() == 0
    assert spread(result.before).max() == 0
    assert result.image.std() > 0.001
    assert not torch.equal(result.image, result.before)


@pytest.mark.parametrize("strength", [1.0, 0.5, 0.0])
def test_a_tint_keeps_its_hue_within_two_degrees(toy_model: OneStepModel, strength: float) -> None:
    options = {"scale": 2, "strength": strength, "color_fix": "wavelet"}
    result = hu.restore(brown(portrait()), HeadsUpModel(toy_model), host=HOST, **options)
    wanted = float(hue(torch.tensor(BROWN).view(1, 3, 1, 1)))
    for picture in (result.image, result.before):
        shown = spread(picture) > 6 / 255
        assert shown.float().mean() > 0.3
        assert (hue(picture)[shown] - wanted).abs().max() < 2


def test_pictures_of_a_batch_are_looked_at_one_by_one(toy_model: OneStepModel) -> None:
    model = HeadsUpModel(toy_model)
    together = torch.cat((portrait(), grey(portrait()), brown(portrait())))
    result = hu.restore(together, model, scale=2, host=HOST)
    for index in range(3):
        alone = hu.restore(together[index : index + 1], model, scale=2, host=HOST)
        assert torch.equal(result.image[index : index + 1], alone.image)
    assert spread(result.image[:1]).max() > 0.1
    assert spread(result.image[1:2]).max() == 0


def test_nothing_is_done_to_colour_pictures() -> None:
    tones = Tones.of(portrait(64))
    assert tones.pictures == (None,)
    image = torch.rand(1, 3, 9, 9)
    assert tones.apply(image) is image
    known = {0: KnownFace(Face((0, 0, 9, 9), template("ffhq", 32), 1.0), "Ada", image)}
    assert tones.references(0, known, (9, 9))[0] is known[0]


def test_a_colour_reference_gives_structure_and_no_colour() -> None:
    face = Face((0.0, 0.0, 30.0, 30.0), template("ffhq", 32), 1.0)
    known = {2: KnownFace(face, "Ada", torch.rand(1, 3, 64, 64))}
    tones = Tones.of(torch.cat((grey(portrait()), brown(portrait()), portrait())))
    greyed, browned, plain = (tones.references(index, known, (32, 32))[2] for index in range(3))
    assert spread(greyed.crop).max() == 0
    wanted = float(hue(torch.tensor(BROWN).view(1, 3, 1, 1)))
    assert (hue(browned.crop)[spread(browned.crop) > 0.05] - wanted).abs().max() < 2
    assert plain.crop is known[2].crop
    assert len({greyed.name, browned.name, plain.name}) == 3  # encoded ones are kept by name
    assert greyed.crop.std() > 0.1


def test_a_half_grey_picture_gets_a_reference_as_the_face_is() -> None:
    picture = portrait(64).clone()
    picture[..., :32] = grey(picture)[..., :32]
    tones = Tones.of(picture)
    for x, is_grey in ((0.0, True), (34.0, False)):
        face = Face((x, 0.0, x + 28, 60.0), template("ffhq", 32), 1.0)
        known = {0: KnownFace(face, "Ada", torch.rand(1, 3, 64, 64))}
        assert (float(spread(tones.references(0, known, (64, 64))[0].crop).max()) == 0) == is_grey


def test_a_black_mask_is_said_and_costs_nothing(toy_model: OneStepModel) -> None:
    class NoNetworks(PlainHost):
        def load(self, *_arguments: object) -> None:
            raise AssertionError("a network was asked for")

    host = NoNetworks("cpu", quiet=True)
    mask = torch.zeros(1, 1, 64, 64)
    result = hu.restore(portrait(), HeadsUpModel(toy_model), scale=2, mask=mask, host=host)
    assert torch.equal(result.image, result.before)
    assert "mask" in result.report.text()
    mask[..., 5:9, 5:9] = 1
    done = hu.restore(portrait(), HeadsUpModel(toy_model), scale=2, mask=mask, host=HOST)
    assert not torch.equal(done.image, done.before)
    assert "mask" not in done.report.text()


def test_grey_files_stay_grey_with_the_bundled_model(tmp_path: Path) -> None:
    side = 48
    Image.fromarray((grey(portrait(side))[0, 0] * 255).round().byte().numpy()).save(tmp_path / "grey.png")
    from headsup_core.image_files import read_picture

    given = read_picture(tmp_path / "grey.png").rgb
    result = hu.restore(given, hu.load_model("headsup-tiny", host=HOST), scale=2, host=HOST)
    assert spread(result.image).max() == 0
    assert (result.image.mean(1) - result.before.mean(1)).abs().max() > 0.02
