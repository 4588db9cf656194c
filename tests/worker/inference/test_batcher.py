"""Batching: rows come back to whom they belong, requests share forwards, faults and cancels stay with their owner."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from core.errors import Cancelled
from worker.inference.batcher import Batcher, Frames
from worker.jobs.cancellation import CancelToken

SIDE = 4


class Forward:
    """A stand-in for the image tower: a frame's feature is its first pixel; remembers the batches it saw."""

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
            raise RuntimeError("the tower fell")
        return torch.from_numpy(frames[:, 0, 0, :2].astype(np.float32))  # [N, 2]


def frames(count: int, value: int) -> Frames:
    return np.full((count, SIDE, SIDE, 3), value, np.uint8)


@pytest.fixture
def forward() -> Forward:
    return Forward()


@pytest.fixture
def batcher(forward: Forward) -> Iterator[Batcher]:
    batcher = Batcher(forward, max_frames=16, max_wait=0.02)
    yield batcher
    batcher.close()


def test_each_caller_gets_its_own_rows(batcher: Batcher) -> None:
    with ThreadPoolExecutor(12) as pool:
        futures = {
            value: pool.submit(batcher.encode, frames(1 + value % 5, value), CancelToken()) for value in range(12)
        }
        for value, future in futures.items():
            rows = future.result(5)
            assert rows.shape == (1 + value % 5, 2)
            assert (rows == value).all()


def test_concurrent_requests_share_a_forward(batcher: Batcher, forward: Forward) -> None:
    forward.gate.clear()  # hold the first forward until the others have gathered
    with ThreadPoolExecutor(5) as pool:
        futures = [pool.submit(batcher.encode, frames(4, value), CancelToken()) for value in range(5)]
        time.sleep(0.2)
        forward.gate.set()
        for future in futures:
            future.result(5)
    assert sum(forward.sizes) == 20
    assert len(forward.sizes) < 5
    assert max(forward.sizes) <= 16


def test_a_large_request_passes_in_slices(batcher: Batcher, forward: Forward) -> None:
    values = np.arange(40, dtype=np.uint8)
    stack = np.broadcast_to(values[:, None, None, None], (40, SIDE, SIDE, 3)).copy()  # [40, S, S, 3]
    rows = batcher.encode(stack, CancelToken())
    assert rows[:, 0].tolist() == values.tolist()
    assert max(forward.sizes) <= 16


def test_clips_of_another_length_never_share_a_forward(batcher: Batcher, forward: Forward) -> None:
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
def test_slices_hold_whole_clips(batcher: Batcher, forward: Forward, clip: int, most: int) -> None:
    stack = np.concatenate([frames(clip, value) for value in range(5)])
    rows = batcher.encode(stack, CancelToken(), clip)
    assert rows[:, 0].tolist() == [value for value in range(5) for _ in range(clip)]
    assert all(size % clip == 0 for size in forward.sizes)
    assert max(forward.sizes) == most


def test_a_failing_forward_reaches_its_caller_and_no_later_one(batcher: Batcher) -> None:
    with pytest.raises(RuntimeError, match="the tower fell"):
        batcher.encode(frames(2, 255), CancelToken())
    assert batcher.encode(frames(2, 7), CancelToken()).tolist() == [[7, 7], [7, 7]]


def test_a_cancelled_request_returns_at_once_and_is_never_encoded(batcher: Batcher, forward: Forward) -> None:
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


def test_a_request_that_comes_after_the_close_is_answered(forward: Forward) -> None:
    batcher = Batcher(forward, max_frames=4, max_wait=0.02)
    batcher.close()
    assert batcher.encode(frames(6, 3), CancelToken()).shape == (6, 2)
    assert forward.sizes == [4, 2]


def test_a_token_tripped_before_the_wait_is_noticed(batcher: Batcher, forward: Forward) -> None:
    token = CancelToken()
    token.cancel()
    with pytest.raises(Cancelled):
        batcher.encode(frames(3, 2), token)
    assert forward.sizes == []
