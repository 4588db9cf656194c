"""Batching: each request gets its own rows, requests share forward passes, and a failure or cancellation affects only
its own request."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

import numpy as np
import pytest
import torch

from core.errors import Cancelled
from worker.inference.batching.batcher import Batcher, Tower
from worker.inference.batching.device import DeviceFailed
from worker.inference.batching.towers import Frames
from worker.jobs.cancellation import CancelToken
from worker.jobs.turns import ASKER

SIDE = 4
FrameBatcher = Batcher[Frames, torch.Tensor]


class Forward:
    """A stand-in for the image tower: a frame's feature is its first pixel. It records the sizes of its batches."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.sizes: list[int] = []
        self.clips: list[int] = []
        self.seconds = seconds
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, frames: Frames, clip: int) -> torch.Tensor:
        self.gate.wait(5)
        time.sleep(self.seconds)
        self.sizes.append(len(frames))
        self.clips.append(clip)
        if (frames[:, 0, 0, 0] == 255).any():
            raise RuntimeError("the tower failed")
        return torch.from_numpy(frames[:, 0, 0, :2].astype(np.float32))  # [N, 2]


def tower(forward: Forward) -> Tower[Frames, torch.Tensor]:
    return Tower(forward, np.concatenate, torch.cat)


def frames(count: int, value: int) -> Frames:
    return np.full((count, SIDE, SIDE, 3), value, np.uint8)


def in_flight(batcher: FrameBatcher) -> int:
    return sum(lane.began is not None for lane in tuple(batcher._lanes))


@pytest.fixture
def forward() -> Forward:
    return Forward()


@pytest.fixture
def batcher(forward: Forward) -> Iterator[FrameBatcher]:
    batcher = Batcher(tower(forward), max_items=16, max_wait=0.02)
    yield batcher
    batcher.close()


def test_each_caller_gets_its_own_rows(batcher: FrameBatcher) -> None:
    with ThreadPoolExecutor(12) as pool:
        futures = {
            value: pool.submit(batcher.encode, frames(1 + value % 5, value), CancelToken()) for value in range(12)
        }
        for value, future in futures.items():
            rows = future.result(5)
            assert rows.shape == (1 + value % 5, 2)
            assert (rows == value).all()


def test_concurrent_requests_share_a_forward(batcher: FrameBatcher, forward: Forward) -> None:
    forward.gate.clear()  # hold the first forward until the other requests are waiting
    with ThreadPoolExecutor(5) as pool:
        futures = [pool.submit(batcher.encode, frames(4, value), CancelToken()) for value in range(5)]
        time.sleep(0.2)
        forward.gate.set()
        for future in futures:
            future.result(5)
    assert sum(forward.sizes) == 20
    assert len(forward.sizes) < 5
    assert max(forward.sizes) <= 16


def test_a_large_request_is_cut_into_slices(batcher: FrameBatcher, forward: Forward) -> None:
    values = np.arange(40, dtype=np.uint8)
    stack = np.broadcast_to(values[:, None, None, None], (40, SIDE, SIDE, 3)).copy()  # [40, S, S, 3]
    rows = batcher.encode(stack, CancelToken())
    assert rows[:, 0].tolist() == values.tolist()
    assert max(forward.sizes) <= 16


def test_clips_of_different_lengths_never_share_a_forward(batcher: FrameBatcher, forward: Forward) -> None:
    forward.gate.clear()
    with ThreadPoolExecutor(6) as pool:
        futures = [pool.submit(batcher.encode, frames(4, clip), CancelToken(), clip) for clip in (1, 2, 4, 1, 2, 4)]
        time.sleep(0.2)
        forward.gate.set()
        for clip, future in zip((1, 2, 4, 1, 2, 4), futures, strict=True):
            assert (future.result(5) == clip).all()
    assert sorted(set(forward.clips)) == [1, 2, 4]
    assert sum(forward.sizes) == 24


@pytest.mark.parametrize(("clip", "most"), [(3, 15), (8, 16), (20, 20)])
def test_slices_hold_whole_clips(batcher: FrameBatcher, forward: Forward, clip: int, most: int) -> None:
    stack = np.concatenate([frames(clip, value) for value in range(5)])
    rows = batcher.encode(stack, CancelToken(), clip)
    assert rows[:, 0].tolist() == [value for value in range(5) for _ in range(clip)]
    assert all(size % clip == 0 for size in forward.sizes)
    assert max(forward.sizes) == most


def test_a_failing_forward_fails_its_own_request_only(batcher: FrameBatcher) -> None:
    with pytest.raises(RuntimeError, match="the tower failed"):
        batcher.encode(frames(2, 255), CancelToken())
    assert batcher.encode(frames(2, 7), CancelToken()).tolist() == [[7, 7], [7, 7]]


