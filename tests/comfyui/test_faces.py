"""Detecting faces, and what is made of them, in the executor of ComfyUI, on real photos."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from harness.executor import Executor, ExecutorResult
from harness.graph import Graph, Output
from harness.images import picture
from harness.people import astronaut, friends, hanks


@dataclass(frozen=True)
class Detected:
    """What one detect node gave: a list per output."""

    masks: list[torch.Tensor]
    previews: list[torch.Tensor]
    counts: list[int]
    reports: list[str]
    result: ExecutorResult


def detect(executor: Executor, *images: torch.Tensor, **inputs: Any) -> Detected:
    """Run images, as a list, through one detect node with the default analyzer."""
    graph = Graph()
    node = graph.detect(executor.values(graph, *images), **inputs)
    paths = [executor.record(graph, node[output]) for output in (1, 2, 3, 4)]
    result = executor.run(graph)
    assert result.status == "success", result.complaint
    return Detected(*map(executor.recorded, paths), result=result)


def complaint(executor: Executor, *images: torch.Tensor, **inputs: Any) -> str:
    """What a user reads when detection fails."""
    graph = Graph()
    executor.record(graph, graph.detect(executor.values(graph, *images), **inputs)[3])
    result = executor.run(graph)
    assert result.status == "error"
    return result.complaint


@pytest.mark.every_comfyui
def test_one_face_is_found_where_it_is(executor: Executor) -> None:
    photo = astronaut()

    out = detect(executor, photo)

    (mask,), (preview,), (count,), (report,) = out.masks, out.previews, out.counts, out.reports
    assert count == 1
    assert mask.shape == (1, 256, 256)
    y, x = (mask[0] > 0.5).nonzero().float().mean(0).tolist()  # the face's middle is at about 128, 112
    assert abs(x - 128) < 15
    assert abs(y - 112) < 25
    assert preview.shape == (1, 512, 512, 3)  # enlarged, so that words can be read
    assert "face 0: score" in report
    assert "dlib" in report
    assert out.result.random_state_untouched


def test_group_is_numbered_from_the_largest(executor: Executor) -> None:
    out = detect(executor, friends(), min_eye_distance=12.0)

    (count,), (report,), (preview,) = out.counts, out.reports, out.previews
    assert count in (5, 6)  # one is in profile
    distances = [float(line.split("eyes ")[1].split(" px")[0]) for line in report.splitlines()[1:]]
    assert len(distances) == count
    assert preview.shape == (1, 443, 640, 3)
    assert not torch.equal(preview, friends())
    assert detect(executor, friends(), min_eye_distance=12.0, max_faces=2).counts == [2]


def test_batch_keeps_its_order_and_pictures_without_a_face(executor: Executor) -> None:
    photo = astronaut()
    batch = torch.cat([torch.zeros_like(photo), photo, photo.flip(2)])

    out = detect(executor, batch)

    assert out.counts == [2]
    assert out.masks[0].shape == (3, 256, 256)
    assert out.masks[0][0].abs().max() == 0
    assert out.masks[0][1].max() == out.masks[0][2].max() == 1
    assert "picture 1 of 3: no face" in out.reports[0]
    assert "picture 3 of 3: 1 face" in out.reports[0]


@pytest.mark.every_comfyui
def test_list_of_different_sizes(executor: Executor) -> None:
    out = detect(executor, astronaut(), hanks(), picture(20, 30))

    assert out.counts == [1, 1, 0]
    assert [tuple(mask.shape) for mask in out.masks] == [(1, 256, 256), (1, 112, 112), (1, 20, 30)]


def test_alpha_and_grey(executor: Executor) -> None:
    photo = astronaut()
    rgba = torch.cat([photo, torch.zeros(1, 256, 256, 1)], dim=-1)

    out = detect(executor, rgba, photo.mean(-1, keepdim=True))

    assert out.counts == [1, 1]


def test_one_pixel_has_no_face(executor: Executor) -> None:
    out = detect(executor, picture(1, 1))

    assert out.counts == [0]
    assert out.masks[0].shape == (1, 1, 1)


def test_small_faces_are_left_out_when_asked(executor: Executor) -> None:
    assert detect(executor, astronaut(), min_eye_distance=60.0).counts == [0]


def test_no_face_stops_when_asked(executor: Executor) -> None:
    photo = astronaut()

    said = complaint(executor, torch.cat([photo, torch.zeros_like(photo)]), no_face="error")

    assert "1 of 2 pictures" in said
    assert "picture 2 (256x256 px)" in said
    assert "0.5" in said


@pytest.mark.every_comfyui
def test_nan_is_named(executor: Executor) -> None:
    photo = astronaut()
    bad = photo.clone()
    bad[0, 3, 4] = float("nan")

    said = complaint(executor, torch.cat([photo, bad]))

    assert "picture 2 of 2" in said
    assert "3 NaN" in said


@pytest.mark.every_comfyui
def test_node_shows_its_preview(executor: Executor) -> None:
    graph = Graph()
    node = graph.detect(executor.values(graph, torch.cat([astronaut(), astronaut()])))
    executor.record(graph, node[3])

    shown = executor.run(graph).outputs[node.id]["images"]

    assert len(shown) == 2
    assert (executor.base / "temp" / shown[0]["filename"]).is_file()


# masks


def masks(executor: Executor, *wanted: dict[str, Any], image: torch.Tensor | None = None) -> list[torch.Tensor]:
    """Masks of the astronaut's face, by several nodes."""
    graph = Graph()
    faces = graph.detect(executor.values(graph, astronaut()))[0]
    linked = {} if image is None else {"image": executor.values(graph, image)}
    paths = [executor.record(graph, faces_to_mask(graph, faces, **inputs, **linked)) for inputs in wanted]
    result = executor.run(graph)
    assert result.status == "success", result.complaint
    return [executor.recorded(path)[0] for path in paths]


