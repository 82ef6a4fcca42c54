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
from .quality import photo_quality
from .similarity import calibration_of, compare

MAX_CROPS = 16
"""More photos than this still count for the embedding; the crops of the best are kept."""


@dataclass(frozen=True, eq=False)
class _Photo:
    """One photo with a face."""

    label: str
    embedding: torch.Tensor
    crop: torch.Tensor
    quality: float
    weakness: str


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
    name = checked_name(name)
    batches = photos if isinstance(photos, Sequence) else [photos]
    pictures = [picture for batch in batches for picture in batch.split(1)]
    if not pictures:
        raise InputError("no photo was given: at least one is needed")
    labels = labels or [str(number) for number in range(1, len(pictures) + 1)]
    if len(labels) != len(pictures):
        raise InputError(f"{len(labels)} labels for {len(pictures)} photos: must be as many")
    if faces is not None and len(faces) != len(pictures):
        raise InputError(f"faces of {len(faces)} photos for {len(pictures)} photos: must be as many")
    found: list[_Photo] = []
    reports: dict[str, PhotoReport] = {}
    for index, (label, picture) in enumerate(zip(labels, pictures, strict=True)):
        found_here = faces[index] if faces is not None else analyzer.detect(picture, options or DetectionOptions())
        largest = replace(found_here, pictures=(found_here[0][:1],))
        if not largest.count:
            size = f"{picture.shape[-1]}x{picture.shape[-2]}"
            reports[label] = PhotoReport(label, 0.0, False, f"no face found in its {size} px by {analyzer.name}")
            continue
        found.append(_photo(label, picture, analyzer.embed(picture, largest)[0][0]))
    if not found:
        raise InputError(
            f"no face was found in any of the {len(pictures)} photos of {name!r} by {analyzer.name}: use sharper or "
            "larger photos, or a lower minimum score"
        )
    return _combine(name, found, reports, labels, analyzer.embedder_id)


def encode_people(
    picture: torch.Tensor,
    analyzer: FaceAnalyzer,
    names: Sequence[str] = (),
    options: DetectionOptions | None = None,
    faces: Faces | None = None,
) -> list[Identity]:
    """All faces of one photo `[1,3,H,W]` as several people, from left to right.

    Args:
        names: of the first people from the left; the others are called person 1, person 2 ...
        faces: of the photo, when they were detected already; `options` do not matter then.

    Raises:
        InputError: no face, more names than faces, or an analyzer that recognises nobody.
    """
    if faces is None:
        faces = analyzer.detect(picture, options or DetectionOptions())
    faces = analyzer.embed(picture, faces)
    people = sorted(faces[0], key=lambda face: (face.box[0], face.box[1]))
    if not people:
        raise InputError(f"no face was found in the photo by {analyzer.name}: use a sharper or larger one")
    if len(names) > len(people):
        raise InputError(f"{len(names)} names for {len(people)} faces: must not be more")
    called = [*names, *(f"person {number}" for number in range(len(names) + 1, len(people) + 1))]
    photos = [_photo(f"face {number}", picture, face) for number, face in enumerate(people, 1)]
    return [
        _combine(checked_name(name), [photo], {}, [photo.label], analyzer.embedder_id)
        for name, photo in zip(called, photos, strict=True)
    ]


def checked_name(name: str) -> str:
    """`name` without space around it. Raises `InputError` when nothing remains, or it is longer than 100 characters."""
    stripped = " ".join(name.split())
    if not stripped or len(stripped) > 100:
        raise InputError(f"name of {len(stripped)} characters: a person's name has 1 to 100")
    return stripped


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
        reason = dropped.get(photo.label, photo.weakness)
        reports[photo.label] = PhotoReport(photo.label, photo.quality, photo.label not in dropped, reason)
    vector = unit(torch.stack([photo.embedding for photo in kept]).mean(0))
    best = sorted(kept, key=lambda photo: -photo.quality)[:MAX_CROPS]
    crops = torch.cat([photo.crop for photo in best])
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
