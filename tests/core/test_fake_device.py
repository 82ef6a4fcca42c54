"""The restore path on a GPU that has no values: devices, precisions, copies and memory, at full size.

All scenes in all precisions: `python -m pytest tests/core/test_fake_device.py -m matrix`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from harness.faces import face_at
from harness.fake_device import FakeDevice, FakeHost, as_cuda
from harness.fake_models import SCENES, Scene, grey, idfsr_model
from harness.people_stubs import RED, person
from torch._subclasses.fake_tensor import FakeTensorDeviceMismatchError

from headsup_core.faces import Faces
from headsup_core.identity import Identity
from headsup_core.idfsr.restore_faces import PersonOptions, PersonSession, restore_people
from headsup_core.models.codecs.codec import Codec
from headsup_core.restoring.plan import measure
from headsup_core.restoring.plan.calibration import Calibration

TOLERANCE = 0.15
PRECISIONS = (torch.float32, torch.bfloat16, torch.float16)
STATED = {
    "restoring.tiling.tiled_run:_run_batch": "finished tiles, which are blended in main memory",
    "restoring.plan.measure:_call": "the tile that is measured, as tiles are brought back",
    "restoring.people.conditions:_encode": "latents of the people's photos, kept for further tiles",
    "models.codecs.exact_parts:_band": "parts of activations, which are kept in main memory",
    "models.codecs.exact_parts:whole": "the middle of the codec, likewise",
    "models.codecs.exact_parts:encode": "the codec's last layer",
    "models.codecs.exact_parts:decode": "the codec's first layer",
    "models.codecs.exact_parts:norm": "a norm's weight and bias, to be joined with its statistics in fp64",
    "models.codecs.activation_maps:<genexpr>": "mean and variance of a part, to be summed in fp64",
    "models.systems.visual_prompt:nearest_entries": "which entries of the dictionary OSDFace takes",
    "idfsr.restore_faces:_restored": "a finished face",
    "idfsr.restore_faces:after": "the preview of a face",
}
"""Every function that copies from the device to main memory, and what."""
PEOPLE = "headsup-tiny, tiles, people"
IN_CI = {
    (PEOPLE, torch.bfloat16),
    ("SD 2.1, 2048 px", torch.float16),
    ("SD 2.1, adapters, a person", torch.bfloat16),
    ("OSDFace", torch.float16),
}


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> FakeDevice:
    made = FakeDevice()
    as_cuda(monkeypatch, made)
    return made


def cases() -> list[Any]:
    return [case(name, dtype, (name, dtype) in IN_CI) for name in SCENES for dtype in PRECISIONS]


def case(name: str, dtype: torch.dtype, in_ci: bool) -> Any:
    marks = () if in_ci else pytest.mark.matrix
    return pytest.param(name, dtype, id=f"{name}, {str(dtype).removeprefix('torch.')}", marks=marks)


def checked(device: FakeDevice, scene: Scene, calibration: Calibration | None = None) -> None:
    """Restore it, and look at what happened on the device."""
    host = FakeHost(device)
    with device.running():
        host.load(scene.model.one_step.networks, 0)
        plan = scene.plan(host, calibration)
        weights = device.live
        device.reset_peak()
        result = scene.restore(host)
    assert tuple(result.image.shape[-2:]) == plan.output_size
    assert result.image.device.type == "cpu"
    nothing_hidden(device)
    assert plan.device_bytes == pytest.approx(device.peak - weights, rel=TOLERANCE)


def nothing_hidden(device: FakeDevice) -> None:
    assert set(device.copied) <= set(STATED), "copies to main memory that nobody has stated"
    assert not device.doubles, "double precision, which not every device has"


@pytest.mark.parametrize(("name", "dtype"), cases())
def test_restoring_on_a_gpu(name: str, dtype: torch.dtype, device: FakeDevice) -> None:
    checked(device, SCENES[name](device, dtype))


@pytest.mark.parametrize(
    ("name", "dtype"),
    [case(name, dtype, (name, dtype) == (PEOPLE, torch.float32)) for name in SCENES for dtype in PRECISIONS],
)
def test_a_measured_plan(name: str, dtype: torch.dtype, device: FakeDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "SLOW_SECONDS", float("inf"))  # what is not computed takes no time on a GPU
    scene = SCENES[name](device, dtype)
    with device.running():
        found = measure.calibrate(scene.model.one_step, FakeHost(device))
    checked(device, scene, found)


@pytest.mark.parametrize(
    "dtype", [pytest.param(dtype, marks=() if dtype == torch.bfloat16 else pytest.mark.matrix) for dtype in PRECISIONS]
)
def test_idfsr_on_a_gpu(dtype: torch.dtype, device: FakeDevice) -> None:
    face = face_at(100, 100, 12)
    faces = Faces(((replace(face, identity="Ada"),),), 200, 200)
    model = idfsr_model(dtype)
    vector = torch.ones(model.architecture.embedding)
    ada = Identity("Ada", {model.architecture.embedder: vector}, person("Ada", RED).crops)
    host = FakeHost(device)
    needed: list[int] = []
    load = host.load
    host.load = lambda modules, count: (needed.append(count), load(modules, count))[1]  # type: ignore[method-assign]
    with device.running():
        host.load([model.network], 0)
        weights = device.live
        device.reset_peak()
        result = restore_people(grey(200), faces, [ada], PersonSession(model, PersonOptions(steps=2), host))
    assert [outcome.restored for outcome in result.outcomes] == [True]
    nothing_hidden(device)
    assert needed[-1] == pytest.approx(device.peak - weights, rel=TOLERANCE)


def planted(change: Callable[[torch.Tensor], torch.Tensor]) -> Callable[..., torch.Tensor]:
    """The decoder with something done to its result."""
    decode = Codec.decode
    return lambda codec, latent: change(decode(codec, latent))


def small_scene(device: FakeDevice) -> Scene:
    """A scene in which things are planted."""
    return Scene(SCENES[PEOPLE](device, torch.float32).model, grey(64), {"scale": 4})


def test_nothing_is_found_where_nothing_is_planted(device: FakeDevice) -> None:
    checked(device, small_scene(device))


@pytest.mark.parametrize(
    ("change", "caught"),
    [
        (lambda made: made.cpu().to(made.device), AssertionError),
        (lambda made: made * made.mean().item(), AssertionError),
        (lambda made: made.double().float(), AssertionError),
        (lambda made: made + torch.ones(made.shape), FakeTensorDeviceMismatchError),
        (lambda made: torch.cat([made, made.repeat(64, 1, 1, 1)])[:1], AssertionError),
    ],
    ids=["copied", "asked for a number", "in double precision", "mixed", "wasteful"],
)
def test_what_is_planted_is_found(
    change: Callable[[torch.Tensor], torch.Tensor], caught: type[Exception], device: FakeDevice,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    scene = small_scene(device)
    monkeypatch.setattr(Codec, "decode", planted(change))
    with pytest.raises(caught):
        checked(device, scene)
