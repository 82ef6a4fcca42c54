from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from harness.ram import (
    SIDE,
    TAGS,
    THRESHOLDS,
    dape_tensors,
    expected_logits,
    merged,
    ram_tensors,
    tagger_files,
)
from PIL import Image

from headsup_core.cli import main
from headsup_core.errors import InputError, ModelFileError
from headsup_core.image_files.sidecars import LARGEST, read_sidecar, write_sidecar
from headsup_core.models.tagging.ram_file import RamSizes
from headsup_core.models.tagging.tagger import Tagger, load_tagger, prepared_picture
from headsup_core.models.tagging.tagging_options import TaggingOptions
from headsup_core.models.tagging.word_list import WordList, words_for

MEAN, DEVIATION = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return tagger_files(tmp_path_factory.mktemp("taggers"))


@pytest.fixture(scope="module")
def picture() -> torch.Tensor:
    return torch.rand(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))


def normalised(picture: torch.Tensor) -> torch.Tensor:
    return (picture - MEAN.view(1, 3, 1, 1)) / DEVIATION.view(1, 3, 1, 1)


@pytest.mark.parametrize("with_dape", [False, True])
def test_logits_are_those_of_the_equations(
    files: tuple[Path, Path], picture: torch.Tensor, with_dape: bool
) -> None:
    tagger = load_tagger(files[0], files[1] if with_dape else None)
    tensors = merged(ram_tensors(), dape_tensors()) if with_dape else ram_tensors()
    expected = expected_logits(tensors, normalised(picture))
    torch.testing.assert_close(tagger.logits(picture)[0], expected, atol=1e-4, rtol=0)
    chosen = [
        tag
        for tag, logit, threshold in zip(TAGS, expected.tolist(), THRESHOLDS, strict=True)
        if 1 / (1 + np.exp(-logit)) > threshold
    ]
    assert tagger.tags(picture) == [", ".join(chosen)]
    assert float(expected.std()) > 0.3  # the tags do not all say the same


def test_dape_changes_what_is_seen(files: tuple[Path, Path], picture: torch.Tensor) -> None:
    plain, adapted = load_tagger(files[0]).logits(picture), load_tagger(*files).logits(picture)
    assert float((plain - adapted).abs().max()) > 0.1


def test_older_name_of_the_head_and_safetensors(tmp_path: Path, picture: torch.Tensor) -> None:
    from safetensors.torch import save_file

    older = {name.replace("tagging_head.", "vision_multi."): tensor for name, tensor in ram_tensors().items()}
    model, _ = tagger_files(tmp_path)
    save_file(older, tmp_path / "ram.safetensors")
    expected = load_tagger(model).logits(picture)
    found = load_tagger(tmp_path / "ram.safetensors").logits(picture)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)  # where the weights lie decides the last bit


def test_published_sizes() -> None:
    sizes = RamSizes(4, 192, (2, 2, 18, 2), (6, 12, 24, 48), 12, 512, 768, 3072, 2, 4585)
    shapes = sizes.shapes()
    assert sizes.side == 384
    assert len(shapes) == 366  # of the published file's 1042
    assert sum(int(np.prod(shape)) for shape in shapes.values()) == pytest.approx(212e6, rel=0.01)
    words = words_for(4585, Path("ram_swin_large_14m.pth"))
    assert words.words[:2] == ("3D CG rendering", "3D glasses")
    assert words.words[-1].strip() == words.words[-1] != ""
    assert int((words.thresholds >= 1).sum()) == 10
    assert int((words.thresholds == 0.65).sum()) == 3414


def test_a_threshold_is_exceeded_not_reached_and_one_is_never() -> None:
    words = WordList(("a", "b", "c"), torch.tensor([0.5, 0.5, 1.0]))
    assert words.above(torch.tensor([0.5, 0.51, 1.0])) == ["b"]
    assert words.above(torch.tensor([0.5, 0.51, 1.0]), shift=-0.1) == ["a", "b"]


