"""What is made of a node's schema: the lists of its help pages, and what is left to translate."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.texts import CHINESE, checksums, english_words, leaves, make_texts

NODE = "HeadsUpPlanted"
PAGE = Path("web/docs/HeadsUpPlanted.md")
CHINESE_PAGE = Path("web/docs/HeadsUpPlanted/zh.md")


def schema(**inputs: Any) -> dict[str, Any]:
    """The schema of a node with these inputs and one output, as ComfyUI gives it."""
    return {
        NODE: {
            "category": "HeadsUp",
            "display_name": "HeadsUp Planted",
            "description": "A node.",
            "input": {"required": inputs, "optional": {}},
            "output_name": ["image"],
            "output_tooltips": ["The picture."],
        },
        "KSampler": {"category": "sampling", "display_name": "KSampler"},
    }


SCALE = ["FLOAT", {"default": 4.0, "min": 0.0, "max": 16.0, "tooltip": "Enlargement, 0 to 16, default 4. 1: none."}]
CHINESE_WORDS = {
    NODE: {
        "display_name": "HeadsUp 测试",
        "description": "一个节点。",
        "inputs": {"scale": {"name": "倍数", "tooltip": "放大倍数，0 到 16，默认 4。1 表示不放大。"}},
        "outputs": {"0": {"name": "图像", "tooltip": "图像。"}},
    }
}


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository whose texts are those of a node with `scale`, with prose around its lists."""
    by_hand = {
        CHINESE: json.dumps(CHINESE_WORDS),
        PAGE: prose("Inputs", "Outputs"),
        CHINESE_PAGE: prose("输入", "输出"),
    }
    write(by_hand, tmp_path)
    write(make_texts(schema(scale=SCALE), tmp_path).files, tmp_path)
    return tmp_path


def prose(*headings: str) -> str:
    """A page with an old list and prose in each section."""
    return "# Title\n\nAbove.\n" + "".join(f"\n## {each}\n- **old**: gone.\n\nBelow {each}.\n" for each in headings)


def write(files: dict[Path, str], root: Path) -> None:
    """Write texts as scripts/generate_texts does."""
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8")


def line(name: str, **options: Any) -> str:
    """The line of the English page for one input of a node whose other texts do not matter."""
    kind = options.pop("kind", "COMBO")
    page = make_texts(schema(**{name: [kind, options]}), Path("nowhere")).files[PAGE]
    return next(text for text in page.splitlines() if text.startswith("- "))


def test_english_words_are_those_of_the_schema() -> None:
    ours = {NODE: schema(scale=SCALE)[NODE]}

    assert leaves(english_words(ours)) == {
        f"{NODE}/display_name": "HeadsUp Planted",
        f"{NODE}/description": "A node.",
        f"{NODE}/inputs/scale/name": "scale",
        f"{NODE}/inputs/scale/tooltip": "Enlargement, 0 to 16, default 4. 1: none.",
        f"{NODE}/outputs/0/name": "image",
        f"{NODE}/outputs/0/tooltip": "The picture.",
    }


def test_lists_are_made_anew_and_prose_stays(repository: Path) -> None:
    assert (repository / PAGE).read_text(encoding="utf-8") == (
        "# Title\n\nAbove.\n"
        "\n## Inputs\n- **scale** (default `4`): Enlargement, 0 to 16. 1: none.\n\nBelow Inputs.\n"
        "\n## Outputs\n- **image**: The picture.\n\nBelow Outputs.\n"
    )
    assert (repository / CHINESE_PAGE).read_text(encoding="utf-8") == (
        "# Title\n\nAbove.\n"
        "\n## 输入\n- **倍数** `scale`（默认 `4`）：放大倍数，0 到 16。1 表示不放大。\n\nBelow 输入.\n"
        "\n## 输出\n- **图像**：图像。\n\nBelow 输出.\n"
    )


