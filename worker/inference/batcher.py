"""Batching across requests: frames of concurrent requests share one forward pass of the image tower.

Callers block in `encode`; one thread takes what has gathered, waits at most `max_wait` for more, runs one forward
and hands each caller its rows. A request larger than `max_frames` passes in slices, so it cannot starve the others.
Towers that look at neighbouring frames need whole clips: slices hold whole clips, and only clips of one length share a
forward.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from core.errors import Cancelled
from core.prometheus import BATCH_SIZE
from worker.jobs.cancellation import CancelToken

Frames = NDArray[np.uint8]


@dataclass(slots=True)
class _Entry:
    frames: Frames  # [N, S, S, 3]
    clip: int  # frames of one clip
    done: Future[torch.Tensor] = field(default_factory=Future)


class Batcher:
    """`forward`: uint8 [N, S, S, 3], frames of one clip → float32 [N, d]; it runs in this batcher's own thread."""

    def __init__(self, forward: Callable[[Frames, int], torch.Tensor], *, max_frames: int, max_wait: float) -> None:
        """`max_wait`: seconds that a lone request waits for company."""
        self._forward = forward
        self._max_frames = max_frames
        self._max_wait = max_wait
        self._entries: queue.SimpleQueue[_Entry | None] = queue.SimpleQueue()
        self._closing = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="batcher", daemon=True)
        self._thread.start()

    def encode(self, frames: Frames, token: CancelToken, clip: int = 1) -> torch.Tensor:
        """frames: uint8 [N, S, S, 3], clip after clip → features: float32 [N, d]. `clip`: frames of one clip, where the
        tower mixes time; else 1, so that requests of any length go together. Raises: Cancelled, or what the forward
        raised."""
        size = max(clip, self._max_frames // clip * clip)  # whole clips, at least one
        slices = [_Entry(frames[i : i + size], clip) for i in range(0, len(frames), size)]

        def withdraw() -> None:
            for entry in slices:
                entry.done.cancel()

        with token.on_cancel(withdraw):
            with self._closing:
                alone = self._closed
                if not alone:
                    for entry in slices:
                        self._entries.put(entry)
            if alone:  # the model was put away after this request had taken it: it is answered all the same
                return torch.cat([self._forward(entry.frames, clip) for entry in slices])  # [N, d]
            try:
                return torch.cat([entry.done.result() for entry in slices])  # [N, d]
            except CancelledError:
                raise Cancelled("The job was cancelled.") from None

    def close(self) -> None:
        """Finishes what has gathered; later requests run by themselves."""
        with self._closing:
            self._closed = True
            self._entries.put(None)
        self._thread.join(timeout=30)

    def _run(self) -> None:
        carried: _Entry | None = None
        while True:
            first = carried or self._entries.get()
            if first is None:
                return
            batch, carried, closing = self._gather(first)
            self._encode_batch([entry for entry in batch if entry.done.set_running_or_notify_cancel()])
            if closing:
                return

    def _gather(self, first: _Entry) -> tuple[list[_Entry], _Entry | None, bool]:
        """What shares a forward with `first`, the entry that did not fit, and whether to close after it."""
        batch, size = [first], len(first.frames)
        deadline = time.monotonic() + self._max_wait
        while size < self._max_frames:
            try:
                entry = self._entries.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                break
            if entry is None:
                return batch, None, True
            if entry.clip != first.clip or size + len(entry.frames) > self._max_frames:
                return batch, entry, False
            batch.append(entry)
            size += len(entry.frames)
        return batch, None, False

    def _encode_batch(self, batch: list[_Entry]) -> None:
        if not batch:
            return
        frames = np.concatenate([entry.frames for entry in batch])  # [ΣN, S, S, 3]
        BATCH_SIZE.observe(len(frames))
        try:
            features = self._forward(frames, batch[0].clip)  # [ΣN, d]
        except Exception as error:
            for entry in batch:
                entry.done.set_exception(error)
            return
        for entry, rows in zip(batch, torch.split(features, [len(e.frames) for e in batch]), strict=True):
            entry.done.set_result(rows)