def test_ways_to_reduce_a_picture() -> None:
    picture = torch.rand(1, 3, 96, 72, generator=torch.Generator().manual_seed(1))
    array = (picture[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
    by_pillow = np.asarray(Image.fromarray(array).resize((32, 32), Image.Resampling.BILINEAR), np.float32) / 255
    exact = normalised(torch.from_numpy(by_pillow).permute(2, 0, 1)[None])
    given = {
        way: prepared_picture(picture, 32, TaggingOptions(reduction=way)) for way in ("smooth", "sampled", "pillow")
    }
    torch.testing.assert_close(given["pillow"], exact)
    # antialiased bilinear is Pillow's, but for its rounding to 8 bits
    torch.testing.assert_close(given["smooth"], exact, atol=1.1 / 255 / 0.224, rtol=0)
    # sampled: rows are 3 apart and columns 2.25; the first sample lies at row 1 and between columns 0 and 1
    value = picture[0, :, 1, 0] * 0.375 + picture[0, :, 1, 1] * 0.625
    torch.testing.assert_close(given["sampled"][0, :, 0, 0], (value - MEAN) / DEVIATION)


def test_an_enlargement_before_changes_sampled_tags_only_a_little() -> None:
    picture = torch.rand(1, 3, 40, 40, generator=torch.Generator().manual_seed(2))
    large = prepared_picture(picture, 32, TaggingOptions(reduction="sampled", enlarge=4))
    assert not torch.equal(large, prepared_picture(picture, 32, TaggingOptions(reduction="sampled")))


@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 4, 8, 8), (1, 3, 0, 8)])
def test_pictures_of_other_shapes_are_refused(files: tuple[Path, Path], shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError):
        load_tagger(files[0]).logits(torch.zeros(shape))


def test_nan_is_refused(files: tuple[Path, Path]) -> None:
    with pytest.raises(InputError):
        load_tagger(files[0]).logits(torch.full((1, 3, 8, 8), torch.nan))


class TestFilesThatDoNotFit:
    def refused(self, tmp_path: Path, ram: dict[str, torch.Tensor], dape: dict[str, torch.Tensor] | None = None) -> str:
        model, adapter = tagger_files(tmp_path)
        torch.save({"model": ram}, model)
        if dape is not None:
            torch.save(dape, adapter)
        with pytest.raises(ModelFileError) as caught:
            load_tagger(model, None if dape is None else adapter)
        return str(caught.value)

    def test_a_missing_tensor(self, tmp_path: Path) -> None:
        ram = ram_tensors()
        del ram["visual_encoder.layers.0.blocks.1.mlp.fc2.bias"]
        assert "visual_encoder.layers.0.blocks.1.mlp.fc2.bias" in self.refused(tmp_path, ram)

    def test_another_shape(self, tmp_path: Path) -> None:
        ram = ram_tensors() | {"image_proj.weight": torch.zeros(12, 15)}
        assert "(12, 15)" in self.refused(tmp_path, ram)

    def test_windows_of_another_size(self, tmp_path: Path) -> None:
        name = "visual_encoder.layers.1.blocks.0.attn.relative_position_bias_table"
        assert "25" in self.refused(tmp_path, ram_tensors() | {name: torch.zeros(25, 2)})

    def test_nan(self, tmp_path: Path) -> None:
        assert "fc.bias" in self.refused(tmp_path, ram_tensors() | {"fc.bias": torch.tensor([torch.nan])})

    def test_something_else(self, tmp_path: Path) -> None:
        assert "recognize-anything" in self.refused(tmp_path, {"weight": torch.zeros(3)})

    def test_dape_in_place_of_ram_and_the_other_way_round(self, tmp_path: Path) -> None:
        self.refused(tmp_path, dape_tensors())
        self.refused(tmp_path, ram_tensors(), ram_tensors())

    def test_dape_of_another_ram(self, tmp_path: Path) -> None:
        name = "visual_encoder.layers.1.blocks.0.attn.qkv.lora_A"
        assert name.removesuffix(".lora_A") in self.refused(
            tmp_path, ram_tensors(), dape_tensors() | {name: torch.zeros(16, 99)}
        )

    def test_dape_without_a_layer(self, tmp_path: Path) -> None:
        dape = dape_tensors()
        del dape["tagging_head.encoder.layer.1.crossattention.self.key.lora_B"]
        assert "layer.1.crossattention.self.key" in self.refused(tmp_path, ram_tensors(), dape)

    def test_dape_whose_caption_encoder_was_trained(self, tmp_path: Path) -> None:
        name = "tag_encoder.encoder.layer.0.crossattention.self.query.lora_B"
        assert name in self.refused(tmp_path, ram_tensors(), dape_tensors() | {name: torch.ones(16, 8)})

    def test_words_are_missing_or_too_few(self, tmp_path: Path) -> None:
        model, _ = tagger_files(tmp_path)
        (tmp_path / "thresholds.txt").write_text("0.5\n")
        with pytest.raises(ModelFileError) as caught:
            load_tagger(model)
        assert str(len(TAGS)) in str(caught.value)
        (tmp_path / "tags.txt").unlink()
        with pytest.raises(ModelFileError) as caught:
            load_tagger(model)
        assert "tags.txt" in str(caught.value)


