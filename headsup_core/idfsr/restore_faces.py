"""IDFSR in whole pictures: each face whose person is known is cut out, restored and laid back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch

from ..errors import InputError
from ..faces.alignment import paste, scale_of
from ..faces.analyzer import FaceAnalyzer
from ..faces.face import Face
from ..faces.faces import Faces
from ..faces.masks import Outline, faces_mask
from ..faces.registry import analyzer_of
from ..host import Host, PlainHost, Progress
from ..identity.identity import Identity
from ..identity.similarity import compare
from ..image_files import check_image
from ..imaging.tints.chroma import Toning, toning_of
from ..option_fields import check_options, option
from ..restoring.tiling.aligned_crops import FEATHER, soft_square
from .conditioning import AlignedFace, cut_face, see
from .diffusion import STEPS
from .identity_vector import identity_vector
from .idfsr_model import IDFSRModel

MAPS_KEPT_ON_CPU, MAPS_KEPT = 30, 19
"""Maps of the first level alive at once, of idfsr-tiny: on a CPU by resident memory in fp32 (118 bytes a value), as its
convolutions keep buffers; on a GPU by live tensors."""


@dataclass(frozen=True)
class PersonOptions:
    """How faces are restored and laid back. Raises `InputError` for a number out of its range."""

    steps: int | None = option(
        None,
        "Steps of the sampler. Fewer are faster and softer.",
        minimum=1,
        maximum=STEPS,
        unset="as many as the model's record says",
    )
    seed: int = option(
        0,
        "Of the noise, from which every face starts. The same seed gives the same face.",
        minimum=0,
        maximum=2**32 - 1,
    )
    feather: float = option(
        FEATHER,
        "Share of the face's crop over which it fades into the picture. 0: a hard border.",
        minimum=0,
        maximum=0.5,
        step=0.005,
    )
    allow_smaller: bool = option(
        False,
        "Restore also faces that are larger in the picture than the model's, which makes them coarser. Off: they are "
        "left as they are, and the report says so.",
    )

    def __post_init__(self) -> None:
        check_options(self)


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


@dataclass(frozen=True, eq=False)
class PersonSession:
    """A model, what is asked of it, and where it runs; several calls may share one.

    Attributes:
        host: device, memory, progress and cancelling.
        analyzer: embeds what has no embedding of the model's recogniser; None: that of the faces.
    """

    model: IDFSRModel
    options: PersonOptions = field(default_factory=PersonOptions)
    host: Host = field(default_factory=PlainHost)
    analyzer: FaceAnalyzer | None = None

    @property
    def steps(self) -> int:
        """Steps of the sampler for each face."""
        return self.model.taken(self.options.steps)


def restore_people(
    image: torch.Tensor, faces: Faces, identities: Sequence[Identity], session: PersonSession
) -> PersonResult:
    """Pictures with every face restored whose person is assigned (`Face.identity`) and among `identities`.

    A face that nobody is assigned to keeps its pixels bit by bit, also where the crop of a neighbour reaches over it.
    A face that is finer than the model's is left as it is unless `allow_smaller`. A face that does not look like its
    person is restored with a warning: bad faces often do not.

    Args:
        image: `[B,3,H,W]` in 0..1, enlarged already: the size of the result.
        faces: of the batch.
        identities: names must differ.

    Raises:
        InputError: another number of pictures, two identities of one name, or one that the model cannot use.
    """
    check_image(image)
    faces.check_pictures(image)
    people = {identity.name: identity for identity in identities}
    if len(people) != len(identities):
        raise InputError("two identities have the same name: rename one, faces are assigned by name")
    faces, host, model = faces.scaled_to(*image.shape[-2:]), session.host, session.model
    analyzer = session.analyzer or analyzer_of(faces, host)
    vectors = {name: identity_vector(person, model, analyzer) for name, person in people.items()}
    call = _Call(faces, people, vectors, replace(session, analyzer=analyzer))
    host.load([model.network], working_bytes(model, host.device))
    known = sum(call.person(face) is not None for here in faces for face in here)
    outcomes: list[FaceOutcome] = []
    results: list[torch.Tensor] = []
    with host.progress(session.steps * known) as progress:
        for index in range(len(image)):
            result, here = call.picture(image[index : index + 1].float().cpu(), index, progress)
            results.append(result.to(image))
            outcomes += here
    return PersonResult(torch.cat(results), tuple(outcomes))


def working_bytes(model: IDFSRModel, device: torch.device) -> int:
    """Memory that `model` computes a face in."""
    values = (model.architecture.size // model.architecture.patch) ** 2 * model.architecture.channels
    maps = MAPS_KEPT_ON_CPU if device.type == "cpu" else MAPS_KEPT
    return values * maps * next(model.network.parameters()).element_size()


@dataclass(frozen=True, eq=False)
class _Call:
    """What is the same for every face of one call of `restore_people`."""

    faces: Faces
    people: Mapping[str, Identity]
    vectors: Mapping[str, torch.Tensor]
    session: PersonSession

    def person(self, face: Face) -> Identity | None:
        return None if face.identity is None else self.people.get(face.identity)

    def picture(self, original: torch.Tensor, index: int, progress: Progress) -> tuple[torch.Tensor, list[FaceOutcome]]:
        """`original` `[1,3,H,W]` with its faces restored, and what happened to each."""
        here, toning = self.faces[index], toning_of(original.clamp(0, 1))
        result, kept, outcomes = original, list[int](), list[FaceOutcome]()
        for number in reversed(range(len(here))):  # the first, the largest, lies on top
            face, person = here[number], self.person(here[number])
            outcome = FaceOutcome(index, number, face.identity, False, note=_why_not(face, self.people))
            cut = None
            if person is not None:
                cut = cut_face(original, face, self.session.model.architecture.size)
                score, warning = self._likeness(original, face, person)
                outcome = replace(outcome, score=score, note=warning)
                if scale_of(cut.matrix) < 1 and not self.session.options.allow_smaller:
                    outcome, cut = replace(outcome, note=_too_fine(face, cut)), None
                    progress.advance(self.session.steps)
            if person is None or cut is None:
                kept.append(number)
            else:
                tone = toning and toning.at(face.box, original.shape[-2], original.shape[-1])
                restored = self._restored(cut, _toned(person, tone), progress)
                restored = restored if tone is None else tone.apply(restored.clamp(0, 1))
                feathered = soft_square(restored.shape[-1], self.session.options.feather)
                result = paste(result, restored, cut.matrix, feathered)
                outcome = replace(outcome, restored=True)
            outcomes.append(outcome)
        return _keeping(result, original, self.faces, index, kept), outcomes[::-1]

    def _restored(self, cut: AlignedFace, person: Identity, progress: Progress) -> torch.Tensor:
        """The face `[1,3,S,S]` in 0..1 on the CPU."""

        def after(believed: torch.Tensor) -> None:
            progress.advance(1, believed[0].float().cpu())
            self.session.host.check_cancelled()

        photo = person.crops[:1] if len(person.crops) else None
        seen = see(cut.picture, cut.face, photo, masked=self.session.model.architecture.masked)
        dtype = next(self.session.model.network.parameters()).dtype
        placed = seen.moved(lambda part: part.to(self.session.host.device, dtype))
        vector = self.vectors[person.name][None].to(self.session.host.device, dtype)
        options = self.session.options
        return self.session.model.restore(placed, vector, options.seed, options.steps, after).float().cpu()

    def _likeness(self, picture: torch.Tensor, face: Face, person: Identity) -> tuple[float | None, str]:
        """The calibrated score of the face as it is, and a warning when it is another person's."""
        wanted, analyzer = self.session.model.architecture.embedder, self.session.analyzer
        if analyzer is None or analyzer.embedder_id != wanted or wanted not in person.embeddings:
            return None, ""
        vector = face.embedding if self.faces.analyzer == analyzer.analyzer_id else None
        if vector is None:
            one = Faces(((face,),), picture.shape[-2], picture.shape[-1])
            vector = analyzer.embed(picture, one)[0][0].embedding
        if vector is None:
            return None, ""
        similarity = compare(vector, person.embeddings[wanted], wanted)
        if similarity.verdict != "different people":
            return similarity.score, ""
        return similarity.score, f"WARNING: it does not look like {person.name}: the result shows {person.name}'s face"


def _toned(person: Identity, tone: Toning | None) -> Identity:
    """The person as a photo of that tint would show them."""
    if tone is None or not len(person.crops):
        return person
    return replace(person, crops=torch.cat([tone.apply(crop) for crop in person.crops.split(1)]))


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


def _keeping(
    result: torch.Tensor, original: torch.Tensor, faces: Faces, index: int, kept: Sequence[int]
) -> torch.Tensor:
    """`result` with the original pixels on the faces that are to stay."""
    if not kept or result is original:
        return result
    inside = faces_mask(faces, index, Outline(grow=0.25), kept)
    return torch.where(inside >= 1, original, torch.lerp(result, original, inside))
