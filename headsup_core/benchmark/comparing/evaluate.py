"""Every system on every case: figures and seconds."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from tqdm import tqdm

from ...errors import HeadsUpError, InputError
from ...identity.identity import Identity
from ...identity.similarity import Calibration
from ...image_files.sidecars import read_sidecar
from ...imaging.resizing import resize
from ..metrics.all_metrics import Metrics
from ..metrics.frechet import Frechet
from ..recognising.face_region import FaceRegion, Region, around_box
from ..recognising.likeness import KnownFace, Likeness
from .cases import Case, Cases
from .contestants import Restorer, System
from .known_photos import References

TRUTH = "truth"


@dataclass(frozen=True)
class Record:
    """One system on one case; figures of the whole picture and, when found, of the face."""

    case: str
    person: str
    system: str
    seconds: float
    whole: dict[str, float]
    face: dict[str, float]


@dataclass(frozen=True, eq=False)
class Sheet:
    """What was given, made and right, for one case.

    Attributes:
        pictures: what is shown, `[3,H,W]` of 8 bits, by the words above it.
        region: of the face; None where none was found.
    """

    pictures: list[tuple[str, torch.Tensor]]
    region: Region | None

    def face(self) -> list[tuple[str, torch.Tensor]]:
        """The pictures cut to the face, whole where there is none."""
        if self.region is None:
            return self.pictures
        rows, columns = self.region
        return [(name, picture[:, rows, columns]) for name, picture in self.pictures]


@dataclass
class Outcome:
    """What a run found.

    Attributes:
        failures: each named in one line.
        sheets: of the first cases, by name.
        notes: what a reader of the figures has to know.
        fid: system -> distance; empty when it is left out.
        calibrations: recogniser -> the means of its scale.
    """

    records: list[Record] = field(default_factory=list[Record])
    failures: list[str] = field(default_factory=list[str])
    sheets: dict[str, Sheet] = field(default_factory=dict[str, Sheet])
    notes: list[str] = field(default_factory=list[str])
    fid: Mapping[str, float] = field(default_factory=dict[str, float])
    calibrations: Mapping[str, Calibration] = field(default_factory=dict[str, Calibration])


@dataclass(frozen=True, eq=False)
class Judges:
    """What measures.

    Attributes:
        likeness: of the faces; None: no figures of them but where `region` finds them.
        region: where the face is; None: where `likeness` finds it.
    """

    metrics: Metrics
    likeness: Likeness | None = None
    region: FaceRegion | None = None

    def notes(self) -> list[str]:
        return [*self.metrics.left_out, *(self.likeness.notes() if self.likeness else [])]

    def known(self, path: Path | None) -> KnownFace | None:
        """The face of a clean picture."""
        return None if self.likeness is None or path is None else self.likeness.known.get(path)

    def region_of(self, path: Path, truth: torch.Tensor) -> Region | None:
        """The region of the face in the clean picture `[1,3,H,W]`. Raises `InputError` when it is too small."""
        if self.region is not None:
            return self.region(truth)
        known = self.known(path)
        return None if known is None else around_box(known.face.box, *truth.shape[-2:])


def evaluate(
    cases: Cases, systems: Sequence[System], judges: Judges, keep: int, *, quiet: bool = False
) -> Outcome:
    """Run everything.

    Args:
        keep: so many cases are kept as contact sheets.
    """
    if judges.likeness is not None:
        judges = replace(judges, likeness=judges.likeness.of(cases))
    files = cases.files()
    run = _Run(cases, systems, judges, Frechet(), keep)
    for path in tqdm(files, disable=True if quiet else None):
        run.case(path)
    run.outcome.notes += [*judges.notes(), *run.frechet.notes(TRUTH)]
    run.outcome.notes += [remark for each in systems if isinstance(each, Restorer) for remark in each.remarks()]
    run.outcome.fid = run.frechet.distances(TRUTH)
    if judges.likeness is not None:
        run.outcome.calibrations = judges.likeness.calibrations
    return run.outcome


class _Run:
    def __init__(
        self,
        cases: Cases,
        systems: Sequence[System],
        judges: Judges,
        frechet: Frechet,
        keep: int,
    ) -> None:
        self.outcome = Outcome()
        self.frechet = frechet
        self._cases = cases
        self._systems = systems
        self._judges = judges
        self._references = References(judges.likeness.analyzer) if judges.likeness else None
        self._keep = keep

    def case(self, path: Path) -> None:
        """Measure all systems on one picture."""
        try:
            case = self._cases.load(path)
            region = self._judges.region_of(path, case.truth)
        except HeadsUpError as error:
            self.outcome.failures.append(str(error) if path.name in str(error) else f"{path.name}: {error}")
            return
        given = resize(case.bad, *case.truth.shape[-2:], mode="nearest")
        shown = [("given", _in_8_bits(given))]
        for system in self._systems:
            try:
                result, record = self._measured(path, case, system, region)
            except Exception as error:  # a peer's library raises what it likes; the other cases go on
                self.outcome.failures.append(f"{case.name}, {system.name}: {type(error).__name__}: {error}")
                continue
            self.outcome.records.append(record)
            self.frechet.add(system.name, result)
            shown.append((system.name, _in_8_bits(result)))
        self.frechet.add(TRUTH, case.truth)
        if len(self.outcome.sheets) < self._keep:
            self.outcome.sheets[case.name] = Sheet([*shown, (TRUTH, _in_8_bits(case.truth))], region)

    def _measured(self, path: Path, case: Case, system: System, region: Region | None) -> tuple[torch.Tensor, Record]:
        photo = self._cases.stranger_of(path) if system.tells == "stranger" else self._cases.reference_of(path)
        people = self._people(photo, system)
        tags = read_sidecar(path)
        if tags is not None and isinstance(system, Restorer):
            system = system.with_tags(tags)
        height, width = case.truth.shape[-2:]
        started = time.perf_counter()
        result = system.upscale(case.bad, height, width, people)
        seconds = time.perf_counter() - started
        metrics = self._judges.metrics
        whole = metrics.measure(result, case.truth)
        face = {} if region is None else metrics.measure(_cut(result, region), _cut(case.truth, region))
        known = self._judges.known(path)
        if known is not None and self._judges.likeness is not None:
            face |= self._judges.likeness.measure(result, known, self._judges.known(photo))
        return result, Record(case.name, case.person, system.name, seconds, whole, face)

    def _people(self, photo: Path | None, system: System) -> Sequence[Identity]:
        if not system.tells:
            return ()
        if photo is None or self._references is None:
            other = ", and two people" if system.tells == "stranger" else ""
            raise InputError(
                f"{system.name} needs a photo: use --reference-pairs (or --pairs and --photos), a face analyzer{other}"
            )
        return [self._references.identity(photo)]


def _in_8_bits(image: torch.Tensor) -> torch.Tensor:
    """`[1,3,H,W]` in 0..1 -> `[3,H,W]` of 0..255."""
    return (image[0].clamp(0, 1) * 255).round().to(torch.uint8)


def _cut(image: torch.Tensor, face: Region | None) -> torch.Tensor:
    return image if face is None else image[..., face[0], face[1]]


def values(records: Sequence[Record], region: str, figure: str, system: str) -> tuple[dict[str, float], dict[str, str]]:
    """Figure and person by case, of the records of `system` that have the figure."""
    own = [record for record in records if record.system == system and figure in getattr(record, region)]
    return {record.case: getattr(record, region)[figure] for record in own}, {r.case: r.person for r in own}


def paired(
    records: Sequence[Record], region: str, figure: str, system: str, peer: str
) -> tuple[list[float], list[float], list[str]]:
    """Values of `system`, values of `peer` and people, of the cases that both have."""
    ours, people = values(records, region, figure, system)
    theirs, _ = values(records, region, figure, peer)
    both = [case for case in ours if case in theirs]
    return [ours[case] for case in both], [theirs[case] for case in both], [people[case] for case in both]
