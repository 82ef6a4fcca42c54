"""A node's help page: the lists of its inputs and outputs as the schema has them, in each language."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .workflow import input_spec

FILE_LISTS = frozenset({"model", "adapter", "base", "identity", "pack"})
"""Choices that list the user's files; a page cannot name them."""

Info = Mapping[str, Any]
Words = dict[str, Any]


@dataclass(frozen=True)
class Language:
    """How the lists of a help page are written in one language."""

    inputs: str
    outputs: str
    default: str
    colon: str
    range: str
    choices: str
    between: str
    on: str
    off: str
    empty: str
    default_mark: str
    names_ids: bool


EN = Language(
    inputs="Inputs",
    outputs="Outputs",
    default=" (default `{}`)",
    colon=": ",
    range=" From {} to {}.",
    choices=" One of {}.",
    between=", ",
    on="on",
    off="off",
    empty="empty",
    default_mark=" (default)",
    names_ids=False,
)
ZH = Language(
    inputs="输入",
    outputs="输出",
    default="（默认 `{}`）",
    colon="：",
    range="范围 {} 到 {}。",
    choices="可选：{}。",
    between="、",
    on="开启",
    off="关闭",
    empty="空",
    default_mark="（默认）",
    names_ids=True,
)
PAGES = {"en": EN, "zh": ZH}


def inputs_of(info: Info) -> dict[str, Any]:
    """Name -> specification of each input that people see, in the node's order.

    Of an input that grows, an older version has the first socket, called `input.socket`.
    """
    sections = (info["input"].get(section, {}) for section in ("required", "optional"))
    return {name.split(".")[0]: spec for section in sections for name, spec in section.items()}


def page_text(before: str, info: Info, words: Words, language: Language) -> str:
    """A help page with its two lists as the schema has them; the prose around them stays."""
    lists = {language.inputs: _input_lines(info, words, language), language.outputs: _output_lines(words, language)}
    text = before or f"# {words['display_name']}\n\n{words['description']}\n"
    for heading, lines in lists.items():
        text = _with_list(text, heading, lines)
    return text


def _with_list(text: str, heading: str, lines: list[str]) -> str:
    """A page whose list below `## heading` has these lines; a section that is not there comes at the end."""
    old, new = text.splitlines(), [f"## {heading}", *lines]
    if new[0] not in old:
        return "\n".join([*old, "", *new]) + "\n"
    start = old.index(new[0])
    end = start + 1
    while end < len(old) and old[end].startswith("- "):
        end += 1
    return "\n".join([*old[:start], *new, *old[end:]]) + "\n"


def _input_lines(info: Info, words: Words, language: Language) -> list[str]:
    return [_input_line(name, spec, words["inputs"][name], language) for name, spec in inputs_of(info).items()]


def _output_lines(words: Words, language: Language) -> list[str]:
    return [f"- **{each['name']}**{language.colon}{each['tooltip']}" for each in words["outputs"].values()]


def _input_line(name: str, spec: Any, words: Mapping[str, str], language: Language) -> str:  # noqa: ANN401 - ComfyUI's
    """One line of the list: name, default, tooltip, and of range and choices what the tooltip leaves out."""
    kind, options = input_spec(spec)
    choices = options.get("options", kind if isinstance(kind, list) else [])
    choices = [str(choice) for choice in choices]
    default = _shown_default(options.get("default"), language)
    text = _quoted(_without_default(words["tooltip"], default, language), choices, language)
    bounds = [options[bound] for bound in ("min", "max") if bound in options]
    if len(bounds) == 2 and not {float(bound) for bound in bounds} <= _numbers(text):
        text += language.range.format(*(_number(bound) for bound in bounds))
    if name not in FILE_LISTS and any(choice not in text for choice in choices):
        text += language.choices.format(language.between.join(f"`{choice}`" for choice in choices))
    label = f"- **{words['name']}**" + (f" `{name}`" if language.names_ids else "")
    return label + (language.default.format(default) if default else "") + language.colon + text


def _shown_default(default: Any, language: Language) -> str:  # noqa: ANN401 - any widget's value
    """A default as the pages write it; "" when there is none."""
    if default is None:
        return ""
    if isinstance(default, bool):
        return language.on if default else language.off
    return language.empty if default == "" else _number(default)


def _number(value: Any) -> str:  # noqa: ANN401 - a widget's value
    """A number without needless digits; whole numbers keep all of theirs."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def _numbers(text: str) -> set[float]:
    return {float(number) for number in re.findall(r"(?<![\w.])-?\d+(?:\.\d+)?", text)}


def _without_default(text: str, default: str, language: Language) -> str:
    """A tooltip without its own word on the default, which the line states already."""
    marked = text.replace(language.default_mark, "")
    if language is ZH:
        marked = re.sub(rf"(?<=。)默认 {re.escape(default)}。", "", marked)
        return re.sub(rf"，默认 {re.escape(default)}(?=[，。；])", "", marked)
    marked = re.sub(rf" Default {re.escape(default)}\.(?=\s|$)", "", marked)
    return re.sub(rf", default {re.escape(default)}(?=[.,;:](?:\s|$))", "", marked)


def _quoted(text: str, choices: list[str], language: Language) -> str:
    """Choices that a sentence of the text explains (`auto: ...`) as code."""
    colon = re.escape(language.colon.strip())
    for choice in choices:
        text = re.sub(rf"(^|[.。] ?){re.escape(choice)}(?={colon})", rf"\1`{choice}`", text)
    return text