class TestCommand:
    @pytest.fixture
    def pictures(self, tmp_path: Path) -> Path:
        folder = tmp_path / "in"
        folder.mkdir()
        for name in ("a.png", "b.jpg"):
            Image.effect_noise((40, 30), 70).convert("RGB").save(folder / name)
        return folder

    def test_tags_are_written_beside_the_pictures(
        self, files: tuple[Path, Path], pictures: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (pictures / "b.txt").write_text("kept")
        model, dape = map(str, files)
        assert main(["tag", str(pictures), "--model", model, "--dape", dape, "--json", "--quiet"]) == 0
        (record,) = (json.loads(line) for line in capsys.readouterr().out.splitlines())
        assert Path(record["picture"]).name == "a.png"
        assert read_sidecar(pictures / "a.png") == record["tags"]
        assert read_sidecar(pictures / "b.jpg") == "kept"
        assert main(["tag", str(pictures), "--model", model, "--replace", "--quiet"]) == 0
        assert read_sidecar(pictures / "b.jpg") != "kept"

    def test_print_writes_nothing(
        self, files: tuple[Path, Path], pictures: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["tag", str(pictures / "a.png"), "--model", str(files[0]), "--print", "--quiet"]) == 0
        assert capsys.readouterr().out.startswith(str(pictures / "a.png") + ": ")
        assert list(pictures.glob("*.txt")) == []

    def test_a_bad_picture_is_named_and_the_others_are_done(
        self, files: tuple[Path, Path], pictures: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (pictures / "a.png").write_bytes(b"no picture")
        assert main(["tag", str(pictures), "--model", str(files[0]), "--quiet"]) == 2
        assert "a.png" in capsys.readouterr().err
        assert (pictures / "b.txt").exists()


class TestSidecars:
    def test_lines_are_joined(self, tmp_path: Path) -> None:
        (tmp_path / "photo.txt").write_bytes("\ufeffan old man,\r\n  with a beard \n".encode())
        assert read_sidecar(tmp_path / "photo.jpg") == "an old man, with a beard"
        assert read_sidecar(tmp_path / "other.jpg") is None

    def test_what_is_no_caption_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "a.txt").write_bytes(b"\xff\xfe\x00")
        (tmp_path / "b.txt").write_bytes(b"x" * (LARGEST + 1))
        for name in ("a.jpg", "b.jpg"):
            with pytest.raises(InputError):
                read_sidecar(tmp_path / name)

    def test_nothing_is_written_over(self, tmp_path: Path) -> None:
        write_sidecar(tmp_path / "photo.jpg", "first")
        with pytest.raises(FileExistsError):
            write_sidecar(tmp_path / "photo.jpg", "second")
        assert read_sidecar(tmp_path / "photo.jpg") == "first"
        write_sidecar(tmp_path / "photo.jpg", "second", replace=True)
        assert read_sidecar(tmp_path / "photo.jpg") == "second"


def test_a_tagger_says_what_it_is(files: tuple[Path, Path]) -> None:
    tagger = load_tagger(*files)
    assert isinstance(tagger, Tagger)
    assert tagger.name == "ram_tiny.pth with dape_tiny.pth"
