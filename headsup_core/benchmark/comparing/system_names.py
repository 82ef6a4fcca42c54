"""Systems by name: `headsup-tiny@detail=0.5:color_fix=lab+reference`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from ...errors import InputError
from ...faces.analyzer import FaceAnalyzer
from ...host import Host
from ...models.loading import find_base, find_model_file
from ...option_fields import declared_options
from ...restoring.headsup_model import HeadsUpModel, load_model
from ...restoring.options import RestoreOptions
from .contestants import TOLD, Reference, Restorer, System
from .peers import PEERS

_OF_THE_BENCHMARK = ("scale", "long_edge", "max_megapixels")
RESTORE_OPTIONS = {
    name: each for name, each in declared_options(RestoreOptions).items() if name not in _OF_THE_BENCHMARK
}
"""Options of `restore()` that a name may set: all but those of the result's size."""
_NAME = re.compile(rf"(?P<source>.+?)(?P<settings>(?:[@:]\w+=.*?)*)(?:\+(?P<told>{'|'.join(TOLD)}))?")
_SETTING = re.compile(r"([@:])(\w+)=(.*?)(?=[@:]\w+=|$)")


@dataclass(frozen=True)
class SystemName:
    """The parts of a name.

    Attributes:
        source: the model's name or file; a published system's adapter.
        loading: after `@`, options of `load_model`: `base=BASE` of an adapter, `detail=0.5` ...
        restoring: after `:`, arguments of `restore()`.
        told: after `+`, whose photo the system is given.
    """

    source: str
    loading: Mapping[str, str]
    restoring: Mapping[str, str]
    told: Reference

    @classmethod
    def parse(cls, text: str) -> SystemName:
        """The parts of `SOURCE[@OPTION=VALUE...][:OPTION=VALUE...][+reference|+assigned|+stranger]`.

        Raises:
            InputError: nothing stands there, or an argument of `restore()` that a name cannot set.
        """
        found = _NAME.fullmatch(text)
        if found is None:
            raise InputError(f"system {text!r}: the name of a model, its file or a peer is needed")
        settings = _SETTING.findall(found["settings"])
        loading, restoring = ({name: value for mark, name, value in settings if mark == kind} for kind in "@:")
        if unknown := [name for name in restoring if name not in RESTORE_OPTIONS]:
            raise InputError(
                f"system {text!r}: unknown option {unknown[0]!r} after ':', choose from {', '.join(RESTORE_OPTIONS)}; "
                f"options of loading stand after '@', as adapter@base=BASE or model@detail=0.5"
            )
        return cls(found["source"], loading, restoring, cast(Reference, found["told"] or ""))

    @property
    def label(self) -> str:
        """What heads its row: without folders, and without the base."""
        shown = [f"@{name}={value}" for name, value in self.loading.items() if name != "base"]
        shown += [f":{name}={value}" for name, value in self.restoring.items()]
        return Path(self.source).stem + "".join(shown) + (f"+{self.told}" if self.told else "")

    def options(self) -> dict[str, Any]:
        """The arguments of `restore()`. Raises `InputError` for one that is of another kind or out of its range."""
        return {name: self._converted(name, value) for name, value in self.restoring.items()}

    def _converted(self, name: str, value: str) -> str | float | bool:
        declared = RESTORE_OPTIONS[name]
        try:
            return declared.check(value if declared.kind is str else _value(value))
        except InputError as error:
            raise InputError(f"system {self.label!r}: {error}") from error

    def load(self, host: Host) -> HeadsUpModel:
        """The model. Raises `InputError` or `ModelFileError` as `load_model` does."""
        options: dict[str, Any] = {name: _value(text) for name, text in self.loading.items()}
        if "base" in options:
            options["base"] = self.loading["base"]
            return load_model(adapter=self.source, host=host, **options)
        return load_model(self.source, host=host, **options)


def make_systems(names: Sequence[str], host: Host, analyzer: FaceAnalyzer | None = None) -> list[System]:
    """Systems by name: bicubic, lanczos, realesrgan-x4plus, else a model as for `load_model` and `SystemName`.

    Models with the same options of loading share their weights.

    Args:
        analyzer: for those that are given a photo.

    Raises:
        InputError: an unknown option, or one that is no number.
        ModelFileError: no such model.
    """
    loaded: dict[tuple[str, tuple[tuple[str, str], ...]], HeadsUpModel] = {}
    systems: list[System] = []
    for text in names:
        if text in PEERS:
            systems.append(PEERS[text]())
            continue
        name = SystemName.parse(text)
        options, key = name.options(), (name.source, tuple(sorted(name.loading.items())))
        if key not in loaded:
            loaded[key] = name.load(host)
        file = find_model_file(name.source, host)
        systems.append(Restorer(name.label, loaded[key], host, file, options, name.told, analyzer))
    return systems


def without_reference(name: str) -> str:
    """The same system without anybody's photo."""
    return next((name.removesuffix(f"+{told}") for told in TOLD if name.endswith(f"+{told}")), name)


def with_paths(text: str, host: Host) -> str:
    """The same system for another process: its model and base by their full paths.

    Raises:
        ModelFileError: no such model.
    """
    if text in PEERS:
        return text
    name = SystemName.parse(text)
    loading = dict(name.loading)
    if "base" in loading:
        loading["base"] = str(find_base(loading["base"], host).resolve())
    source = str(find_model_file(name.source, host).resolve())
    settings = [
        f"{mark}{key}={value}" for mark, part in (("@", loading), (":", name.restoring)) for key, value in part.items()
    ]
    return "".join([source, *settings, f"+{name.told}" if name.told else ""])


def _value(text: str) -> str | float | bool:
    """A number or a truth value where it reads as one."""
    if text in ("true", "false"):
        return text == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
