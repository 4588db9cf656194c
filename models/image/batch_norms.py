"""The statistics that batch norms collect while a model trains: means and variances of what they have seen."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


def batch_norms(module: nn.Module) -> Iterator[_BatchNorm]:
    return (inner for inner in module.modules() if isinstance(inner, _BatchNorm))


class BatchStatistics:
    """The statistics of those batch norms of `module` that collect them, which may be none."""

    def __init__(self, module: nn.Module) -> None:
        norms = (norm for norm in batch_norms(module) if norm.training and norm.track_running_stats)
        self._statistics = [buffer for norm in norms for buffer in norm.buffers(recurse=False)]
        self._kept: list[Tensor] = []

    @property
    def collected(self) -> bool:
        """Whether there are any."""
        return bool(self._statistics)

    @contextmanager
    def kept_on_error(self) -> Iterator[None]:
        """If the block raises, they are afterwards as they were before it."""
        self._kept = [buffer.clone() for buffer in self._statistics]
        try:
            yield
        except BaseException:
            self.restore()
            raise

    def restore(self) -> None:
        """Make them as they were before the last `kept_on_error`."""
        for buffer, kept in zip(self._statistics, self._kept, strict=True):
            buffer.copy_(kept)

    def average(self, world: int) -> None:
        """Replace them by their means over all processes, so that they describe the clips of all."""
        parts = [buffer for buffer in self._statistics if buffer.is_floating_point()]
        if world == 1 or not parts:
            return
        flat = torch.cat([part.flatten() for part in parts])
        torch.distributed.all_reduce(flat)
        for part, mean in zip(parts, torch.split(flat / world, [part.numel() for part in parts]), strict=True):
            part.copy_(mean.view_as(part))


@contextmanager
def collecting_paused(module: nn.Module) -> Iterator[None]:
    """Batch norms compute as before and collect nothing: for a forward pass that is computed a second time."""
    kept = [(norm, norm.momentum, norm.num_batches_tracked) for norm in batch_norms(module) if norm.training]
    for norm, _, _ in kept:
        norm.momentum, norm.num_batches_tracked = 0.0, None
    try:
        yield
    finally:
        for norm, momentum, counter in kept:
            norm.momentum, norm.num_batches_tracked = momentum, counter
