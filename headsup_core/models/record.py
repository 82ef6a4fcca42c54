"""What is known of a model besides its weights.

One record for everything that restores in one step: model files, adapter files, published systems and models in the
making. The JSON in the header of a file is this record, laid flat.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from ..errors import ModelFileError
from ..imaging.color import COLOR_FIXES
from .prediction import Epsilon, LatentResidual, PredictionRule
from .prompts import TextUse

if TYPE_CHECKING:
    from ..imaging.published import PublishedSizing
    from ..imaging.published_tiles import PublishedTiles

CodecClass = Literal["AutoencoderKL", "AutoencoderTiny", "BlockTransformAutoencoder"]
NoReference = Literal["zero_latent", "encoded_zero_image"]
ReferencePlacement = Literal["aligned", "warped"]

TAGS_FIRST = "{tags}, {text},"
"""OSEDiff's prompt, which HeadsUp's adapters share."""


@dataclass(frozen=True)
class ModelCard:
    """What a person wants to know of a model before using it."""

    name: str
    licence: str
    training_data: str = ""
    notes: str = ""


@dataclass(frozen=True)
class Architecture:
    """The networks of a model that is complete in itself.

    Attributes:
        codec_class, codec, unet: the autoencoder's class, and constructor arguments of autoencoder and UNet.
        prompt_tokens: length n of the one stored prompt embedding `[1,n,D]`.
    """

    codec_class: CodecClass
    codec: Mapping[str, Any]
    unet: Mapping[str, Any]
    prompt_tokens: int = 1

    def __post_init__(self) -> None:
        if self.codec_class not in get_args(CodecClass):
            raise ValueError(f"codec class {self.codec_class!r} is unknown: expected one of {get_args(CodecClass)}")


@dataclass(frozen=True)
class AdaptedLayers:
    """The low-rank branches of an adapter file.

    Attributes:
        unet_layers, vae_layers: paths of the layers that have a branch.
        rank, alpha: of all branches; their scale is alpha / rank.
    """

    unet_layers: tuple[str, ...]
    vae_layers: tuple[str, ...]
    rank: int = 4
    alpha: float = 8.0

    def __post_init__(self) -> None:
        _check_whole("rank", self.rank, 1, 1024)
        alpha: Any = self.alpha
        if not isinstance(alpha, int | float) or not 0 < alpha <= 1e4:
            raise ValueError(f"alpha is {alpha!r}, expected a positive number")


@dataclass(frozen=True)
class ModelRecord:
    """Everything but the weights.

    Attributes:
        card: name, licence, training data.
        rule: at which timestep the UNet is asked, and how its prediction becomes x0.
        architecture: of a model that is complete in itself; None: its networks are a base's.
        layers: of an adapter in our own format; None for others.
        base: what an adapter goes beside, for people: 2.1-base and SD-Turbo have the same shapes.
        system: id of the published system, "" for a model that is complete in itself.
        scale: enlargement the model was trained for.
        trained_size: side in output pixels of the pictures it was trained on.
        trained_eyes: least and largest eye distance in output pixels of the faces it was trained on; faces beyond get
            tiles of their own at such a size. None: they do not.
        minimum_side: least side in output pixels of what is encoded.
        margin: pixels by which a picture is continued on each side before it is encoded.
        no_reference: what fills the reference channels when nobody is known.
        reference_placement: where a reference lies in its channels: "aligned", the upright crop resized to the tile
            (HeadsUp, 3.3), or "warped" onto the face (`faces.reference`).
        prompt: how text and tags become the prompt; None: the model ignores text.
        default_color_fix: one of `imaging.color.COLOR_FIXES`.
        aligned_face: side in pixels of the aligned faces that the model restores; 0: it restores whole pictures.
        published: how the system's own script upsamples and sizes, for `sizing="published"`; None: it has no own way.
        published_tiles: how the system's own script tiles, for `tiling="published"`; None: it does not.
        detail: of a file that holds a faithful and a crisp end, their mixture d in 0..1: stored, the default; of a
            loaded model, what was chosen. None: one end only.

    Raises:
        ValueError: a value that cannot be: which, and what was expected.
    """

    card: ModelCard
    rule: PredictionRule
    architecture: Architecture | None = None
    layers: AdaptedLayers | None = None
    base: str = ""
    system: str = ""
    scale: int = 4
    trained_size: int = 512
    trained_eyes: tuple[float, float] | None = None
    minimum_side: int = 0
    margin: int = 0
    no_reference: NoReference = "zero_latent"
    reference_placement: ReferencePlacement = "aligned"
    prompt: TextUse | None = None
    default_color_fix: str = "none"
    aligned_face: int = 0
    published: PublishedSizing | None = None
    published_tiles: PublishedTiles | None = None
    detail: float | None = None

    def __post_init__(self) -> None:
        _check_whole("scale", self.scale, 1, 64)
        _check_whole("trained_size", self.trained_size, 8, 8192)
        _check_whole("minimum_side", self.minimum_side, 0, 8192)
        _check_whole("margin", self.margin, 0, 1024)
        _check_choice("no_reference", self.no_reference, get_args(NoReference))
        _check_choice("reference_placement", self.reference_placement, get_args(ReferencePlacement))
        _check_choice("default_color_fix", self.default_color_fix, COLOR_FIXES)
        detail: Any = self.detail
        if detail is not None and not (isinstance(detail, int | float) and 0 <= detail <= 1):
            raise ValueError(f"detail is {detail!r}, expected a number from 0 to 1")

    @classmethod
    def from_json(cls, header: Mapping[str, Any]) -> ModelRecord:
        """Read the record of a file's header.

        Raises:
            ModelFileError: unknown or missing fields, or values that cannot be.
        """
        try:
            return _read({name: value for name, value in header.items() if name != "default_tile"})
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            raise ModelFileError(f"the record of the model is not understood: {error}") from error

    def to_json(self) -> dict[str, Any]:
        """Plain lists, dictionaries and numbers, without what only a published system has."""
        inner: dict[str, Any] = {}
        for part in (self.architecture, self.layers):
            inner |= {} if part is None else asdict(part)
        plain = {name: getattr(self, name) for name in _PLAIN}
        text = {} if self.prompt is None else {"prompt": self.prompt.default}
        rule = {"kind": self.rule.kind, "timestep": self.rule.timestep}
        return {**inner, "rule": rule, **plain, **text, "card": asdict(self.card)}


_PLAIN = (
    "base", "scale", "trained_size", "trained_eyes", "minimum_side", "margin", "no_reference", "reference_placement",
    "default_color_fix", "detail",
)  # fmt: skip
"""Fields that a header holds under their own name."""


def _read(header: dict[str, Any]) -> ModelRecord:
    if header.pop("id_tokens", None) is not None:
        raise ValueError("it has identity tokens, which are not supported any more")
    fields: dict[str, Any] = {name: header.pop(name) for name in _PLAIN if name in header}
    fields["trained_eyes"] = eye_range(fields.get("trained_eyes"))
    fields["card"] = ModelCard(**header.pop("card"))
    fields["rule"] = _rule(header.pop("rule", None) or {"kind": "epsilon", "timestep": header.pop("timestep", None)})
    if "codec_class" in header:
        own = {name: header.pop(name) for name in ("codec_class", "codec", "unet", "prompt_tokens") if name in header}
        fields["architecture"] = Architecture(**own)
    else:
        lists = {name: tuple(map(str, header.pop(name))) for name in ("unet_layers", "vae_layers")}
        own = {name: header.pop(name) for name in ("rank", "alpha") if name in header}
        fields["layers"] = AdaptedLayers(**lists, **own)
        fields["prompt"] = TextUse(default=header.pop("prompt", ""), tag_template=TAGS_FIRST)
    if header:
        raise ValueError(f"it has unknown fields: {', '.join(sorted(header))}")
    return ModelRecord(**fields)


def _rule(record: Mapping[str, Any]) -> PredictionRule:
    kind: Any = record.get("kind")
    timestep: Any = record.get("timestep")
    kinds = {rule.kind: rule for rule in (LatentResidual, Epsilon)}
    if kind not in kinds:
        raise ValueError(f"prediction rule {kind!r} is unknown: expected one of {', '.join(kinds)}")
    _check_whole("timestep", timestep, 0, 999)
    return kinds[kind](timestep)


def eye_range(value: Any) -> tuple[float, float] | None:  # noqa: ANN401 - of a file's header
    """`trained_eyes` of a header. Raises `ValueError` unless None or two numbers, 0 < least <= largest."""
    if value is None:
        return None
    if not isinstance(value, list | tuple) or len(value) != 2 or not all(isinstance(v, int | float) for v in value):
        raise ValueError(f"trained_eyes is {value!r}, expected null or two numbers of pixels")
    least, largest = float(value[0]), float(value[1])
    if not 0 < least <= largest < 1e5:
        raise ValueError(f"trained_eyes is {value!r}, expected the least distance first, above 0")
    return least, largest


def _check_whole(name: str, value: Any, least: int, most: int) -> None:  # noqa: ANN401 - of a file's header
    if type(value) is not int or not least <= value <= most:
        raise ValueError(f"{name} is {value!r}, expected a whole number from {least} to {most}")


def _check_choice(name: str, value: Any, choices: tuple[str, ...]) -> None:  # noqa: ANN401 - of a file's header
    if value not in choices:
        raise ValueError(f"{name} is {value!r}, expected one of {', '.join(choices)}")
