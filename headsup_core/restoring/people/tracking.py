"""The same faces in the next frame: by place and by embedding, so that nobody is lost or renamed between two frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch

from ...faces import FaceAnalyzer, Faces
from ...faces.face import Face
from ...faces.faces import in_order
from ...identity.similarity import calibration_of

REACH = 1.0
"""How far from where it is expected a face is looked for, in its eye distances."""
GROWTH = 1.4
"""How much larger or smaller the same face may be in the next frame."""
SAME = 0.5
"""Least calibrated similarity of a face and the one that was there before; below it somebody else stands there."""
MOST_MISSED = 3
"""Frames for which a face that is not found stays where its movement leads."""
SEEN = 2
"""Frames in which a face was found before it may be filled in."""


@dataclass
class _Track:
    """One face through the frames.

    Attributes:
        face: as it was last, found or filled in.
        velocity: `[2]`, pixels a frame.
        seen, missed: frames in which it was found, and since it was found last.
        votes: name -> sum of the scores with which it was recognised.
    """

    face: Face
    velocity: torch.Tensor = field(default_factory=lambda: torch.zeros(2))
    seen: int = 1
    missed: int = 0
    votes: dict[str, float] = field(default_factory=dict[str, float])

    def expected(self) -> torch.Tensor:
        """Where its centre will be in the next frame."""
        return _centre(self.face) + self.velocity

    def found(self, face: Face) -> None:
        """It is there again."""
        self.velocity = (self.velocity + _centre(face) - _centre(self.face)) / 2 if self.seen > 1 else (
            _centre(face) - _centre(self.face)
        )
        self.face, self.seen, self.missed = face, self.seen + 1, 0

    def filled(self) -> Face:
        """It, where its movement leads."""
        self.missed += 1
        self.face = self.face.moved(float(self.velocity[0]), float(self.velocity[1]))
        return self.face

    @property
    def name(self) -> str | None:
        """Who it is by all that was seen."""
        return max(self.votes, key=lambda name: self.votes[name]) if self.votes else None


class FaceTracker:
    """Follows the faces of one video, frame after frame; not to be shared by two videos."""

    def __init__(self) -> None:
        self._tracks: list[_Track] = []
        self._size = (0, 0)

    def follow(self, faces: Faces, frame: torch.Tensor, recogniser: FaceAnalyzer | None = None) -> Faces:
        """The faces of the next frame `[1,3,H,W]`: each with the name that it had before, and with those that were
        there and are not found now, for up to `MOST_MISSED` frames.

        Args:
            recogniser: tells whether a face in the expected place is the same person; None: the place alone does.
        """
        if (faces.height, faces.width) != self._size:
            self._tracks, self._size = [], (faces.height, faces.width)
        here = list(faces[0])
        views = here
        if recogniser is not None and here and self._tracks:
            views = list(recogniser.embed(frame, faces)[0])
        pairs = self._pairs(views, "" if recogniser is None else recogniser.embedder_id)
        kept: list[_Track] = []
        shown: list[Face] = []
        taken = {track.name for track in pairs.values() if track.name} | {face.identity for face in here}
        for index, (face, view) in enumerate(zip(here, views, strict=True)):
            track = pairs.get(index)
            if track is None:
                kept.append(_Track(view))
                shown.append(face)
                continue
            track.found(view)
            kept.append(track)
            named = face.identity is None and track.name
            shown.append(replace(face, identity=track.name, guessed=True) if named else face)
        found = {id(track) for track in pairs.values()}
        for track in self._tracks:
            if id(track) in found or track.missed >= MOST_MISSED:
                continue
            filled = track.filled()
            if track.seen >= SEEN and self._inside(filled):
                kept.append(track)
                name = None if track.name in taken else track.name
                shown.append(replace(filled, embedding=None, identity=name, guessed=True))
        self._tracks = kept
        return replace(faces, pictures=(in_order(shown),))

    def learn(self, faces: Faces) -> None:
        """Remember who the faces of the frame that was followed last turned out to be."""
        for face in faces.scaled_to(*self._size)[0] if self._size[0] else ():
            track = min(self._tracks, key=lambda track: _apart(track.face, face), default=None)
            if track is None or _apart(track.face, face) > REACH / 2 or not face.identity:
                continue
            track.votes[face.identity] = track.votes.get(face.identity, 0.0) + (face.identity_score or 0.0)
            if face.embedding is not None and not track.missed:
                track.face = replace(track.face, embedding=face.embedding)

    def _pairs(self, faces: Sequence[Face], embedder_id: str) -> dict[int, _Track]:
        """Index of a face -> its track, the nearest pairs first."""
        near: list[tuple[float, int, _Track]] = []
        for index, face in enumerate(faces):
            for track in self._tracks:
                eyes = max(track.face.eye_distance, face.eye_distance)
                distance = float((_centre(face) - track.expected()).norm()) / max(eyes, 1e-6)
                growth = face.eye_distance / max(track.face.eye_distance, 1e-6)
                reach = REACH * (1 + track.missed)
                if distance <= reach and 1 / GROWTH <= growth <= GROWTH and _alike(face, track.face, embedder_id):
                    near.append((distance, index, track))
        pairs: dict[int, _Track] = {}
        for _, index, track in sorted(near, key=lambda pair: pair[0]):
            if index not in pairs and all(track is not other for other in pairs.values()):
                pairs[index] = track
        return pairs

    def _inside(self, face: Face) -> bool:
        x, y = _centre(face).tolist()
        return 0 <= x < self._size[1] and 0 <= y < self._size[0]


def _centre(face: Face) -> torch.Tensor:
    return face.landmarks.mean(0)


def _apart(one: Face, other: Face) -> float:
    """How far two faces are apart, in eye distances of the larger one."""
    eyes = max(one.eye_distance, other.eye_distance, 1e-6)
    return float((_centre(one) - _centre(other)).norm()) / eyes


def _alike(one: Face, other: Face, embedder_id: str) -> bool:
    if one.embedding is None or other.embedding is None or one.embedding.shape != other.embedding.shape:
        return True
    calibration = calibration_of(embedder_id)
    cosine = float(one.embedding @ other.embedding)
    return (cosine - calibration.different) / (calibration.same - calibration.different) >= SAME
