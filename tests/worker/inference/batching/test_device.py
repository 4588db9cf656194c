"""Which errors mean too little memory, which a broken device, and which neither."""

from __future__ import annotations

import pytest
import torch

from worker.inference.batching.device import is_broken, is_out_of_memory

BROKEN = [
    torch.AcceleratorError("CUDA error: an illegal memory access was encountered"),
    RuntimeError("CUDA error: device-side assert triggered\nCUDA kernel errors might be reported later."),
    RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm(...)`"),
    RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
]
FULL = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    torch.AcceleratorError("CUDA error: out of memory"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:118] err == 0. DefaultCPUAllocator: can't allocate memory"),
    MemoryError(),
]
NEITHER = [
    RuntimeError("mat1 and mat2 shapes cannot be multiplied (1x2 and 3x4)"),
    ValueError("CUDA error is a word in a label"),
]


@pytest.mark.parametrize("error", BROKEN)
def test_a_broken_device(error: Exception) -> None:
    assert (is_broken(error), is_out_of_memory(error)) == (True, False)


@pytest.mark.parametrize("error", FULL)
def test_too_little_memory(error: Exception) -> None:
    assert (is_broken(error), is_out_of_memory(error)) == (False, True)


@pytest.mark.parametrize("error", NEITHER)
def test_errors_of_a_request(error: Exception) -> None:
    assert (is_broken(error), is_out_of_memory(error)) == (False, False)
