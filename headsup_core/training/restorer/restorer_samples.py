"""Training crops: folders of clean pictures mixed by ratio, degraded on the fly, deterministic by index.

Portraits may come with a reference: another photo of the person, or an altered copy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.data import Dataset

from ...models.record import ReferencePlacement
from ...option_fields import check_fields, within
from ..data.degradation import degrade, enlarge
from ..data.landmark_annotations import FindEveryone, FindLandmarks, lies_inside, placed_landmarks
from ..data.photos import Photos, Place
from ..data.portraits import Reference, References, greyed, make_reference, no_reference
from ..schedule import normalised
from ..subject import Batch

MOST_OTHERS = 3
"""Further faces of a crop that count: a crowd would take the memory of many crops."""
GREY_PICTURES = 0.07
"""Share of black and white pictures: grey that comes in is to go out grey."""


@dataclass(frozen=True)
class SourceConfig:
    """One folder of clean pictures, or one index of faces (`dataset build`).

    Attributes:
        folder: the folder, or the index's `.json`: there people are told apart by their faces, and a picture may show
            several of them.
        ratio: share of the samples drawn from it.
        longest_side: larger pictures are reduced to this once, in memory.
        zoom: range of the factor by which a picture is reduced before cropping.
        centre: standard deviation of the crop's centre about the picture's, as a share of its side; 0: anywhere.
        hold_out: leave out every n-th person (sorted by the file name up to the first `_`) for measuring; 0: none.
        references: another photo of the person, or an altered copy of the photo. "other_photo" takes the copy where
            there is no other photo, "other_photo_or_none" no reference there (HeadsUp, 3.3: zero). "none": nobody is
            known; faces that an index names or the teacher finds count in the face losses all the same.
        whole_face: share of the crops that are cut about a whole face, in a source with references.
        in_memory: read all pictures once; False: each when it is drawn, which takes an index for references.
    """

    folder: str
    ratio: float
    longest_side: int = within(1024, 1)
    zoom: Sequence[float] = (0.5, 1.0)
    centre: float = within(0.0, 0)
    hold_out: int = within(0, 0)
    references: References = "none"
    whole_face: float = within(0.5, 0, 1)
    in_memory: bool = True

    def __post_init__(self) -> None:
        check_fields(self, f"source {self.folder}")


@dataclass(frozen=True, eq=False)
class Crop:
    """A clean crop `[3,S,S]` in 0..1; with a face also its landmarks `[5,2]` in the crop, and its reference.

    Attributes:
        others: landmarks of further faces that lie wholly in the crop.
        picture: index of the picture in its source.
    """

    image: torch.Tensor
    landmarks: torch.Tensor | None = None
    reference: Reference | None = None
    others: Sequence[torch.Tensor] = ()
    picture: int = 0


class CropSource:
    """Draws square crops of the pictures of one source.

    Args:
        teacher: finds the landmarks of photos that nobody annotated, in a source with references; photos without a
            face are left as they are.
        everyone: finds all faces of photos in a folder without references; None: they show none that count.
    """

    def __init__(
        self,
        config: SourceConfig,
        teacher: FindLandmarks | None = None,
        everyone: FindEveryone | None = None,
    ) -> None:
        self.config = config
        self._photos = Photos(
            Path(config.folder),
            longest_side=config.longest_side,
            hold_out=config.hold_out,
            with_faces=config.references != "none",
            in_memory=config.in_memory,
            teacher=teacher,
            everyone=everyone,
        )

    def file(self, picture: int) -> Path:
        """The file of a picture by its index, as `Crop` has it."""
        return self._photos.file(picture)

    def __len__(self) -> int:
        return len(self._photos)

    def crop(
        self,
        rng: np.random.Generator,
        size: int,
        reference_drop: float = 0.0,
        placement: ReferencePlacement = "warped",
    ) -> Crop:
        """A crop of `size` px, reduced by a random zoom, mirrored half the time. Of several faces one has a reference.

        Args:
            reference_drop: how often the reference is left out (HeadsUp 4.1: p = 0.2).
            placement: where the reference lies, as the model has it.
        """
        index = int(rng.integers(len(self._photos)))
        picture, faces = self._photos.picture(index), self._photos.faces(index)
        known = faces if self.config.references != "none" else ()
        place = (index, int(rng.integers(len(known))) if len(known) > 1 else 0)
        face = known[place[1]] if known else None
        if face is not None and rng.random() < self.config.whole_face:
            corner, side = self._about_face(rng, picture, face, size)
        else:
            corner, side = self._anywhere(rng, picture, size)
        box = (corner[0], corner[1], corner[0] + side, corner[1] + side)
        array = np.asarray(picture.resize((size, size), Image.Resampling.LANCZOS, box=box), dtype=np.float32) / 255
        image = torch.from_numpy(array.copy()).permute(2, 0, 1)
        mirrored = rng.random() < 0.5
        if mirrored:
            image = image.flip(-1)
        placed = [placed_landmarks(each, corner, side, size, mirrored) for each in faces]
        inside = [at for at, each in enumerate(placed) if lies_inside(each, size)]
        main = place[1] if face is not None else next(iter(inside), None)
        others = tuple(placed[at] for at in inside if at != main)[:MOST_OTHERS]
        if main is None:
            return Crop(image, picture=index)
        plain = Crop(image, placed[main], None, others, index)
        if face is None:
            return plain
        found = self._reference_photo(rng, place)
        if rng.random() < reference_drop or found is None:
            return plain
        aligned = self._photos.aligned(found[0])
        reference = make_reference(aligned, placed[main], size, mirrored, rng, copy=found[1], placement=placement)
        if placement == "aligned" and not reference.mask.any():  # in use a tile without the face gets no reference
            return plain
        return replace(plain, reference=reference)

    def _anywhere(self, rng: np.random.Generator, picture: Image.Image, size: int) -> tuple[list[float], float]:
        low, high = self.config.zoom
        side = min(size / rng.uniform(low, high), min(picture.size))
        return [self._start(rng, extent, side) for extent in picture.size], side

    def _about_face(
        self, rng: np.random.Generator, picture: Image.Image, face: torch.Tensor, size: int
    ) -> tuple[list[float], float]:
        """A square in which the face is whole: 3.4 to 12 eye distances wide, the face about its middle."""
        eyes = float((face[1] - face[0]).norm())
        least = max(3.4 * eyes, size / self.config.zoom[1])
        side = float(np.exp(rng.uniform(np.log(least), np.log(max(12 * eyes, least)))))
        side = min(side, *picture.size)
        spare = max(0.0, side - 3.4 * eyes) / 2
        corner: list[float] = []
        for centre, extent in zip(face.mean(0).tolist(), picture.size, strict=True):
            start = centre - side / 2 + rng.uniform(-1, 1) * min(spare, side * 0.2)
            corner.append(float(np.clip(start, 0, extent - side)))
        return corner, side

    def _reference_photo(self, rng: np.random.Generator, place: Place) -> tuple[Place, bool] | None:
        """The reference's face for the face at `place`, and whether it is the same photo; None: there is none."""
        others = self._photos.others(place) if self.config.references != "augmented_copy" else ()
        if others:
            return others[int(rng.integers(len(others)))], False
        return None if self.config.references == "other_photo_or_none" else (place, True)

    def _start(self, rng: np.random.Generator, extent: int, side: float) -> float:
        spare = extent - side
        if not self.config.centre:
            return rng.uniform(0, spare)
        return float(np.clip(spare / 2 + rng.normal(0, self.config.centre) * extent, 0, spare))


