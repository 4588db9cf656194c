"""The memory of the GPU that a worker uses, as Prometheus shows it."""

from __future__ import annotations

import torch

from core.prometheus import GPU_MEMORY


def observe_gpu_memory(devices: set[torch.device]) -> None:
    """devices: of the loaded models. The numbers are those of the whole GPU, so they include other processes on it."""
    for device in devices:
        if device.type == "cuda":
            free, total = torch.cuda.mem_get_info(device)
            GPU_MEMORY.labels(str(device.index or 0), "used").set(total - free)
            GPU_MEMORY.labels(str(device.index or 0), "total").set(total)
