"""`.onnx` files of face restorers, as GPEN is passed on, through onnxruntime."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ...errors import HeadsUpError, InputError, ModelFileError
from ...libraries import need
from ..load_options import NoOptions, choose_options
from ..one_step import OneStepModel
from .aligned_network import AlignedNetwork, aligned_model
from .known_restorers import FACE_RESTORERS, FaceRestorer

SUFFIX = ".onnx"
SIDES = (256, 512, 1024, 2048)
"""Pixels of the faces that such files are made for."""
NUMBERS = {"tensor(double)": np.float64, "tensor(float)": np.float32}


class OnnxNetwork(nn.Module):
    """An opened file as a module: faces `[B,3,S,S]` in -1..1, float32, to restored ones.

    Args:
        weight: CodeFormer's, for files that ask for it.
    """

    def __init__(self, path: Path, weight: float) -> None:
        super().__init__()
        self._path, self._weight = path, weight
        self._runtime: Any = need("onnxruntime", purpose=f"{path.name}")
        self._sessions: dict[str, Any] = {}
        # torch and the host ask a network where it is and how precise; the weights themselves are onnxruntime's
        self.place = nn.Parameter(torch.zeros(1), requires_grad=False)
        inputs: list[Any] = list(self._session("cpu").get_inputs())
        pictures = [one for one in inputs if len(one.shape) == 4]
        self._numbers = [one for one in inputs if len(one.shape) < 2]
        if len(pictures) != 1 or len(pictures) + len(self._numbers) != len(inputs):
            found = ", ".join(f"{one.name} {one.shape}" for one in inputs)
            raise ModelFileError(f"{path} takes {found}: expected one picture [1,3,S,S], so it restores no faces")
        if unknown := [one for one in self._numbers if one.type not in NUMBERS]:
            raise ModelFileError(f"{path} wants a {unknown[0].type} for {unknown[0].name}, which is not known here")
        self._picture = pictures[0]
        self.side = self._side_of(self._picture.shape)

    @property
    def asks_for_weight(self) -> bool:
        """Whether the file takes a number beside the picture."""
        return bool(self._numbers)

    def forward(self, faces: torch.Tensor) -> torch.Tensor:
        session = self._session(faces.device.type)
        told = {one.name: np.full([1] * len(one.shape), self._weight, NUMBERS[one.type]) for one in self._numbers}
        results: list[torch.Tensor] = []
        for face in faces.float().cpu().split(1):
            try:
                output: Any = session.run(None, {self._picture.name: face.numpy(), **told})[0]
            except Exception as error:  # onnxruntime raises classes of its own for every kind of damage
                raise HeadsUpError(f"{self._path.name}: onnxruntime failed ({_line(error)})") from error
            result = torch.from_numpy(np.asarray(output))
            if result.shape != face.shape:
                raise HeadsUpError(f"{self._path.name} gave {tuple(result.shape)} for a face of {tuple(face.shape)}")
            results.append(result)
        return torch.cat(results).to(faces)

    def _session(self, device: str) -> Any:  # noqa: ANN401 - onnxruntime has no types
        providers = ["CPUExecutionProvider"]
        if device == "cuda" and "CUDAExecutionProvider" in self._runtime.get_available_providers():
            providers = ["CUDAExecutionProvider", *providers]
        if providers[0] not in self._sessions:
            options = self._runtime.SessionOptions()
            options.intra_op_num_threads = torch.get_num_threads()
            options.log_severity_level = 3
            try:
                session = self._runtime.InferenceSession(str(self._path), options, providers=providers)
            except Exception as error:  # as above
                raise ModelFileError(f"{self._path} cannot be loaded ({_line(error)}): get it again") from error
            self._sessions = {providers[0]: session}  # the one on the other device is given back
        return self._sessions[providers[0]]

    def _side_of(self, shape: list[Any]) -> int:
        """S of the faces; where the file leaves it open, the number in its name, or 512.

        Raises `ModelFileError` for a picture that is not square or of another size than faces have.
        """
        channels, height, width = shape[1:]
        sizes = [size for size in (height, width) if isinstance(size, int)]
        named = next((side for side in reversed(SIDES) if str(side) in self._path.stem), 512)
        side = sizes[0] if sizes else named
        if (isinstance(channels, int) and channels != 3) or any(size != side for size in sizes):
            raise ModelFileError(f"{self._path} takes pictures {shape}: expected [1,3,S,S]")
        if side not in SIDES:
            raise ModelFileError(f"{self._path} takes pictures of {side} px: faces have {', '.join(map(str, SIDES))}")
        return side


def load_onnx_restorer(path: Path, dtype: str, options: Mapping[str, Any]) -> OneStepModel:
    """The model of an `.onnx` file; which kind it is, its name says.

    Raises:
        ModelFileError: no such file, a damaged one, or one that restores no faces.
        InputError: a dtype other than "auto" and "float32", an unknown option, or no onnxruntime.
    """
    if not os.path.isfile(path):
        what = "is a folder, not a file" if os.path.isdir(path) else "does not exist"
        raise ModelFileError(f"model file {path} {what}")
    restorer = _kind_of(path)
    if dtype not in ("auto", "float32"):
        raise InputError(f"dtype {dtype}: {path.name} computes in the precision that it was written in: choose auto")
    chosen: Any = choose_options(restorer.options, options, restorer.name)
    network = OnnxNetwork(path, getattr(chosen, "fidelity", math.nan))
    if network.asks_for_weight and restorer.options is NoOptions:
        raise ModelFileError(f"{path} asks for a number that {restorer.name} does not have: rename it after its model")
    placed = AlignedNetwork(network, lambda module, faces: module(faces), network.side, restorer.width)
    return aligned_model(placed, restorer.sized(network.side))


def _kind_of(path: Path) -> FaceRestorer:
    """By the name: such a file does not say what it is."""
    name = path.stem.lower().replace("_", "").replace("-", "")
    found = next((one for one in FACE_RESTORERS if one.id in name), None)
    if found is None:
        names = ", ".join(one.name for one in FACE_RESTORERS)
        raise ModelFileError(f"{path} does not say in its name which face restorer it is: it must hold one of {names}")
    return found


def _line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)[:200]
