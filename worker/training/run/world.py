"""The processes of one run: one, or as many as torchrun has started."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist

from core.settings import Settings
from models.image.precision import choose_device
from worker.children.messages import send_message

_TIMEOUT = timedelta(hours=6)  # the other processes wait while the first one publishes

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class World:
    rank: int
    size: int
    device: torch.device

    @property
    def leads(self) -> bool:
        """Whether this process reports for the run."""
        return self.rank == 0

    def gather(self, value: T) -> list[T]:
        """The values of all processes, in the order of their ranks. Every process must call it; it waits for all."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        dist.all_gather_object(values, value)
        return values

    def report_phase(self, phase: str, **details: Any) -> None:
        """Send a `progress` message to the worker, and one about the memory of the GPU, if this process leads."""
        if self.leads:
            send_message("progress", phase=phase, **details)
            if self.device.type == "cuda":
                free, total = torch.cuda.mem_get_info(self.device)
                send_message("gpu_memory", device=str(self.device.index or 0), used=total - free, total=total)


def process_count(settings: Settings) -> int:
    """The number of processes that a run should have on this machine."""
    if settings.training_processes:
        return settings.training_processes
    return max(1, torch.cuda.device_count()) if settings.device in ("auto", "cuda") else 1


def join_world(settings: Settings) -> World:
    """Raises: ValueError for a device that does not exist."""
    rank, size = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    device = choose_device(settings.device)
    if size == 1:
        return World(0, 1, device)
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=_TIMEOUT)
    return World(rank, size, device)


def leave_world(world: World) -> None:
    if world.size > 1:
        dist.destroy_process_group()
