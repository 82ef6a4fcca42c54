"""What must be true of every published system, whatever it computes: one shape for the tests of all of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

import headsup_core as hu
from harness.refusals import raises_naming
from headsup_core.imaging.color import COLOR_FIXES
from headsup_core.models.bases.base import Base
from headsup_core.models.file_formats.weights_files import read_weights
from headsup_core.models.one_step import OneStepModel
from headsup_core.models.systems import SYSTEMS
from headsup_core.option_fields import declared_options

from .systems import latent


def default_step(model: OneStepModel) -> torch.Tensor:
    """x0 of `latent()` with the model's own prompt."""
    return model.denoise(latent(), model.prompt.embeddings(None))


@torch.no_grad()
def assert_loads_correctly(
    base: Base,
    adapter: Path,
    system: str,
    expected: Callable[[OneStepModel], torch.Tensor],
    *,
    found: Callable[[OneStepModel], torch.Tensor] = default_step,
    tolerance: float = 1e-4,
) -> OneStepModel:
    """Recognised, complete, equal to weights that are merged by hand, leaving its base alone, and strict.

    Args:
        adapter: the system's file, its companions beside it.
        expected: x0 of `latent()` from hand-merged weights, in place of `found`'s.
        tolerance: largest difference, in shares of x0's largest value where that is above 1.

    Returns:
        The model, for what else there is to say of it.
    """
    declared = {one.id: one for one in SYSTEMS}[system]
    before = {name: tensor.clone() for net in (base.unet, base.vae) for name, tensor in net.state_dict().items()}
    model = hu.load_model(adapter=adapter, base=base).one_step
    _assert_told_from_others(adapter, system)
    assert model.system == system
    assert model.card.name
    assert model.card.licence
    assert model.base
    assert model.default_color_fix in COLOR_FIXES
    wanted = expected(model)
    assert (found(model) - wanted).abs().max() <= tolerance * max(1.0, float(wanted.abs().max()))
    now = {name: tensor for net in (base.unet, base.vae) for name, tensor in net.state_dict().items()}
    assert all(torch.equal(tensor, before[name]) for name, tensor in now.items()), "the shared base was changed"
    assert not any(layer._forward_hooks for net in (base.unet, base.vae) for layer in net.modules())

    options = declared_options(declared.options)
    asked = hu.load_model(adapter=adapter, base=base, **{name: field.default for name, field in options.items()})
    assert asked.one_step.record == model.record, "an option's default is not what counts without it"
    for name, field in options.items():
        assert field.help.endswith(".")
        if field.minimum is not None:
            with raises_naming(hu.InputError, field.label):
                hu.load_model(adapter=adapter, base=base, **{name: field.kind(field.minimum - 1)})
    with raises_naming(hu.InputError, "'nobody_has_this'"):
        hu.load_model(adapter=adapter, base=base, nobody_has_this=1)

    for companion in (adapter.with_name(name) for name in declared.companions):
        kept = companion.rename(companion.with_suffix(".away"))
        with raises_naming(hu.ModelFileError, companion.name):
            hu.load_model(adapter=adapter, base=base)
        kept.rename(companion)
    cut = adapter.with_name(f"cut-{adapter.name}")
    cut.write_bytes(adapter.read_bytes()[:2000])
    with raises_naming(hu.ModelFileError, cut.name):
        hu.load_model(adapter=cut, base=base)
    cut.unlink()
    return model


def _assert_told_from_others(adapter: Path, system: str) -> None:
    """No other system takes the file for its own, but those that only the file's name tells from it."""
    file = read_weights(adapter)
    matching = [one for one in SYSTEMS if one.recognises(file)]
    assert system in {one.id for one in matching}
    assert len([one for one in matching if not one.file_mark]) <= 1
