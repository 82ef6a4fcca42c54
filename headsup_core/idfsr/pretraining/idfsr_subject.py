"""An IDFSR network as a subject of the training loop."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn
from torch.utils.data import Dataset

from ...errors import InputError, ModelFileError
from ...faces.registry import load_face_analyzer
from ...host import PlainHost
from ...models.file_formats.weights_files import read_weights
from ...training.data.landmark_teacher import LandmarkTeacher
from ...training.subject import Batch, Losses, Subject, Workplace
from ..conditioning import Seen, compose
from ..idfsr_file import is_idfsr_file, read_architecture, save_idfsr
from ..idfsr_model import IDFSRModel
from ..left_out import chance_of_leaving_out, leave_out
from ..network.diffae import load_diffae
from ..network.idfsr_unet import IDFSRNetwork
from .aligned_photos import AlignedPhoto, prepare_photos
from .face_judges import FaceJudges
from .face_samples import FaceDataset
from .idfsr_config import IDFSRConfig

OVERSAMPLING = 2
"""Faces are kept this much finer than they are trained at."""
SHOWN = 6
"""Faces on a sample sheet."""
SHEET_SEED = 12345
LAST_LAYER = "out.2."


class IDFSRSubject(Subject):
    """The noise that IDFSR predicts on aligned faces, whose prepared photos lie in the run's folder.

    Raises:
        InputError: the analyzer has another recogniser than the architecture names, or a source shows no face.
    """

    def __init__(self, config: IDFSRConfig, place: Workplace) -> None:
        self.config, self._place = config, place
        self._network = IDFSRNetwork(config.architecture).train()
        self._network.checkpointing = config.gradient_checkpointing
        self.networks: nn.Module = self._network
        self._photos = self._prepare(place.folder / "photos.safetensors")
        self._judges = FaceJudges(config, place.device)

    @property
    def model(self) -> IDFSRModel:
        """The model with the weights that are trained."""
        return self.averaged_model(self._network)

    def averaged_model(self, averaged: nn.Module) -> IDFSRModel:
        """The model with a copy of the network: what is shipped."""
        assert isinstance(averaged, IDFSRNetwork)  # noqa: S101 - narrows the type
        return IDFSRModel(averaged, self.config.architecture)

    def begin(self) -> None:
        """Random weights or a file's, and the people's mean and variance where the file has none.

        Raises:
            ModelFileError: `config.init` cannot be used.
        """
        init = self.config.init
        if init and take_over(self._network, Path(init)):
            return
        vectors = torch.stack([photo.embedding for photos in self._photos for photo in photos])
        self._network.identity_tokens.mean.copy_(vectors.mean(0))
        self._network.identity_tokens.scale.copy_(vectors.std(0, unbiased=False).clamp(min=1e-3))

    def samples(self, length: int) -> Dataset[Batch]:
        return self._dataset(length, self.config.seed)

    def losses(self, batch: Batch, step: int, chance: torch.Generator) -> Losses:
        """Dropout draws from the global state, all else from `chance`."""
        model, seen, identity = self.model, self._seen(batch), batch["embedding"]
        if shares := self.config.left_out:
            out = chance_of_leaving_out(shares, len(identity), chance)
            seen, identity = leave_out(seen, batch["low"], identity, self._network.identity_tokens.mean, out)
        with self._place.processes.autocast():
            attempt = model.attempt(batch["good"], seen, model.style(seen), identity, chance)
            faces = {} if attempt.faces is None else self._judges.losses(attempt.faces, batch["good"])
        return {self.config.architecture.predicts: attempt.loss, **faces}

    def sheet(self, averaged: nn.Module) -> torch.Tensor:
        """Rows of (enlarged LR | I_M | I_W | restored | true), always the same faces."""
        dataset = self._dataset(SHOWN, SHEET_SEED)
        samples = [dataset[index] for index in range(SHOWN)]
        batch = {name: torch.stack([sample[name] for sample in samples]) for name in samples[0]}
        batch = {name: part.to(self._place.device) for name, part in batch.items()}
        seen = self._seen(batch)
        restored = self.averaged_model(averaged.eval()).restore(seen, batch["embedding"])
        columns = torch.cat([batch["low"], seen.masked, seen.warped, restored, batch["good"]], dim=3)
        return torch.cat(list(columns.cpu()), dim=1)[None]

    def export(self, path: Path, averaged: nn.Module) -> None:
        """One file that `load_idfsr` reads."""
        save_idfsr(path, self.averaged_model(averaged))

    def _prepare(self, path: Path) -> list[list[AlignedPhoto]]:
        config = self.config
        analyzer = load_face_analyzer(config.analyzer, PlainHost(self._place.device))
        wanted = config.architecture.embedder
        if wanted != analyzer.embedder_id:
            raise InputError(
                f"the architecture takes embeddings of {wanted!r}, {config.analyzer} gives {analyzer.embedder_id!r}"
            )
        teacher = LandmarkTeacher(Path(config.teacher)) if config.teacher else None
        processes = self._place.processes
        if not processes.first:  # one prepares, the others read what it wrote
            processes.wait()
        photos = prepare_photos(config.sources, OVERSAMPLING * config.architecture.size, analyzer, teacher, path)
        if processes.first:
            processes.wait()
        return photos

    def _dataset(self, length: int, seed: int) -> FaceDataset:
        config = self.config
        return FaceDataset(
            config.sources,
            self._photos,
            config.low,
            config.architecture.size,
            length,
            seed,
            config.embedding_from,
            config.jitter,
        )

    def _seen(self, batch: Batch) -> Seen:
        return compose(batch["low"], batch["mask"], batch["placed"], masked=self.config.architecture.masked)


def take_over(network: IDFSRNetwork, path: Path) -> bool:
    """Fill `network` from an IDFSR file of the same architecture (but its size), or from a DiffAE checkpoint.

    From a file that predicts something else all is taken but the last layer, whose output means something else.

    Returns:
        Whether the file knew the people's mean and variance.

    Raises:
        ModelFileError: the file cannot be read, or holds other layers.
    """
    if path.suffix != ".safetensors" or not is_idfsr_file(read_weights(path, lambda name: False).metadata):
        load_diffae(network, path)
        return False
    file = read_weights(path)
    tensors = {name: value.float() for name, value in file.content.items()}
    if read_architecture(file).predicts != network.architecture.predicts:
        tensors |= {name: value for name, value in network.state_dict().items() if name.startswith(LAST_LAYER)}
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise ModelFileError(f"{path} is of another architecture: {str(error)[:300]}") from error
    return True