class RestorationDataset(Dataset[Batch]):
    """Samples of one size S: dictionaries of tensors.

    * bad `[3,S,S]`: the degraded picture enlarged to S; good `[3,S,S]`, both in 0..1.
    * reference `[3,S,S]`, mask `[1,S,S]`: see `faces.reference`; reference_face `[3,112,112]` aligned to ArcFace.
    * has_reference, has_face: 1.0 or 0.0; landmarks `[5,2]` of the face. A face counts when it is wholly inside.
    * other_faces `[MOST_OTHERS,5,2]`, has_other `[MOST_OTHERS]`: further faces that are wholly inside, nobody's known.
    * place `[2]`: number of the source, and of the picture in it.

    Item i depends on (seed, i) alone, so a resumed run continues with the very samples it would have seen.
    """

    def __init__(
        self,
        sources: Sequence[CropSource],
        degradations: dict[str, float],
        size: int,
        length: int,
        seed: int,
        reference_drop: float = 0.0,
        placement: ReferencePlacement = "warped",
    ) -> None:
        self._sources = sources
        self._source_probs = normalised([source.config.ratio for source in sources])
        self._degradations = list(degradations)
        self._degradation_probs = normalised(list(degradations.values()))
        self._size = size
        self._length = length
        self._seed = seed
        self._reference_drop = reference_drop
        self._placement: ReferencePlacement = placement

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> Batch:
        rng = np.random.default_rng([self._seed, index])
        drawn = int(rng.choice(len(self._sources), p=self._source_probs))
        source = self._sources[drawn]
        clean = source.crop(rng, self._size, self._reference_drop, self._placement)
        name = self._degradations[rng.choice(len(self._degradations), p=self._degradation_probs)]
        good, reference = clean.image, clean.reference or no_reference(self._size)
        if rng.random() < GREY_PICTURES:
            good = greyed(good)
            reference = replace(reference, picture=greyed(reference.picture), aligned=greyed(reference.aligned))
        small = degrade(good[None], name, int(rng.integers(2**31)))
        whole = clean.landmarks is not None and lies_inside(clean.landmarks, self._size)
        return {
            "bad": enlarge(small, self._size)[0],
            "good": good,
            "reference": reference.picture,
            "mask": reference.mask,
            "reference_face": reference.aligned,
            "has_reference": torch.tensor(float(clean.reference is not None)),
            "has_face": torch.tensor(float(whole)),
            "landmarks": torch.zeros(5, 2) if clean.landmarks is None else clean.landmarks,
            "other_faces": torch.stack([*clean.others, *[torch.zeros(5, 2)] * (MOST_OTHERS - len(clean.others))]),
            "has_other": (torch.arange(MOST_OTHERS) < len(clean.others)).float(),
            "place": torch.tensor([drawn, clean.picture]),
        }
