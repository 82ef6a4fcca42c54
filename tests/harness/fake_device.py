"""A GPU that computes nothing: tensors on it have shapes, types and a device, and no values (torch's FakeTensorMode).

What happens on it is written down: copies to main memory and where they were asked for, values in double precision, and
how many bytes were alive at once. Mixing devices in one operation is torch's own error, as on a real GPU.

Main memory stays real: pictures, faces and plans are computed as ever. What comes back from the device has no values
either; written into a real tensor it leaves it as it was, and asked for a number it answers 0, or True.
"""

from __future__ import annotations

import sys
import weakref
from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode, unset_fake_temporarily
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only
from typing_extensions import override

from headsup_core.host import PlainHost

GPU = torch.device("cuda", 0)
CPU = torch.device("cpu")
DOUBLES = (torch.float64, torch.complex128)
CORE = "headsup_core."
COPIES = (torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default)
ANSWER = torch.ops.aten._local_scalar_dense.default


class FakeDevice(TorchDispatchMode):
    """The device's diary, and the mode in which it exists: `with device.running():`.

    Attributes:
        copied: "module:function" -> how many bytes it copied from the device to main memory.
        doubles: "module:function" that made a double-precision tensor on the device.
        live, peak: bytes on the device now, and at most since `reset_peak`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.fake = FakeTensorMode(allow_non_fake_inputs=False)
        self.copied: Counter[str] = Counter()
        self.doubles: set[str] = set()
        self.live = self.peak = 0
        self._storages: dict[int, tuple[weakref.ref[torch.UntypedStorage], int]] = {}

    @contextmanager
    def running(self) -> Generator[None, None, None]:
        """Within the block "cuda" is this device."""
        functional: Any = nn.functional
        functional.scaled_dot_product_attention = _fused
        try:
            with self.fake, self:
                yield
        finally:
            functional.scaled_dot_product_attention = _attention

    def reset_peak(self) -> None:
        self.peak = self.live

    @override
    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
        target = kwargs.get("device")
        if not any(isinstance(tensor, FakeTensor) for tensor in tensors) and not _is_gpu(target):
            with unset_fake_temporarily():
                return func(*args, **kwargs)
        on_gpu = any(_is_gpu(tensor.device) for tensor in tensors)
        if func is ANSWER:
            if on_gpu:
                self._note_copy(tensors[0])
            if tensors[0].dtype == torch.bool:
                return True
            return 0.0 if tensors[0].dtype.is_floating_point else 0
        if func in COPIES and on_gpu and not _is_gpu(tensors[0].device if func is COPIES[1] else target or GPU):
            self._note_copy(tensors[-1])
            if func is COPIES[0] and not tensors[0].dtype.is_floating_point:
                return torch.zeros(tensors[0].shape, dtype=kwargs.get("dtype") or tensors[0].dtype)  # for tolist()
        written = _written(func, args)
        if written is not None and not isinstance(written, FakeTensor):
            return written  # a real tensor cannot take values that do not exist
        args, kwargs = tree_map_only(torch.Tensor, self._as_fake, (args, kwargs))
        result = func(*args, **kwargs)
        for made in tree_leaves(result):
            if isinstance(made, FakeTensor) and _is_gpu(made.device):
                self._note_tensor(made)
        return result

    def _as_fake(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor if isinstance(tensor, FakeTensor) else self.fake.from_tensor(tensor)

    def _note_copy(self, tensor: torch.Tensor) -> None:
        self.copied[_caller()] += tensor.numel() * tensor.element_size()

    def _note_tensor(self, tensor: torch.Tensor) -> None:
        if tensor.dtype in DOUBLES:
            self.doubles.add(_caller())
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._storages:
            return
        size = storage.nbytes()

        def freed(_: object) -> None:
            self.live -= self._storages.pop(key)[1]

        self._storages[key] = weakref.ref(storage, freed), size
        self.live += size
        self.peak = max(self.peak, self.live)


_attention = nn.functional.scaled_dot_product_attention


def _fused(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *args: Any, **options: Any
) -> torch.Tensor:
    """Attention on the device without a matrix of scores, as all fused kernels do; torch for CPUs knows none there."""
    if not _is_gpu(query.device):
        return _attention(query, key, value, *args, **options)
    if not query.device == key.device == value.device or not query.dtype == key.dtype == value.dtype:
        raise RuntimeError(f"attention of {query.device} {query.dtype}, {key.device} {key.dtype}")
    *batch, heads, places, _ = query.shape
    made = query.new_empty(*batch, places, heads, value.shape[-1])  # as the kernels lay it out
    return made.transpose(-2, -3)


def _written(func: Any, args: Sequence[Any]) -> torch.Tensor | None:
    """What an operation in place changes."""
    first = func._schema.arguments[0] if func._schema.arguments else None
    changes = first is not None and first.alias_info is not None and first.alias_info.is_write
    return args[0] if changes and isinstance(args[0], torch.Tensor) else None


def _is_gpu(device: object) -> bool:
    return getattr(device, "type", device) == "cuda"


def _caller() -> str:
    """The innermost function of ours on the stack."""
    frame = sys._getframe(2)
    while frame is not None:
        module = str(frame.f_globals.get("__name__"))
        if module.startswith(CORE):
            return f"{module.removeprefix(CORE)}:{frame.f_code.co_name}"
        frame = frame.f_back
    return "outside of the core"


class FakeHost(PlainHost):
    """A host whose device is the fake one, with this much memory."""

    def __init__(self, device: FakeDevice, memory: int = 24 * 10**9) -> None:
        super().__init__("cpu", quiet=True)
        self.gpu, self._memory = device, memory
        self._device = GPU

    @override
    def load(self, modules: Sequence[nn.Module], bytes_needed: int) -> None:
        """As `Module.to`, which cannot exchange parameters without values."""
        del bytes_needed
        for module in modules:
            _replace(module, lambda tensor: tensor if _is_gpu(tensor.device) else tensor.to(GPU))

    @override
    def free_memory(self) -> int:
        return self._memory - self.gpu.live


def without_values(network: nn.Module, device: FakeDevice, dtype: torch.dtype) -> nn.Module:
    """A network on "meta" gets weights in main memory that take none."""

    def made(tensor: torch.Tensor) -> torch.Tensor:
        wanted = dtype if tensor.dtype.is_floating_point else tensor.dtype
        with device.fake:
            return torch.empty(tensor.shape, dtype=wanted, device=CPU)

    _replace(network, made)
    return network.eval()


def _replace(network: nn.Module, change: Callable[[torch.Tensor], torch.Tensor]) -> None:
    for module in network.modules():
        for name, parameter in module._parameters.items():
            if parameter is not None:
                module._parameters[name] = nn.Parameter(change(parameter), requires_grad=False)
        for name, buffer in module._buffers.items():
            if buffer is not None:
                module._buffers[name] = change(buffer)


def as_cuda(monkeypatch: pytest.MonkeyPatch, device: FakeDevice) -> None:
    """`torch.cuda`'s own figures are the fake device's."""
    answers: dict[str, Callable[..., Any]] = {
        "synchronize": lambda device=None: None,
        "reset_peak_memory_stats": lambda _=None: device.reset_peak(),
        "memory_allocated": lambda _=None: device.live,
        "max_memory_allocated": lambda _=None: device.peak,
        "empty_cache": lambda: None,
    }
    for name, answer in answers.items():
        monkeypatch.setattr(torch.cuda, name, answer)
