"""The micro-batches of one step after another, and smaller ones where the device has too little memory for them.

A step that does not fit is begun again with micro-batches of half the size: its clips are a function of its number, and
accumulation does not change the result. All processes of a run agree, and the run keeps the size that it has found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from torch import Tensor

from worker.training.fit.updates import State
from worker.training.run.feeds import Feed, MicroBatch
from worker.training.run.order import Order
from worker.training.run.stop import Stop

Accumulate = Callable[[Iterator[MicroBatch]], Tensor]
"""Takes the micro-batches of a step → loss and number of clips [2]."""


class Supply:
    def __init__(self, feed: Feed, order: Order, state: State, steps: int, *, divides: bool) -> None:
        """steps: of the whole run; divides: whether smaller micro-batches give the same result."""
        self._feed, self._order, self._state, self._steps, self._divides = feed, order, state, steps, divides
        self._open()

    def step(self, accumulate: Accumulate, forget: Callable[[], None], device: torch.device, stop: Stop) -> Tensor:
        """`accumulate` for the step that comes after `state`. forget: drops the gradients of a step that did not fit.
        Raises: Stopped; OutOfMemoryError, MemoryError where micro-batches cannot be smaller."""
        while True:
            groups = next(self._plan)
            largest = max(map(len, groups))
            found = None
            try:
                found = accumulate(self._next(len(groups), stop))
            except (RuntimeError, MemoryError) as error:
                if not (self._divides and largest > 1 and is_out_of_memory(error)):
                    raise
            if self._fits_all(found is not None, device) and found is not None:
                return found
            del found
            forget()
            if device.type == "cuda":
                torch.cuda.empty_cache()
            self._state.micro = (largest + 1) // 2
            self._open()

    def _open(self) -> None:
        order, first = self._order, self._state.step
        order = replace(order, micro=min(order.micro, self._state.micro or order.micro))
        self._plan = order.steps(first, self._steps)
        self._stream = self._feed.stream(picks for groups in order.steps(first, self._steps) for picks in groups)

    def _next(self, count: int, stop: Stop) -> Iterator[MicroBatch]:
        """Raises: Stopped."""
        for _ in range(count):
            stop.check()
            yield next(self._stream)

    def _fits_all(self, fits: bool, device: torch.device) -> bool:
        """Whether the step fits into the memory of all processes."""
        if self._order.world == 1 or not self._divides:
            return fits
        failed = torch.tensor(0.0 if fits else 1.0, device=device)
        torch.distributed.all_reduce(failed)
        return not bool(failed)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device or this machine had too little memory. torch has no class of its own for that of a CPU."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "DefaultCPUAllocator" in str(error)