def test_second_run_changes_nothing(repository: Path) -> None:
    texts = make_texts(schema(scale=SCALE), repository)

    assert texts.differing(repository) == []
    assert texts.todo == []
    locale = json.loads((repository / CHINESE).read_text(encoding="utf-8"))
    assert checksums(locale).keys() == leaves(locale).keys()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"kind": "INT", "default": 0, "min": 0, "max": 2**64 - 1, "tooltip": "Start."},
         "- **x** (default `0`): Start. From 0 to 18446744073709551615."),
        ({"kind": "BOOLEAN", "default": True, "tooltip": "Measures."}, "- **x** (default `on`): Measures."),
        ({"kind": "STRING", "default": "", "tooltip": "Words."}, "- **x** (default `empty`): Words."),
        ({"kind": "MASK", "tooltip": "White."}, "- **x**: White."),
        ({"default": "auto", "options": ["auto", "cpu"], "tooltip": "Where. auto (default): here. cpu: there."},
         "- **x** (default `auto`): Where. `auto`: here. `cpu`: there."),
        ({"default": "a", "options": ["a", "long"], "tooltip": "Which."},
         "- **x** (default `a`): Which. One of `a`, `long`."),
    ],
)  # fmt: skip
def test_line_states_what_the_tooltip_leaves_out(options: dict[str, Any], expected: str) -> None:
    assert line("x", **options) == expected


def test_older_comfyui_gives_choices_as_the_type() -> None:
    old = make_texts(schema(x=[["a", "b"], {"tooltip": "Which.", "default": "a"}]), Path("nowhere")).files[PAGE]

    assert "- **x** (default `a`): Which. One of `a`, `b`." in old


def test_files_of_the_user_are_not_listed() -> None:
    assert "mine" not in line("model", default="tiny", options=["tiny", "mine"], tooltip="A file.")


def test_missing_chinese_is_named_and_not_invented(repository: Path) -> None:
    texts = make_texts(schema(scale=SCALE, seed=["INT", {"default": 0, "tooltip": "Start."}]), repository)

    assert len(texts.todo) == 2  # its name and its tooltip
    assert all("inputs/seed/" in sentence and "missing" in sentence for sentence in texts.todo)
    assert "seed" not in json.loads(texts.files[CHINESE])[NODE]["inputs"]
    assert "- **seed** `seed`（默认 `0`）：Start." in texts.files[CHINESE_PAGE]


def test_changed_english_is_stale_until_the_chinese_changes(repository: Path) -> None:
    changed = schema(scale=["FLOAT", {**SCALE[1], "tooltip": "How much larger, 0 to 16."}])
    for _ in range(2):  # a report does not silence the next
        texts = make_texts(changed, repository)
        assert [sentence.split()[1] for sentence in texts.todo] == [f"{NODE}/inputs/scale/tooltip"]
        write(texts.files, repository)

    locale = repository / CHINESE
    locale.write_text(locale.read_text(encoding="utf-8").replace("放大倍数", "放大多少"), encoding="utf-8")

    assert make_texts(changed, repository).todo == []


def test_stale_entry_can_be_kept(repository: Path) -> None:
    changed = schema(scale=["FLOAT", {**SCALE[1], "tooltip": "Enlargement, from 0 to 16."}])
    kept = make_texts(changed, repository, frozenset({f"{NODE}/inputs/scale/tooltip"}))
    write(kept.files, repository)

    assert kept.todo == []
    assert make_texts(changed, repository).todo == []


def test_removed_input_leaves_every_file(repository: Path) -> None:
    files = make_texts(schema(), repository).files

    assert json.loads(files[CHINESE])[NODE]["inputs"] == {}
    assert not any("scale" in text for text in files.values())
    assert f"{NODE}/inputs/scale/name" not in checksums(json.loads(files[CHINESE]))


def test_hand_edited_list_differs(repository: Path) -> None:
    page = repository / PAGE
    page.write_text(page.read_text(encoding="utf-8").replace("Enlargement", "Size"), encoding="utf-8")

    assert make_texts(schema(scale=SCALE), repository).differing(repository) == [PAGE]