def test_a_cancelled_request_returns_at_once_and_is_never_encoded(batcher: FrameBatcher, forward: Forward) -> None:
    forward.gate.clear()
    token = CancelToken()
    with ThreadPoolExecutor(2) as pool:
        running = pool.submit(batcher.encode, frames(16, 1), CancelToken())
        time.sleep(0.1)  # the first is inside its forward; the second can only wait
        waiting = pool.submit(batcher.encode, frames(3, 2), token)
        time.sleep(0.1)
        token.cancel()
        with pytest.raises(Cancelled):
            waiting.result(2)
        forward.gate.set()
        assert running.result(5).shape == (16, 2)
    assert forward.sizes == [16]


def test_a_request_after_close_is_answered(forward: Forward) -> None:
    batcher = Batcher(tower(forward), max_items=4, max_wait=0.02)
    batcher.close()
    assert batcher.encode(frames(6, 3), CancelToken()).shape == (6, 2)
    assert forward.sizes == [4, 2]


def test_a_token_tripped_before_the_wait_is_noticed(batcher: FrameBatcher, forward: Forward) -> None:
    token = CancelToken()
    token.cancel()
    with pytest.raises(Cancelled):
        batcher.encode(frames(3, 2), token)
    assert forward.sizes == []


def test_a_batch_that_cannot_be_joined_fails_its_requests_and_no_later_one(forward: Forward) -> None:
    joins: list[int] = []

    def join(parts: list[Frames]) -> Frames:
        joins.append(len(parts))
        if len(joins) == 1:
            raise MemoryError("no room for the batch")
        return np.concatenate(parts)

    batcher = Batcher(Tower(forward, join, torch.cat), max_items=4, max_wait=0.0)
    forward.gate.clear()
    with ThreadPoolExecutor(5) as pool:
        first = pool.submit(batcher.encode, frames(4, 1), CancelToken())
        while not in_flight(batcher):
            time.sleep(0.01)
        pairs = [pool.submit(batcher.encode, frames(2, value), CancelToken()) for value in (2, 2, 7, 7)]
        while len(batcher._waiting) < 4:
            time.sleep(0.01)
        forward.gate.set()
        assert len(first.result(20)) == 4
        failed = [isinstance(pair.exception(20), MemoryError) for pair in pairs]
    assert (failed.count(True), joins) == (2, [2, 2])
    batcher.close()


def test_lanes_compute_at_the_same_time_and_each_is_started_in_its_thread(forward: Forward) -> None:
    together, started = threading.Barrier(2, timeout=20), set()

    def meet(stack: Frames, clip: int) -> torch.Tensor:
        together.wait()  # a single lane would wait here for ever
        assert threading.get_ident() in started
        return forward(stack, clip)

    lanes = Batcher(
        Tower(meet, np.concatenate, torch.cat),
        max_items=4,
        max_wait=0.0,
        lanes=2,
        start_lane=lambda: started.add(threading.get_ident()),
    )
    assert lanes.encode(frames(8, 3), CancelToken()).tolist() == [[3, 3]] * 8
    assert forward.sizes == [4, 4]
    lanes.close()


def test_a_free_lane_waits_for_others_only_while_nothing_is_computed(forward: Forward) -> None:
    lanes = Batcher(tower(forward), max_items=4, max_wait=3600.0, lanes=2)
    forward.gate.clear()
    with ThreadPoolExecutor(2) as pool:
        full = pool.submit(lanes.encode, frames(4, 1), CancelToken())
        while not in_flight(lanes):
            time.sleep(0.01)
        small = pool.submit(lanes.encode, frames(1, 2), CancelToken())
        while in_flight(lanes) < 2:  # it would wait an hour
            time.sleep(0.01)
        forward.gate.set()
        assert small.result(20).tolist() == [[2, 2]]
        assert len(full.result(20)) == 4
    lanes.close()


@pytest.mark.parametrize(
    ("share", "clip", "sizes"), [(True, 1, [4, 4]), (True, 4, [4, 4]), (True, 8, [8]), (False, 1, [8])]
)
def test_idle_lanes_share_a_request(forward: Forward, share: bool, clip: int, sizes: list[int]) -> None:
    batcher = Batcher(tower(forward), max_items=16, max_wait=0.05, lanes=2, share=share)
    try:
        values = np.arange(8, dtype=np.uint8)
        stack = np.broadcast_to(values[:, None, None, None], (8, SIDE, SIDE, 3)).copy()  # [8, S, S, 3]
        rows = batcher.encode(stack, CancelToken(), clip)
        assert rows[:, 0].tolist() == values.tolist()
        assert forward.sizes == sizes
    finally:
        batcher.close()


