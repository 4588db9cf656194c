"""The machine that a table was measured on."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

import torch

FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile", "amx_bf16", "amx_int8")


def describe() -> dict[str, Any]:
    info = _lines("/proc/cpuinfo")
    flags = set(info.get("flags", "").split())
    memory = int(_lines("/proc/meminfo").get("MemTotal", "0 kB").split()[0]) // 1024
    return {
        "cpu": info.get("model name", platform.processor()),
        "cores": cores(),
        "flags": [flag for flag in FLAGS if flag in flags],
        "memory_mib": memory,
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "load": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def cores() -> int:
    return len(os.sched_getaffinity(0))


def in_words(machine: dict[str, Any]) -> str:
    flags = ", ".join(machine["flags"]) or "no vector units known here"
    gpu = machine["gpu"] or "no GPU"
    return (
        f"{machine['cpu']}, {machine['cores']} cores ({flags}), {machine['memory_mib'] // 1024} GiB, {gpu}; "
        f"torch {machine['torch']}; load {machine['load']:g} at the start"
    )


def _lines(file: str) -> dict[str, str]:
    """The first value of each key."""
    found: dict[str, str] = {}
    for line in Path(file).read_text(encoding="utf-8").splitlines():
        key, _, value = line.partition(":")
        found.setdefault(key.strip(), value.strip())
    return found
