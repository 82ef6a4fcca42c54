"""One process or several: device, precision and the mean of their gradients, by accelerate."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Any, Literal

import torch
from torch import nn

from ..errors import InputError
from ..libraries import need

Precision = Literal["", "no", "bf16"]


class Processes:
    """The processes that `accelerate launch` started, or this one alone.

    Args:
        device: for one process; several take what accelerate gives each.
        precision: of the networks' calls: "bf16", "no", or "" for what `accelerate launch` was told. Weights, latents
            and losses stay in fp32.

    Raises:
        InputError: accelerate is not installed, or a precision that would need scaled gradients (fp16).
    """

    def __init__(self, device: torch.device, precision: Precision = "") -> None:
        accelerate = need("accelerate", purpose="training")
        self._accelerator: Any = accelerate.Accelerator(cpu=device.type == "cpu")
        # asked here and not of Accelerator, which has one precision for as long as Python runs
        chosen = precision or self._accelerator.mixed_precision
        if chosen not in ("no", "bf16"):
            raise InputError(f"precision {chosen}: choose bf16 or no")
        self._half = chosen == "bf16"
        self.count: int = self._accelerator.num_processes
        self.index: int = self._accelerator.process_index
        given: torch.device = device if self.count == 1 else self._accelerator.device
        self.device = torch.device("cpu") if given.type == "cpu" else given  # cpu:1 is no place to load a file to

    @property
    def first(self) -> bool:
        """Whether this is the process that writes files."""
        return self.index == 0

    def autocast(self) -> AbstractContextManager[Any]:
        """Within the block networks compute in the chosen precision."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self._half)

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace gradients by their mean over the processes; every process calls it with the same parameters.

        A parameter that has a gradient in some of them counts as zero in the others.
        """
        if self.count == 1:
            return
        wanted = [parameter for parameter in parameters if parameter.requires_grad]
        present = torch.tensor([float(parameter.grad is not None) for parameter in wanted], device=self.device)
        known = self._accelerator.reduce(present, "sum").tolist()
        used = [parameter for parameter, count in zip(wanted, known, strict=True) if count]
        if not used:
            return
        parts = [torch.zeros_like(one) if one.grad is None else one.grad for one in used]
        mean = self._accelerator.reduce(torch.cat([part.flatten() for part in parts]), "mean")
        for parameter, part in zip(used, mean.split([part.numel() for part in parts]), strict=True):
            parameter.grad = part.reshape(parameter.shape).clone()

    def mean(self, number: float) -> float:
        """The mean of what each process gives; every process calls it."""
        if self.count == 1:
            return number
        return float(self._accelerator.reduce(torch.tensor(number, device=self.device), "mean"))

    def wait(self) -> None:
        """Until all processes are here."""
        self._accelerator.wait_for_everyone()

    def finish(self) -> None:
        """Part from the others, when nothing is left to do together: a process that just ends may take them down."""
        self.wait()
        self._accelerator.end_training()