def test_lanes_that_share_fill_their_forwards_while_much_waits(forward: Forward) -> None:
    batcher = Batcher(tower(forward), max_items=16, max_wait=0.0, lanes=2, share=True)
    forward.gate.clear()
    try:
        with ThreadPoolExecutor(10) as pool:
            first = [pool.submit(batcher.encode, frames(8, 1), CancelToken()) for _ in range(2)]
            while in_flight(batcher) < 2:
                time.sleep(0.01)
            others = [pool.submit(batcher.encode, frames(8, 2), CancelToken()) for _ in range(8)]
            time.sleep(0.2)
            forward.gate.set()
            for future in [*first, *others]:
                future.result(5)
        assert sum(forward.sizes) == 80
        assert max(forward.sizes) == 16
        assert len(forward.sizes) <= 9
    finally:
        batcher.close()


def test_a_tower_that_loses_rows_is_an_error(forward: Forward) -> None:
    batcher = Batcher(
        Tower(lambda stack, clip: forward(stack, clip)[1:], np.concatenate, torch.cat), max_items=16, max_wait=0.0
    )
    with pytest.raises(ValueError, match="1 rows of 2 items"):
        batcher.encode(frames(2, 1), CancelToken())
    batcher.close()


def test_if_its_thread_ends_waiting_requests_fail_and_the_next_one_is_answered(
    forward: Forward, monkeypatch: pytest.MonkeyPatch
) -> None:
    batcher = Batcher(tower(forward), max_items=2, max_wait=0.0)
    dying, take = threading.Event(), Batcher._take

    def die_once(self: FrameBatcher, lane: Any) -> bool:
        taken = take(self, lane)
        if not dying.is_set():
            while len(self._waiting) < 2:  # two more requests wait behind the first
                time.sleep(0.01)
            dying.set()
            raise SystemExit
        return taken

    monkeypatch.setattr(Batcher, "_take", die_once)
    with ThreadPoolExecutor(3) as pool:
        asked = [pool.submit(batcher.encode, frames(2, value), CancelToken()) for value in range(3)]
        for future in asked:
            with pytest.raises(RuntimeError, match="thread ended"):
                future.result(20)
    assert batcher.encode(frames(2, 7), CancelToken()).tolist() == [[7, 7], [7, 7]]
    batcher.close()


def test_a_cancelled_request_leaves_a_forward_that_hangs(forward: Forward) -> None:
    batcher = Batcher(tower(forward), max_items=16, max_wait=0.0)
    forward.gate.clear()
    token = CancelToken()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(batcher.encode, frames(2, 1), token)
        while not in_flight(batcher):
            time.sleep(0.01)
        token.cancel()
        with pytest.raises(Cancelled):
            running.result(20)
        assert forward.sizes == []  # it still hangs
        forward.gate.set()
    batcher.close()


def test_a_forward_that_never_ends_means_a_broken_device(forward: Forward) -> None:
    batcher = Batcher(tower(forward), max_items=16, max_wait=0.0, stuck_after=0.0)
    forward.gate.clear()
    token = CancelToken()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(batcher.encode, frames(2, 1), token)
        while not in_flight(batcher):
            time.sleep(0.01)
        with pytest.raises(DeviceFailed):
            batcher.encode(frames(2, 2), CancelToken())
        token.cancel()
        with pytest.raises(DeviceFailed):
            running.result(20)
        forward.gate.set()
    batcher.close()


def test_a_large_request_lets_others_in_between_its_slices(forward: Forward) -> None:
    batcher = Batcher(tower(forward), max_items=4, max_wait=0.0)
    forward.gate.clear()
    with ThreadPoolExecutor(2) as pool:
        large = pool.submit(batcher.encode, frames(400, 1), CancelToken())
        while not in_flight(batcher):
            time.sleep(0.01)
        small = pool.submit(batcher.encode, frames(1, 2), CancelToken())
        while len(batcher._waiting) < 2:
            time.sleep(0.01)
        forward.gate.set()
        assert small.result(20).tolist() == [[2, 2]]
        assert large.result(20).shape == (400, 2)
    assert forward.sizes.index(1) <= 3
    batcher.close()


def test_who_asks_for_much_does_not_keep_others_waiting(forward: Forward) -> None:
    order: list[int] = []

    def noting(batch: Frames, clip: int) -> torch.Tensor:
        order.append(int(batch[0, 0, 0, 0]))
        return forward(batch, clip)

    batcher = Batcher(Tower(noting, np.concatenate, torch.cat), max_items=16, max_wait=0.0)

    def ask(asker: str, value: int) -> None:
        ASKER.set(asker)
        batcher.encode(frames(16, value), CancelToken())

    forward.gate.clear()
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(copy_context().run, ask, "much", value) for value in range(6)]
        while not (in_flight(batcher) and len(batcher._waiting) == 5):
            time.sleep(0.01)
        asked.append(pool.submit(copy_context().run, ask, "little", 9))
        while len(batcher._waiting) < 6:
            time.sleep(0.01)
        forward.gate.set()
    for future in asked:
        future.result()
    batcher.close()
    assert order.index(9) <= 2  # after the pass that was computed, and one that began in the same moment
