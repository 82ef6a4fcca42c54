"""Conditions of IDFSR left out."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from harness.refusals import raises_naming

from headsup_core.errors import InputError
from headsup_core.faces.reference import EMPTY
from headsup_core.idfsr.conditioning import Seen, compose
from headsup_core.idfsr.left_out import CONDITIONS, chance_of_leaving_out, leave_out
from headsup_core.idfsr.pretraining.idfsr_config import IDFSRConfig

MEAN = torch.full((4,), 7.0)


def _inputs() -> tuple[Seen, torch.Tensor, torch.Tensor]:
    chance = torch.Generator().manual_seed(0)
    low, placed = (torch.rand(2, 3, 8, 8, generator=chance) for _ in range(2))
    mask = torch.zeros(2, 1, 8, 8)
    mask[..., 2:6, 2:6] = 1
    return compose(low, mask, placed), low, torch.rand(2, 4, generator=chance)


def _first(*names: str) -> dict[str, torch.Tensor]:
    return {name: torch.tensor([True, False]) for name in names}


def test_nothing_left_out_changes_nothing() -> None:
    seen, low, identity = _inputs()
    after, vector = leave_out(seen, low, identity, MEAN, {})
    assert torch.equal(after.masked, seen.masked)
    assert torch.equal(after.warped, seen.warped)
    assert after.sight is not None
    assert torch.equal(after.sight, seen.warped)
    assert torch.equal(vector, identity)


@pytest.mark.parametrize("name", CONDITIONS)
def test_a_condition_is_left_out_of_the_first_sample_alone(name: str) -> None:
    seen, low, identity = _inputs()
    after, vector = leave_out(seen, low, identity, MEAN, _first(name))
    assert after.sight is not None
    parts = {"mask": after.masked, "reference": after.warped, "sight": after.sight, "identity": vector}
    usual = {"mask": seen.masked, "reference": seen.warped, "sight": seen.warped, "identity": identity}
    wanted = {"mask": low, "reference": seen.masked, "sight": torch.full_like(low, EMPTY), "identity": MEAN[None]}
    parts["face"], usual["face"], wanted["face"] = after.masked, seen.masked, seen.masked
    changed = {name, "sight"} if name == "reference" else {name, "face"}
    for part, value in parts.items():
        assert torch.equal(value[1], usual[part][1])
        if part not in changed:
            assert torch.equal(value[0], usual[part][0])
    assert torch.equal(parts[name][0], wanted[name].expand_as(parts[name])[0])
    if name == "reference":
        assert torch.equal(after.sight[0], seen.masked[0])


def test_the_face_is_hidden_from_a_model_that_sees_it() -> None:
    masked, low, identity = _inputs()
    seen = compose(low, masked.mask, masked.warped, masked=False)
    assert torch.equal(seen.masked, low)
    after, _ = leave_out(seen, low, identity, MEAN, _first("face"))
    assert torch.allclose(after.masked[0], masked.masked[0])
    assert torch.equal(after.masked[1], low[1])


def test_the_shares_are_drawn() -> None:
    out = chance_of_leaving_out({"mask": 0.25, "sight": 0.0}, 4000, torch.Generator().manual_seed(1))
    assert float(out["mask"].float().mean()) == pytest.approx(0.25, abs=0.03)
    assert not out["sight"].any()


def test_an_unknown_condition_is_refused(tmp_path: Path) -> None:
    record = {"architecture": {"preset": "idfsr-tiny"}, "sources": [], "low": {}, "left_out": {"nose": 0.1}}
    with raises_naming(InputError, "nose"):
        IDFSRConfig.from_record(record, tmp_path)
