"""What an exception says about the device that the models run on: out of memory, or broken for this process."""

from __future__ import annotations

import torch

from core.errors import ModelUnavailable

_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED")
_BROKEN = ("CUDA error", "HIP error", "CUBLAS_STATUS_", "CUDNN_STATUS_")


class DeviceFailed(Exception):
    """The device cannot be used by this process any more: after such an error, every later call fails as well. Only a
    new process helps."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether less work at a time, or fewer models in memory, could have avoided the error."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(part in str(error) for part in _OUT_OF_MEMORY)


def is_broken(error: BaseException) -> bool:
    """Whether the device's context is lost (an illegal access, a failed assertion, a device that fell off the bus)."""
    if is_out_of_memory(error):
        return False
    if isinstance(error, DeviceFailed | torch.AcceleratorError):
        return True
    return isinstance(error, RuntimeError) and any(part in str(error) for part in _BROKEN)


def out_of_memory(name: str = "The model") -> ModelUnavailable:
    return ModelUnavailable(
        f"{name} does not fit into the memory of the worker's device at the moment.",
        hint="Try again later, ask for fewer frames or views, or name a smaller model.",
    )
