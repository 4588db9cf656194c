"""Device and number format, chosen for the machine: bf16 where the hardware computes it natively, fp32 elsewhere.

Weights are converted once. There is no autocast for serving on a CPU, because casting on every call costs more than it
saves (ViT-B/16, 8 frames on 2 cores with AMX: 0.19 s in bf16, 0.95 s in fp32, 1.36 s under autocast).
"""

from __future__ import annotations

import re
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch

from core.vocabulary import Precision

DTYPES: dict[str, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def choose_device(setting: str) -> torch.device:
    """`auto`: the first CUDA GPU if there is one, else `cpu`. Raises: ValueError for a device that does not exist."""
    if setting == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if not re.fullmatch(r"cpu|cuda(:\d+)?", setting):
        raise ValueError(f"{setting!r} is not a device: use auto, cpu, cuda or cuda:N")
    device = torch.device(setting)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"device {setting!r} was requested, but torch sees {torch.cuda.device_count()} GPUs")
    return device


def choose_dtype(device: torch.device, setting: Precision) -> torch.dtype:
    """The number format of the image tower. Raises: ValueError for fp16 on a CPU, where it is slow and inaccurate."""
    if setting == "auto":
        return torch.bfloat16 if has_native_bf16(device) else torch.float32
    if setting == "fp16" and device.type == "cpu":
        raise ValueError("fp16 needs a GPU; use bf16 or fp32 on a CPU")
    return DTYPES[setting]


def autocasting(device: torch.device, dtype: torch.dtype) -> AbstractContextManager[Any]:
    """For training: the weights stay fp32, and the computation runs in `dtype` (method §7)."""
    return nullcontext() if dtype is torch.float32 else torch.autocast(device.type, dtype)


def has_native_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(_cpu_flags() & {"amx_bf16", "avx512_bf16"})


def _cpu_flags() -> set[str]:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux: fp32 is always safe
        return set()
    return next((set(line.split(":", 1)[1].split()) for line in lines if line.startswith("flags")), set())


def precision_name(dtype: torch.dtype) -> str:
    return next(name for name, known in DTYPES.items() if known is dtype)
