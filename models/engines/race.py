"""What a forward pass costs on this machine, by engine, threads and batch: CPU time, which other programs change less
than the time on the clock, and frames per second."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch

from models.frames.arrays import UInt8Array
from models.recognition.engine import Engine, LanePlan

_BATCHES = (1, 2, 4, 8, 16)
_GPU_BATCHES = (8, 16, 32, 64, 128)
_GPU_SLACK = 1.05  # a smaller batch is worth as much: it is answered sooner
_CPU_SLACK = 1.02  # on a CPU idle lanes share what a pass has room for, so a larger one makes few wait longer
_LATENCY_SLACK = 1.1  # and so are more threads for each pass
_ENTRY = LanePlan(lanes=1, threads=1, batch=4)  # what engines are compared with
_USUAL_FRAMES = 8  # of a video; idle lanes share them, so fewer lanes of more threads would answer it no sooner
_GPU_LANES = 2  # one copies while the other computes


@dataclass(frozen=True, slots=True)
class Cost:
    """cpu: seconds of CPU time per frame; clock: seconds per frame, of all lanes together."""

    cpu: float
    clock: float


def plan_at_once(device: torch.device, batch_frames: int, cores: int) -> LanePlan:
    """Before anything is measured. On CPUs a frame cost about the same in batches of 1, 4 and 8 so far
    (benchmarks/NOTES.md), so passes are small. batch_frames: most frames in one pass; cores: that may be used."""
    if device.type == "cuda":
        return LanePlan(lanes=_GPU_LANES, threads=1, batch=batch_frames)
    return LanePlan(lanes=cores, threads=1, batch=min(4, batch_frames))


def entry_cost(open_engine: Callable[[LanePlan], Engine], size: int, clip: int) -> Cost:
    """Of one engine on one thread, to compare it with others. size: S of its frames; clip: frames of one clip."""
    return cost(open_engine(_ENTRY), size, clip)


def best_plan(
    open_engine: Callable[[LanePlan], Engine],
    size: int,
    clip: int,
    batch_frames: int,
    device: torch.device,
    cores: int,
) -> LanePlan:
    """The smallest batch, and then the most threads, that cost about as little as the best."""
    on_gpu = device.type == "cuda"
    batches = [batch for batch in (_GPU_BATCHES if on_gpu else _BATCHES) if batch <= batch_frames] or [batch_frames]
    lanes = _GPU_LANES if on_gpu else cores
    costs = _costs(open_engine, size, clip, [LanePlan(lanes, 1, batch) for batch in batches])
    if on_gpu:
        return _first_within({plan: found.clock for plan, found in costs.items()}, _GPU_SLACK)
    narrow = _first_within({plan: found.cpu for plan, found in costs.items()}, _CPU_SLACK)
    wide = [plan for plan in _wider(narrow, cores) if plan.lanes * clip >= _USUAL_FRAMES]
    wider = _costs(open_engine, size, clip, wide) | {narrow: costs[narrow]}
    return _first_within({plan: found.cpu for plan, found in wider.items()}, _LATENCY_SLACK)


def _costs(
    open_engine: Callable[[LanePlan], Engine], size: int, clip: int, plans: list[LanePlan]
) -> dict[LanePlan, Cost]:
    """The least of two turns: what else the machine does comes and goes, and would decide between batches."""
    found: dict[LanePlan, Cost] = {}
    for plan in [*plans, *plans]:
        taken = cost(open_engine(plan), size, clip)
        known = found.get(plan, taken)
        found[plan] = Cost(min(known.cpu, taken.cpu), min(known.clock, taken.clock))
    return found


def _wider(plan: LanePlan, cores: int) -> Iterator[LanePlan]:
    """With fewer lanes of more threads, the widest first: the powers of two up to the number of cores."""
    for power in range(cores.bit_length() - 1, 0, -1):
        yield LanePlan(cores >> power, 1 << power, plan.batch)


def _first_within(costs: dict[LanePlan, float], slack: float) -> LanePlan:
    """costs: seconds per frame."""
    return next(plan for plan, seconds in costs.items() if seconds <= min(costs.values()) * slack)


def cost(engine: Engine, size: int, clip: int, rounds: int = 3) -> Cost:
    """The least of some rounds after a first one, in which nothing is measured."""
    plan = engine.plan
    batch = max(plan.batch // clip, 1) * clip
    frames = np.random.default_rng(0).integers(0, 256, (batch, size, size, 3), dtype=np.uint8)
    before = torch.get_num_threads()
    torch.set_num_threads(plan.threads)
    try:
        engine.warm_up()
        measured = [_round(engine, frames, clip) for _ in range(rounds + 1)][1:]
    finally:
        torch.set_num_threads(before)
    return Cost(min(found.cpu for found in measured), min(found.clock for found in measured))


def _round(engine: Engine, frames: UInt8Array, clip: int) -> Cost:
    """One pass in each lane, at the same time. Raises: what the engine raises."""
    lanes = range(engine.plan.lanes)
    with ThreadPoolExecutor(len(lanes)) as pool:
        cpu, clock = time.process_time(), time.perf_counter()
        list(pool.map(lambda _: engine.encode(frames, clip), lanes))  # raises what a lane raises
    count = len(frames) * len(lanes)
    return Cost((time.process_time() - cpu) / count, (time.perf_counter() - clock) / count)
