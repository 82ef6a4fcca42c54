"""Systems by name: `headsup-tiny@detail=0.5:color_fix=lab+reference=0.9`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from ...errors import InputError, ModelFileError
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
_PHOTO = rf"\+(?P<told>{'|'.join(TOLD)})(?:=(?P<strength>[^+@:=]+))?"
_NAME = re.compile(rf"(?P<source>.+?)(?P<settings>(?:[@:]\w+=.*?)*)(?:{_PHOTO})?")
_SETTING = re.compile(r"([@:])(\w+)=(.*?)(?=[@:]\w+=|$)")


@dataclass(frozen=True)
class SystemName:
    """The parts of a name.

    Attributes:
        source: the model's name or file; a published system's adapter.
        loading: after `@`, options of `load_model`: `base=BASE` of an adapter, `detail=0.5` ...
        restoring: after `:`, arguments of `restore()`.
        told: after `+`, whose photo the system is given.
        strength: after `=` behind that, how much of the photo counts, 0 to 1; None: as much as by default.
    """

    source: str
    loading: Mapping[str, str]
    restoring: Mapping[str, str]
    told: Reference
    strength: float | None = None

    @classmethod
    def parse(cls, text: str) -> SystemName:
        """The parts of `SOURCE[@OPTION=VALUE...][:OPTION=VALUE...][+reference|+assigned|+stranger[=STRENGTH]]`.

        Raises:
            InputError: nothing stands there, an argument of `restore()` that a name cannot set, or a strength that is
                no number of 0 to 1.
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
        strength = found["strength"]
        told = cast(Reference, found["told"] or "")
        return cls(found["source"], loading, restoring, told, None if strength is None else _strength(text, strength))

    @property
    def label(self) -> str:
        """What heads its row: without folders, and without the base."""
        shown = [f"@{name}={value}" for name, value in self.loading.items() if name != "base"]
        shown += [f":{name}={value}" for name, value in self.restoring.items()]
        return Path(self.source).stem + "".join(shown) + self.photo

    @property
    def photo(self) -> str:
        """`+` and what stands behind it, or nothing."""
        strength = "" if self.strength is None else f"={self.strength:g}"
        return f"+{self.told}{strength}" if self.told else ""

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
            loaded[key] = _loaded(name, host)
        file = find_model_file(name.source, host)
        model = loaded[key]
        if name.strength is not None:
            model = replace(model, identity_strength=name.strength)
        systems.append(Restorer(name.label, model, host, file, options, name.told, analyzer))
    return systems


def _loaded(name: SystemName, host: Host) -> HeadsUpModel:
    try:
        return name.load(host)
    except ModelFileError as error:
        if Path(name.source).suffix:
            raise
        raise ModelFileError(f"{error}; of the benchmark's own: {', '.join(PEERS)}") from error


def without_reference(name: str) -> str:
    """The same system without anybody's photo."""
    return re.sub(f"{_PHOTO}$", "", name)


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
    return "".join([source, *settings, name.photo])


def _strength(name: str, text: str) -> float:
    try:
        strength = float(text)
    except ValueError:
        strength = -1.0
    if not 0 <= strength <= 1:
        raise InputError(f"system {name!r}: the strength of a photo is a number of 0 to 1, not {text!r}")
    return strength


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
