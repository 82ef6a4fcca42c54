"""From photos to an `Identity`: faces found, aligned, embedded; photos of somebody else dropped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from ..errors import InputError
from ..faces.alignment import align_matrix, crop
from ..faces.analyzer import DetectionOptions, FaceAnalyzer, unit
from ..faces.face import Face
from ..faces.faces import Faces
from .identity import CROP_SIDE, Identity, PhotoReport
from .names import checked_name, free_names, refuse_doubles
from .quality import photo_quality
from .similarity import calibration_of, compare

MAX_CROPS = 16
"""More photos than this still count for the embedding; the crops of the best are kept."""
HELD_CROPS = 4 * MAX_CROPS
"""Crops in memory while photos come in, 3 MB each: more than are kept, since some may show somebody else."""


@dataclass(frozen=True, eq=False)
class _Photo:
    """One photo with a face; its crop is let go when enough better ones are there."""

    label: str
    embedding: torch.Tensor
    crop: torch.Tensor | None
    quality: float
    weakness: str
    faces: int = 1


class IdentityEncoder:
    """One person from photos that come one by one, none of which is kept: hundreds of large ones fit into memory.

    Args:
        name: of the person.
        options: which faces count.

    Raises:
        InputError: an empty name.
    """

    def __init__(self, analyzer: FaceAnalyzer, name: str = "person", options: DetectionOptions | None = None) -> None:
        self._analyzer = analyzer
        self._name = checked_name(name)
        self._options = options or DetectionOptions()
        self._labels: list[str] = []
        self._found: list[_Photo] = []
        self._reports: dict[str, PhotoReport] = {}

    def add(self, picture: torch.Tensor, label: str | None = None, faces: Faces | None = None) -> None:
        """The largest face of a photo `[1,3,H,W]` in 0..1.

        Args:
            label: what the photo is called; None: its number, from 1.
            faces: of the photo, when they were detected already.

        Raises:
            InputError: a photo with NaN, or an analyzer that recognises nobody.
        """
        label = label or str(len(self._labels) + 1)
        if label in self._labels:  # reports go by label
            label = f"{label} ({len(self._labels) + 1})"
        found = self._analyzer.detect(picture, self._options) if faces is None else faces
        largest = replace(found, pictures=(found[0][:1],))
        if largest.count:
            photo = _photo(label, picture, self._analyzer.embed(picture, largest)[0][0])
            self._found.append(replace(photo, faces=len(found[0])))
            self._let_go()
        else:
            size = f"{picture.shape[-1]}x{picture.shape[-2]}"
            reason = f"no face found in its {size} px by {self._analyzer.name}"
            self._reports[label] = PhotoReport(label, 0.0, False, reason, faces=0)
        self._labels.append(label)

    def identity(self) -> Identity:
        """The person, from all photos so far.

        Raises:
            InputError: no photo, or none with a face.
        """
        if not self._labels:
            raise InputError("no photo was given: at least one is needed")
        if not self._found:
            raise InputError(
                f"no face was found in any of the {len(self._labels)} photos of {self._name!r} by "
                f"{self._analyzer.name}: use sharper or larger photos, or a lower minimum score"
            )
        return _combine(self._name, self._found, dict(self._reports), self._labels, self._analyzer.embedder_id)

    def _let_go(self) -> None:
        """Drop the crop of the worst photo when there are more than `HELD_CROPS`."""
        held = [index for index, photo in enumerate(self._found) if photo.crop is not None]
        if len(held) > HELD_CROPS:
            worst = min(held, key=lambda index: (self._found[index].quality, -index))
            self._found[worst] = replace(self._found[worst], crop=None)


def encode_identity(
    photos: Sequence[torch.Tensor] | torch.Tensor,
    analyzer: FaceAnalyzer,
    name: str = "person",
    labels: Sequence[str] | None = None,
    options: DetectionOptions | None = None,
    faces: Sequence[Faces] | None = None,
) -> Identity:
    """One person from the largest face of each photo.

    The embedding is the mean over the photos that agree, see `agreeing`; a photo without a face, or of somebody else,
    is left out, and `Identity.photos` says why.

    Args:
        photos: pictures `[1,3,H,W]` in 0..1 of any sizes, or a batch `[B,3,H,W]`.
        labels: what the photos are called; None: their numbers, from 1.
        faces: of each photo, when they were detected already; `options` do not matter then.

    Raises:
        InputError: no photo, none with a face, a photo with NaN, an empty name, or an analyzer that recognises nobody.
    """
    encoder = IdentityEncoder(analyzer, name, options)
    batches = photos if isinstance(photos, Sequence) else [photos]
    pictures = [picture for batch in batches for picture in batch.split(1)]
    labels = labels or [str(number) for number in range(1, len(pictures) + 1)]
    if len(labels) != len(pictures):
        raise InputError(f"{len(labels)} labels for {len(pictures)} photos: must be as many")
    if faces is not None and len(faces) != len(pictures):
        raise InputError(f"faces of {len(faces)} photos for {len(pictures)} photos: must be as many")
    for index, (label, picture) in enumerate(zip(labels, pictures, strict=True)):
        encoder.add(picture, label, None if faces is None else faces[index])
    return encoder.identity()


def encode_people(
    picture: torch.Tensor,
    analyzer: FaceAnalyzer,
    names: Sequence[str] = (),
    options: DetectionOptions | None = None,
    faces: Faces | None = None,
) -> list[Identity]:
    """All faces of one photo `[1,3,H,W]` as several people, from left to right.

    Args:
        names: of the first people from the left, which must differ; the others are called person and their
            number from the left.
        faces: of the photo, when they were detected already; `options` do not matter then.

    Raises:
        InputError: no face, more names than faces, a name given twice, or an analyzer that recognises nobody.
    """
    if faces is None:
        faces = analyzer.detect(picture, options or DetectionOptions())
    faces = analyzer.embed(picture, faces)
    people = sorted(faces[0], key=lambda face: (face.box[0], face.box[1]))
    if not people:
        raise InputError(f"no face was found in the photo by {analyzer.name}: use a sharper or larger one")
    if len(names) > len(people):
        raise InputError(f"{len(names)} names for {len(people)} faces: must not be more")
    given = [checked_name(name) for name in names]
    refuse_doubles(given)
    called = [*given, *free_names(given, len(people) - len(given), after=len(given))]
    photos = [_photo(f"face {number}", picture, face) for number, face in enumerate(people, 1)]
    return [
        _combine(name, [photo], {}, [photo.label], analyzer.embedder_id)
        for name, photo in zip(called, photos, strict=True)
    ]


def _photo(label: str, picture: torch.Tensor, face: Face) -> _Photo:
    picture = picture.float().cpu().clamp(0, 1)
    quality = photo_quality(picture, face)
    aligned = crop(picture, align_matrix(face.landmarks, CROP_SIDE), CROP_SIDE)
    assert face.embedding is not None  # noqa: S101 - narrows the type: the face comes out of embed()
    return _Photo(label, face.embedding, aligned, quality.overall, quality.shortcomings)


def _combine(
    name: str, photos: Sequence[_Photo], reports: dict[str, PhotoReport], labels: Sequence[str], embedder_id: str
) -> Identity:
    kept, dropped = agreeing(photos, embedder_id)
    for photo in photos:
        largest = f"the largest of {photo.faces} faces was taken" if photo.faces > 1 else ""
        reason = ", ".join(filter(None, (largest, dropped.get(photo.label, photo.weakness))))
        reports[photo.label] = PhotoReport(
            photo.label, photo.quality, photo.label not in dropped, reason, photo.faces
        )
    vector = unit(torch.stack([photo.embedding for photo in kept]).mean(0))
    best = [photo.crop for photo in sorted(kept, key=lambda photo: -photo.quality) if photo.crop is not None]
    crops = torch.cat(best[:MAX_CROPS]) if best else torch.zeros(0, 3, CROP_SIDE, CROP_SIDE)
    return Identity(name, {embedder_id: vector}, crops, photos=tuple(reports[label] for label in labels))


def agreeing(photos: Sequence[_Photo], embedder_id: str) -> tuple[list[_Photo], dict[str, str]]:
    """The photos that show one person, and for each of the others the reason (label -> text).

    The photo that is most alike to the others (the medoid; of two, the better one) stands for the person; what is
    clearly another person than it is dropped.
    """
    if len(photos) == 1:
        return list(photos), {}
    alike = torch.tensor([[compare(a.embedding, b.embedding, embedder_id).score for b in photos] for a in photos])
    alike.fill_diagonal_(0)
    ranks = [(round(total, 6), photo.quality) for total, photo in zip(alike.sum(1).tolist(), photos, strict=True)]
    medoid = ranks.index(max(ranks))
    reject = calibration_of(embedder_id).reject
    dropped = {
        photo.label: f"does not show the same person as photo {photos[medoid].label} (score {alike[medoid, index]:.2f})"
        for index, photo in enumerate(photos)
        if index != medoid and float(alike[medoid, index]) < reject
    }
    return [photo for photo in photos if photo.label not in dropped], dropped
