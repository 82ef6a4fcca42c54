"""The evidence on right and wrong photos of degraded people, as the identity gate measures it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from tqdm import tqdm

from ...errors import InputError
from ...faces.analyzer import FaceAnalyzer
from ...faces.face import Face
from ...faces.faces import Faces
from ...host import Host
from ...identity.equal_quality.face_quality import Quality
from ...identity.equal_quality.fair_comparison import FairComparison
from ...identity.equal_quality.photo_score import Evidence
from ...identity.identity import Identity
from ...imaging.resizing import resize
from ...restoring.headsup_model import HeadsUpModel
from ...restoring.people.identity_score import scores_of
from ...restoring.pipeline import restore
from ...training.data.people_by_name import person_of
from ..comparing.cases import Case, CleanFolder
from ..comparing.known_photos import References

PhotoOf = Literal["right", "alike", "other"]
PHOTOS: Mapping[PhotoOf, str] = {
    "right": "the person",
    "alike": "the most alike other",
    "other": "an arbitrary other",
}
NAME = "person"


@dataclass(frozen=True)
class PhotoRecord:
    """One face and one photo.

    Attributes:
        case: name of the clean picture.
        photo: whose it is.
        evidence: as the gate measured it; None: the face was not found.
    """

    case: str
    degradation: str
    photo: PhotoOf
    evidence: Evidence | None


@dataclass(frozen=True, eq=False)
class EvidenceCollector:
    """Measures the evidence, case by case.

    Attributes:
        model: restores with each photo; None: nothing is restored, and `Evidence.explained` is 0.
    """

    analyzer: FaceAnalyzer
    host: Host
    model: HeadsUpModel | None = None

    def records(self, people: CleanFolder, degradations: Sequence[str], kept: Path) -> list[PhotoRecord]:
        """The evidence on all pictures of `people`, who need two photos each.

        Args:
            kept: a file of JSON lines; what stands there is not measured again.

        Raises:
            InputError: fewer than three people.
        """
        known = _kept(kept)
        done = {(one.case, one.degradation) for one in known}
        references = References(self.analyzer)
        # a wrong photo, and with `one_each` the right one, too, may be of those that are not restored
        everybody = replace(people, one_each=False, limit=None).files()
        encoded = {path: references.identity(path) for path in everybody}
        files = people.files()
        cases = [(path, name) for path in files for name in degradations if (path.stem, name) not in done]
        for path, name in tqdm(cases, desc="evidence", disable=None, leave=False):
            photos = _photos_for(path, people, encoded, self.analyzer.embedder_id)
            case = replace(people, degradation=name).load(path)
            found = [
                PhotoRecord(path.stem, name, photo, evidence)
                for photo, evidence in self._measured(case, photos, self._scale(people, name))
            ]
            with kept.open("a") as lines:
                lines.writelines(json.dumps(asdict(one)) + "\n" for one in found)
            known += found
        return known

    @staticmethod
    def _scale(people: CleanFolder, degradation: str) -> int:
        return replace(people, degradation=degradation).scale

    def _measured(
        self, case: Case, photos: Mapping[PhotoOf, Identity], scale: int
    ) -> Iterator[tuple[PhotoOf, Evidence | None]]:
        faces = self.analyzer.detect(case.bad)
        for photo, identity in photos.items():
            if not faces.count:
                yield photo, None
            elif self.model is None:
                yield photo, self._compared(case.bad, faces[0][0], identity, scale)
            else:
                yield photo, self._restored(case.bad, faces, identity, scale)

    def _compared(self, bad: torch.Tensor, face: Face, identity: Identity, scale: int) -> Evidence:
        enlarged = resize(bad, bad.shape[-2] * scale, bad.shape[-1] * scale)
        comparison = FairComparison(bad, enlarged, face, self.analyzer)
        return Evidence(comparison.cosine(identity.crops[:1]), 0.0, comparison.quality)

    def _restored(self, bad: torch.Tensor, faces: Faces, identity: Identity, scale: int) -> Evidence | None:
        told = replace(faces, pictures=((replace(faces[0][0], identity=NAME),),))
        result = restore(
            bad,
            self.model or _no_model(),
            scale=scale,
            faces=told,
            people=[replace(identity, name=NAME)],
            analyzer=self.analyzer,
            identity_gate="report",
            host=self.host,
        )
        scores = None if result.faces is None else scores_of(result.faces[0][0])
        return None if scores is None else scores.evidence


def _no_model() -> HeadsUpModel:
    raise AssertionError("called with a model only")


def _kept(path: Path) -> list[PhotoRecord]:
    """What an interrupted run measured. Raises `InputError` for a file that holds something else."""
    if not path.is_file():
        return []
    try:
        rows: list[dict[str, Any]] = [json.loads(line) for line in path.read_text().splitlines()]
        return [_record(row) for row in rows]
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(f"{path} holds no evidence of this version: move it away ({error})") from error


def _record(row: Mapping[str, Any]) -> PhotoRecord:
    """A record from its JSON."""
    told = row["evidence"]
    evidence = None
    if told is not None:
        evidence = Evidence(told["cosine"], told["explained"], Quality(**told["quality"]))
    return PhotoRecord(row["case"], row["degradation"], row["photo"], evidence)


def _photos_for(
    path: Path, people: CleanFolder, encoded: Mapping[Path, Identity], embedder_id: str
) -> dict[PhotoOf, Identity]:
    """The right photo and two wrong ones, of the same kind as the right one: PERSON_kind."""
    right = people.reference_of(path)
    if right is None:
        raise InputError(f"{path.name}: there is no other photo of this person")
    files = list(encoded)
    at = files.index(right)
    others = [one for one in files[at:] + files[:at] if person_of(one) != person_of(path)]
    same_kind = [one for one in others if one.stem.partition("_")[2] == right.stem.partition("_")[2]] or others
    if len(same_kind) < 2:
        raise InputError(f"{people.place}: {1 + len(same_kind)} people, at least three are needed")
    own = encoded[path].embeddings[embedder_id]
    alike = max(same_kind, key=lambda one: float(encoded[one].embeddings[embedder_id] @ own))
    other = next(one for one in same_kind if one != alike)
    return {"right": encoded[right], "alike": encoded[alike], "other": encoded[other]}
