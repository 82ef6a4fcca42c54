"""Several models over the same pictures: each face is taken from the one whose result is most like the person.

They restore one after the other, so that their networks need not be in memory together, and of their results no more is
kept than could still be taken. Either has to explain the picture about as well as the best: what is most like a photo
may be that photo. Outside of the faces the picture is that of the first model.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import replace

import torch

from ..errors import HeadsUpError, InputError
from ..faces import FaceAnalyzer, Faces
from .headsup_model import HeadsUpModel
from .people.contest import Contest, candidate, laid_together
from .people.face_painter import looked_for
from .people.gatekeeper import score_lines, score_records
from .people.recognise import FOR_PEOPLE, recogniser_for
from .pipeline import RestoreResult, restore_pictures
from .session import Session

log = logging.getLogger(__name__)


def restore_by_several(image: torch.Tensor, sessions: Sequence[Session], faces: Faces | None = None) -> RestoreResult:
    """`restore_pictures` by the models of several sessions, in order of preference.

    A model that fails (an error of the pack or of a network, or memory that ran out) is named in the report, and the
    others go on. The people of the first handle that knows any are known to those that know nobody. A size that is left
    open is the first model's.

    Args:
        image: `[B,3,h,w]` in 0..1.
        sessions: at least one.
        faces: of `image`; None: they are looked for.

    Raises:
        InputError: sizing published, which has other sizes for each model.
        HeadsUpError: all failed; the first one's error.
    """
    first = sessions[0]
    if len(sessions) == 1 or first.options.strength == 0:
        return restore_pictures(image, first, faces)
    if first.options.sizing != "pad":
        raise InputError(f"sizing {first.options.sizing} with {len(sessions)} models: give one model")
    started = time.perf_counter()
    sessions = _agreed(sessions)
    analyzer = recogniser_for(faces, first.analyzer, first.host)
    if faces is None:
        painter = next((each.model.painter for each in sessions if each.model.painter is not None), None)
        faces = analyzer.detect(image, looked_for(painter, image.shape[-2], image.shape[-1], FOR_PEOPLE))
    field = _Field(image, [session.model for session in sessions], analyzer, faces)
    errors: list[Exception] = []
    for number, session in enumerate(sessions):
        session.host.check_cancelled()
        try:
            field.enter(number, restore_pictures(image, session, faces))
        except (HeadsUpError, RuntimeError, MemoryError) as error:
            log.debug("%s failed", field.names[number], exc_info=True)
            errors.append(error)
            field.failed.append(f"{field.names[number]} failed, it was done without: {error}")
            if session.host.is_out_of_memory(error):
                session.host.release_memory()
    if field.base is None:
        raise errors[0]
    return field.result(time.perf_counter() - started)


def _agreed(sessions: Sequence[Session]) -> list[Session]:
    """All with the same size of the result, and with people."""
    options = sessions[0].options
    if options.scale is None and options.long_edge is None:
        options = replace(options, scale=float(sessions[0].one_step.scale))
    knowing = next((session.model for session in sessions if session.model.identities), None)

    def agreed(session: Session) -> Session:
        model = session.model
        if knowing is not None and not model.identities:
            model = model.with_identities(knowing.identities, knowing.identity_strength, knowing.match_threshold)
        return replace(session, model=model, options=options, references={})

    return [agreed(session) for session in sessions]


class _Field:
    """The results so far: the first whole, of the others the faces that can still be taken."""

    def __init__(
        self, image: torch.Tensor, models: Sequence[HeadsUpModel], analyzer: FaceAnalyzer, faces: Faces
    ) -> None:
        self._image, self._models, self._analyzer = image, models, analyzer
        self.names = _names(models)
        self.base: RestoreResult | None = None
        self.failed: list[str] = []
        self._notes: list[str] = []
        self._contests = [[Contest() for _ in found] for found in faces]

    def enter(self, number: int, result: RestoreResult) -> None:
        """Take the result of the model of that number into account."""
        people = {identity.name: identity for identity in self._models[number].identities}
        base = self.base is None
        if base:
            self.base = result
        else:
            self._notes += [f"{self.names[number]}: {note}" for note in result.report.notes]
        for index, contests in enumerate(self._contests):
            found = () if result.faces is None else result.faces[index]
            pictures = (self._image[index : index + 1].float(), result.image[index : index + 1])
            for contest, face in zip(contests, found, strict=True):
                person = None if face.identity is None else people.get(face.identity)
                one = candidate(number, face, pictures, person, self._analyzer)
                contest.add(replace(one, pixels=None) if base else one)

    def result(self, seconds: float) -> RestoreResult:
        """The first result with the faces that won, and the report of all."""
        base = self.base
        if base is None:
            raise ValueError("no model restored anything")
        winners = [[contest.winner for contest in contests] for contests in self._contests]
        pictures = [laid_together(one, won) for one, won in zip(base.image.split(1), winners, strict=True)]
        faces = base.faces
        if faces is not None:
            faces = replace(faces, pictures=tuple(tuple(one.face for one in won) for won in winners))
        report = replace(
            base.report,
            model=", ".join(self.names),
            notes=[*base.report.notes, *self._notes, *self.failed],
            seconds=seconds,
            failed_models=self.failed,
            chosen=self._lines(),
            candidates=self._records(),
        )
        if faces is not None and report.gate:
            report.gate = score_lines(faces)
            report.identity_scores = score_records(faces)
            report.sent_back = score_lines(faces, sent_back=True)
        return replace(base, image=torch.cat(pictures), report=report, faces=faces)

    def _lines(self) -> list[str]:
        several = len(self._contests) > 1
        return [
            f"{f'picture {picture + 1}, ' * several}face {index}: {contest.line(self.names)}"
            for picture, contests in enumerate(self._contests)
            for index, contest in enumerate(contests)
        ]

    def _records(self) -> list[dict[str, object]]:
        return [
            {"picture": picture, "face": index, **contest.record(self.names)}
            for picture, contests in enumerate(self._contests)
            for index, contest in enumerate(contests)
        ]


def _names(models: Sequence[HeadsUpModel]) -> list[str]:
    """What the models are called; those of one name by their number, too."""
    names = [model.name for model in models]
    return [f"{name} (model {number + 1})" if names.count(name) > 1 else name for number, name in enumerate(names)]