def faces_to_mask(graph: Graph, faces: Output, **inputs: Any) -> Output:
    defaults = {"shape": "ellipse", "grow": 0.0, "feather": 0.0, "which": ""}
    return graph.add("HeadsUpFacesToMask", faces=faces, **(defaults | inputs))[0]


def mask_complaint(executor: Executor, **inputs: Any) -> str:
    graph = Graph()
    faces = graph.detect(executor.values(graph, astronaut()))[0]
    linked = {k: executor.values(graph, v) if isinstance(v, torch.Tensor) else v for k, v in inputs.items()}
    executor.record(graph, faces_to_mask(graph, faces, **linked))
    result = executor.run(graph)
    assert result.status == "error"
    return result.complaint


@pytest.mark.every_comfyui
def test_masks_differ_as_they_say(executor: Executor) -> None:
    ellipse, hull, grown, soft, none = masks(
        executor, {}, {"shape": "hull"}, {"grow": 0.5}, {"feather": 0.5}, {"which": " 0 "}
    )

    assert 0 < hull.sum() < ellipse.sum() < grown.sum()
    assert ((hull == 1) <= (ellipse == 1)).all()
    assert ((soft > 0) & (soft < 1)).any()
    assert not ((ellipse > 0) & (ellipse < 1)).any()
    assert torch.equal(none, ellipse)


def test_mask_has_the_size_of_the_image(executor: Executor) -> None:
    (small,) = masks(executor, {})
    (large,) = masks(executor, {}, image=picture(512, 512))

    assert large.shape == (1, 512, 512)
    assert abs(float(large.mean()) - float(small.mean())) < 0.01


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({"which": "3"}, ["face 3", "1 face", "from 0"]),
        ({"which": "0,first"}, ["'first'", "0,2"]),
        ({"which": "-1"}, ["'-1'"]),
        ({"image": picture(256, 256, batch=2)}, ["1 pictures", "batch of 2"]),
        ({"shape": "parsing", "image": picture(256, 256)}, ["parsing", "dlib", "parsing_parsenet.pth"]),
    ],
)
def test_wrong_mask_inputs_are_refused(executor: Executor, inputs: dict[str, Any], said: list[str]) -> None:
    text = mask_complaint(executor, **inputs)

    assert [part for part in said if part not in text] == [], text


def test_chosen_faces_of_a_group(executor: Executor) -> None:
    graph = Graph()
    faces = graph.detect(executor.values(graph, friends()), min_eye_distance=12.0)[0]
    paths = [executor.record(graph, faces_to_mask(graph, faces, which=which)) for which in ("", "0,2", "0", "2")]
    result = executor.run(graph)
    assert result.status == "success", result.complaint
    everybody, two, first, third = (executor.recorded(path)[0] for path in paths)

    assert torch.equal(two, torch.maximum(first, third))
    assert two.sum() < everybody.sum()


# SEGS


def segs(executor: Executor, photo: torch.Tensor, **inputs: Any) -> dict[str, Any]:
    graph = Graph()
    image = executor.values(graph, photo)
    faces = graph.detect(image, min_eye_distance=12.0)[0]
    defaults = {"crop_factor": 3.0, "shape": "ellipse", "grow": 0.0, "feather": 0.0, "which": ""}
    made = graph.add("HeadsUpFacesToSEGS", faces=faces, image=image, **(defaults | inputs))
    path = executor.record(graph, graph.add("HarnessSegs", segs=made[0])[0])
    result = executor.run(graph)
    assert result.status == "success", result.complaint
    return executor.recorded(path)[0]


SEG_FIELDS = [
    "cropped_image",
    "cropped_mask",
    "confidence",
    "crop_region",
    "bbox",
    "label",
    "control_net_wrapper",
]


def test_segs_are_impact_packs(executor: Executor) -> None:
    photo = friends()

    found = segs(executor, photo)

    assert found["pair"]
    assert found["size"] == (443, 640)
    assert len(found["segs"]) in (5, 6)
    for seg in found["segs"]:
        x0, y0, x1, y1 = seg["crop_region"]
        bx0, by0, bx1, by1 = seg["bbox"]
        assert seg["fields"] == SEG_FIELDS
        assert all(type(value) is int for value in seg["crop_region"] + seg["bbox"])
        assert 0 <= x0 <= bx0 < bx1 <= x1 <= 640
        assert 0 <= y0 <= by0 < by1 <= y1 <= 443
        assert torch.equal(seg["cropped_image"], photo[:, y0:y1, x0:x1])
        assert seg["cropped_mask"].shape == (y1 - y0, x1 - x0)
        assert seg["mask_dtype"] == "float32"
        assert seg["cropped_mask"].max() == 1
        assert seg["cropped_mask"].min() == 0
        assert 0.5 <= seg["confidence"] <= 1
        assert seg["label"] == "face"
        assert seg["control_net_wrapper"] is None
        assert x1 - x0 == min(640, 3 * (bx1 - bx0))


def test_segs_of_the_first_picture_and_of_chosen_faces(executor: Executor) -> None:
    photo = friends()
    batch = torch.cat([photo, torch.zeros_like(photo)])

    everybody, second = segs(executor, batch)["segs"], segs(executor, batch, which="1")["segs"]

    assert [seg["bbox"] for seg in second] == [everybody[1]["bbox"]]


def test_no_face_gives_no_segs(executor: Executor) -> None:
    assert segs(executor, picture(64, 48))["segs"] == []
