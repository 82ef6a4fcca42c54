"""IDFSR in whole pictures: each face whose person is known is cut out, restored and laid back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from ..errors import InputError
from ..faces.alignment import paste, scale_of
from ..faces.analyzer import FaceAnalyzer
from ..faces.face import Face
from ..faces.faces import Faces
from ..faces.masks import faces_mask
from ..faces.registry import analyzer_of
from ..host import Host, PlainHost
from ..identity.identity import Identity
from ..identity.similarity import compare
from ..image_files import check_image
from ..restoring.aligned_crops import FEATHER, soft_square
from .conditioning import AlignedFace, cut_face, see
from .identity_vector import identity_vector
from .idfsr_model import IDFSRModel

BYTES_PER_VALUE = 118
"""Of activations, by (places of the first level) x (its channels); measured with idfsr-tiny on a CPU in fp32."""


@dataclass(frozen=True)
class PersonOptions:
    """How faces are restored and laid back.

    Attributes:
        steps: of DDIM; None: as the model's record says.
        seed: of the noise; every face starts from the same.
        feather: share of the crop's side over which it fades out at each border, 0..0.5.
        allow_smaller: restore also faces that are finer in the picture than the model's.
    """

    steps: int | None = None
    seed: int = 0
    feather: float = FEATHER
    allow_smaller: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.feather <= 0.5:
            raise InputError(f"feather {self.feather}: must be from 0 to 0.5 of the face's crop")


@dataclass(frozen=True)
class FaceOutcome:
    """What happened to one face.

    Attributes:
        picture, face: numbers from 0, as in `Faces`.
        identity: name of the person, None when nobody was assigned.
        restored: whether its pixels changed.
        score: calibrated similarity of the face, as it was, to the person; None when it is not known.
        note: why it was left as it is, or a warning; "" when all is well.
    """

    picture: int
    face: int
    identity: str | None
    restored: bool
    score: float | None = None
    note: str = ""

    def __str__(self) -> str:
        what = "restored" if self.restored else "left as it is"
        score = "" if self.score is None else f", score {self.score:.2f}"
        who = self.identity or "nobody"
        return (
            f"picture {self.picture + 1}, face {self.face + 1} ({who}): {what}{score}{self.note and ', ' + self.note}"
        )


@dataclass(frozen=True, eq=False)
class PersonResult:
    """The pictures `[B,3,H,W]` in 0..1 and what happened to each face."""

    image: torch.Tensor
    outcomes: tuple[FaceOutcome, ...]


def restore_people(
    image: torch.Tensor,
    faces: Faces,
    identities: Sequence[Identity],
    model: IDFSRModel,
    options: PersonOptions | None = None,
    host: Host | None = None,
    analyzer: FaceAnalyzer | None = None,
) -> PersonResult:
    """Pictures with every face restored whose person is assigned (`Face.identity`) and among `identities`.

    A face that nobody is assigned to keeps its pixels bit by bit, also where the crop of a neighbour reaches over it.
    A face that is finer than the model's is left as it is unless `allow_smaller`. A face that does not look like its
    person is restored with a warning: bad faces often do not.

    Args:
        image: `[B,3,H,W]` in 0..1, enlarged already: the size of the result.
        faces: of the batch.
        identities: names must differ.
        analyzer: embeds what has no embedding of the model's recogniser; None: the faces' own.

    Raises:
        InputError: another number of pictures, two identities of one name, or one that the model cannot use.
    """
    check_image(image)
    faces.check_pictures(image)
    options, host = options or PersonOptions(), host or PlainHost()
    people = {identity.name: identity for identity in identities}
    if len(people) != len(identities):
        raise InputError("two identities have the same name: rename one, faces are assigned by name")
    faces = faces.scaled_to(*image.shape[-2:])
    analyzer = analyzer or analyzer_of(faces, host)
    vectors = {name: identity_vector(person, model, analyzer) for name, person in people.items()}
    places = (model.architecture.size // model.architecture.patch) ** 2
    host.load([model.network], places * model.architecture.channels * BYTES_PER_VALUE)
    chosen = [[_person(face, people) for face in here] for here in faces]
    steps = options.steps or model.architecture.steps
    total = steps * sum(person is not None for here in chosen for person in here)
    outcomes: list[FaceOutcome] = []
    results: list[torch.Tensor] = []
    with host.progress(total) as progress:

        def after(believed: torch.Tensor) -> None:
            progress.advance(1, believed[0].float().cpu())
            host.check_cancelled()

        for index, here in enumerate(faces):
            original = image[index : index + 1].float().cpu()
            result, kept = original, [number for number, person in enumerate(chosen[index]) if person is None]
            for number in reversed(range(len(here))):  # the first, the largest, lies on top
                person, face = chosen[index][number], here[number]
                outcome = FaceOutcome(index, number, face.identity, False, note=_why_not(face, people))
                if person is not None:
                    cut = cut_face(original, face, model.architecture.size)
                    score, warning = _likeness(original, face, faces, person, model, analyzer)
                    outcome = replace(outcome, score=score, note=warning)
                    if scale_of(cut.matrix) < 1 and not options.allow_smaller:
                        kept.append(number)
                        outcome = replace(outcome, note=_too_fine(face, cut))
                        progress.advance(steps)
                    else:
                        restored = _restored(cut, person, vectors[person.name], model, options, host, after)
                        result = paste(result, restored, cut.matrix, soft_square(restored.shape[-1], options.feather))
                        outcome = replace(outcome, restored=True)
                outcomes.append(outcome)
            results.append(_keeping(result, original, faces, index, kept).to(image))
    ordered = sorted(outcomes, key=lambda outcome: (outcome.picture, outcome.face))
    return PersonResult(torch.cat(results), tuple(ordered))


def _restored(
    cut: AlignedFace,
    person: Identity,
    vector: torch.Tensor,
    model: IDFSRModel,
    options: PersonOptions,
    host: Host,
    after: Callable[[torch.Tensor], None],
) -> torch.Tensor:
    """The face `[1,3,S,S]` in 0..1 on the CPU."""
    seen = see(cut.picture, cut.face, person.crops[:1] if len(person.crops) else None, masked=model.architecture.masked)
    dtype = next(model.network.parameters()).dtype
    placed = seen.moved(lambda part: part.to(host.device, dtype))
    identity = vector[None].to(host.device, dtype)
    return model.restore(placed, identity, options.seed, options.steps, after).float().cpu()


def _person(face: Face, people: Mapping[str, Identity]) -> Identity | None:
    return None if face.identity is None else people.get(face.identity)


def _why_not(face: Face, people: Mapping[str, Identity]) -> str:
    if face.identity is None:
        return "no identity is assigned to it"
    return "" if face.identity in people else f"no identity of that name was given ({', '.join(people) or 'none'})"


def _too_fine(face: Face, cut: AlignedFace) -> str:
    gives = face.eye_distance * scale_of(cut.matrix)
    return (
        f"its eyes are {face.eye_distance:.0f} px apart, the model's {gives:.0f}: it would become coarser; "
        "allow smaller faces to restore it all the same"
    )


def _likeness(
    picture: torch.Tensor,
    face: Face,
    faces: Faces,
    person: Identity,
    model: IDFSRModel,
    analyzer: FaceAnalyzer | None,
) -> tuple[float | None, str]:
    """The calibrated score of the face as it is, and a warning when it is another person's."""
    wanted = model.architecture.embedder
    if analyzer is None or analyzer.embedder_id != wanted or wanted not in person.embeddings:
        return None, ""
    vector = face.embedding if faces.analyzer == analyzer.analyzer_id else None
    if vector is None:
        one = Faces(((face,),), picture.shape[-2], picture.shape[-1])
        vector = analyzer.embed(picture, one)[0][0].embedding
    if vector is None:
        return None, ""
    similarity = compare(vector, person.embeddings[wanted], wanted)
    if similarity.verdict != "different people":
        return similarity.score, ""
    return similarity.score, f"WARNING: it does not look like {person.name}: the result shows {person.name}'s face"


def _keeping(
    result: torch.Tensor, original: torch.Tensor, faces: Faces, index: int, kept: Sequence[int]
) -> torch.Tensor:
    """`result` with the original pixels on the faces that are to stay."""
    if not kept or result is original:
        return result
    inside = faces_mask(faces, index, grow=0.25, feather=0.25, only=kept)
    return torch.where(inside >= 1, original, torch.lerp(result, original, inside))
