"""What the processes of a run tell each other in every step: gradients and the loss.

Every process has the gradients of its own clips, already divided by the size of the global batch, so their sum is the
gradient of the step. They are exchanged once per step, in few large messages.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn

BUCKET = 1 << 24  # numbers in one message, at least, unless it is the last


def share_start(modules: Iterable[nn.Module], world: int) -> None:
    """Make what is trained, and all buffers, the same as in the first process. Once: the same gradients keep parameters
    the same, and no step changes buffers but the statistics of batch norms."""
    if world == 1:
        return
    for module in modules:
        moving = (parameter.data for parameter in module.parameters() if parameter.requires_grad)
        for tensor in (*moving, *module.buffers()):
            torch.distributed.broadcast(tensor, 0)


def sum_gradients(parameters: Iterable[nn.Parameter], world: int) -> None:
    """Replace each gradient by its sum over all processes. A parameter without a gradient has none in any process."""
    if world == 1:
        return
    for bucket in _buckets([parameter.grad for parameter in parameters if parameter.grad is not None]):
        flat = torch.cat([gradient.flatten() for gradient in bucket])
        torch.distributed.all_reduce(flat)
        for gradient, total in zip(bucket, torch.split(flat, [part.numel() for part in bucket]), strict=True):
            gradient.copy_(total.view_as(gradient))


def gather_rows(own: Tensor, rank: int, world: int) -> tuple[Tensor, int]:
    """own: [n, …], n may differ between processes → the rows of all processes [N, …] without gradient, in the order of
    their ranks, and the place of the first row of this one."""
    if world == 1:
        return own.detach(), 0
    counts = [torch.zeros(1, dtype=torch.int64, device=own.device) for _ in range(world)]
    torch.distributed.all_gather(counts, torch.tensor([len(own)], device=own.device))
    lengths = [int(count) for count in counts]
    padded = own.new_zeros(max(lengths), *own.shape[1:])
    padded[: len(own)] = own.detach()
    parts = [torch.empty_like(padded) for _ in range(world)]
    torch.distributed.all_gather(parts, padded)
    everything = torch.cat([part[:length] for part, length in zip(parts, lengths, strict=True)])  # [N, …]
    return everything, sum(lengths[:rank])


def sum_numbers(found: Tensor, world: int) -> Tensor:
    """The sums over all processes of a few numbers [n], on their device: nothing waits for it."""
    if world > 1:
        torch.distributed.all_reduce(found)
    return found


def _buckets(gradients: list[Tensor]) -> Iterator[list[Tensor]]:
    bucket: list[Tensor] = []
    for gradient in gradients:
        bucket.append(gradient)
        if sum(part.numel() for part in bucket) >= BUCKET:
            yield bucket
            bucket = []
    if bucket:
        yield bucket
