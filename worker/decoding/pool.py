"""Decoding untrusted video in child processes that can be killed one by one without harm to the worker or each other.

A child that crashes, hangs or uses too much memory loses only its own video. The fork server replaces it in
milliseconds. Frames come back through memory that the parent owns and the child fills (`worker.decoding.memory`).
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import threading
import time
from concurrent.futures import CancelledError
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from pebble import ProcessExpired, ProcessPool

from core.errors import Cancelled, InvalidRequest, UndecodableVideo, VireoError, WorkerUnavailable
from core.settings import Settings
from models.frames.arrays import UInt8Array
from models.frames.augmentation import Draw
from models.frames.sampling import Views
from models.profiles.profile import Profile
from worker.decoding.decode_child import decode_into, limit_decode_child
from worker.decoding.memory import Segment
from worker.video.clip import DecodeReport, DecodeRequest
from worker.video.container import VideoLimits

log = logging.getLogger(__name__)

MAX_FRAME_BYTES = 1 << 31
"""Limit for the frames of one video, all views together. No larger request could be answered in time."""

_TASKS_PER_CHILD = 500  # then a new child replaces it, because codecs fragment memory
_STALL_SECONDS = 10.0
"""A pool in which nothing ends for this long after the deadline is stuck: a child died while it held a lock of the
library."""


@dataclass(frozen=True, slots=True)
class DecodedClip:
    """frames: uint8 [V, T, S, S, 3], sRGB, V = crop · clips + clip."""

    frames: UInt8Array
    report: DecodeReport


class DecodePool:
    """Threads may share it, and any thread may create it. `close` it, or use it as a context manager."""

    def __init__(
        self, processes: int, deadline_s: float, memory_bytes: int, max_pixels: int, max_seconds: float
    ) -> None:
        """deadline_s: for one video, without the wait for a free child; memory_bytes: of each child, see
        `limit_decode_child`."""
        self._processes, self.deadline_s, self._memory = processes, deadline_s, memory_bytes
        self._limits = VideoLimits(max_pixels, max_seconds)
        # each child gets an equal share of the cores
        self._threads = max(_cores() // processes, 1)
        self._lock = threading.Lock()
        self._closed = False
        self._running = 0
        self._ended_at = time.monotonic()
        self._children = self._start()

    @classmethod
    def from_settings(cls, settings: Settings, processes: int | None = None) -> Self:
        """`processes`: the number of children where it differs from `settings.decode_processes`."""
        return cls(
            processes=processes or settings.decode_processes,
            deadline_s=settings.decode_deadline,
            memory_bytes=settings.decode_memory,
            max_pixels=settings.max_video_pixels,
            max_seconds=settings.max_video_seconds,
        )

    def submit(
        self,
        path: Path,
        *,
        profile: Profile,
        views: Views,
        frames: int,
        draw: Draw | None = None,
        cache: Path | None = None,
    ) -> DecodeTask:
        """The task starts at once if a child is free. draw: random frames and crops, for training; cache: the directory
        of a frame cache. Raises: InvalidRequest, WorkerUnavailable."""
        request = DecodeRequest(profile, views, frames, self._limits, self._threads, draw, cache)
        if np.prod(request.shape, dtype=np.int64) > MAX_FRAME_BYTES:
            raise InvalidRequest(
                f"{views} views of {frames} frames do not fit into memory.", hint="Ask for fewer views or frames."
            )
        return DecodeTask(self, path, request)

    def close(self) -> None:
        """Kill all children. Safe to call twice."""
        with self._lock:
            closed, self._closed = self._closed, True
        if not closed:
            _stop(self._children)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _start(self) -> ProcessPool:
        # The fork server has only the decoding modules loaded, so a new child starts in milliseconds; "spawn" would
        # import them again for each child.
        methods = multiprocessing.get_all_start_methods()
        context = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
        context.set_forkserver_preload(["worker.decoding.decode_child"])
        children = ProcessPool(
            self._processes, _TASKS_PER_CHILD, initializer=limit_decode_child, initargs=(self._memory,), context=context
        )
        assert children.active  # reading `active` starts the pool, so that the first video does not wait for it
        return children

    def _schedule(self, task: DecodeTask, segment: Segment) -> tuple[ProcessPool, Any]:
        """Returns the children that the task runs in, and its future."""
        with self._lock:
            if self._closed:
                raise WorkerUnavailable("The worker is shutting down.")
            if not self._children.active:
                self._replace()
            if not self._running:
                self._ended_at = time.monotonic()
            future = self._children.schedule(
                decode_into, args=(str(task.path), task.request, segment.handle), timeout=self.deadline_s
            )
            self._running += 1
            return self._children, future

    def _task_ended(self) -> None:
        with self._lock:
            self._running -= 1
            self._ended_at = time.monotonic()

    def _is_abandoned(self, children: ProcessPool) -> bool:
        """Whether `children` were replaced or stopped, so that they will never answer."""
        with self._lock:
            if self._closed or children is not self._children:
                return True
            if time.monotonic() - self._ended_at > self.deadline_s + _STALL_SECONDS:
                self._replace()
                return True
            return False

    def _replace(self) -> None:
        log.warning("the pool of decode children is stuck or dead: it is replaced")
        threading.Thread(target=_stop, args=(self._children,), name="decode-stop", daemon=True).start()
        self._children = self._start()
        self._ended_at = time.monotonic()


class DecodeTask:
    """The decoding of one video."""

    def __init__(self, pool: DecodePool, path: Path, request: DecodeRequest) -> None:
        self.path, self.request = path, request
        self._pool = pool
        self._cancelled = threading.Event()
        self._begin()

    def result(self) -> DecodedClip:
        """Waits for the frames.

        Raises: UndecodableVideo (also with reason "decoder_crashed" or "deadline"), VideoTooLarge, Cancelled,
        WorkerUnavailable.
        """
        try:
            answer = self._wait()
        except BrokenProcessPool:  # another child broke the whole pool: try once more with new children
            self._begin()
            try:
                answer = self._wait()
            except BrokenProcessPool as error:
                raise _crashed() from error
        if isinstance(answer, DecodeReport):
            return DecodedClip(self._frames, answer)
        raise VireoError.from_dict(answer)

    def cancel(self) -> None:
        """A thread in `result` gets Cancelled at once. A child at work is killed within a fraction of a second."""
        self._cancelled.set()
        self._future.cancel()

    def _begin(self) -> None:
        segment = Segment(self.request.shape)
        self._frames = segment.map()
        self._done = done = threading.Event()
        task_ended = self._pool._task_ended

        def finish(
            _: object,
        ) -> None:  # without `self`: a reference cycle would keep the frames until the next garbage collection
            segment.close()
            task_ended()
            done.set()

        try:
            self._children, self._future = self._pool._schedule(self, segment)
        except BaseException:
            segment.close()
            raise
        self._future.add_done_callback(finish)

    def _wait(self) -> DecodeReport | dict[str, Any]:
        while not self._done.wait(1.0):
            if self._pool._is_abandoned(self._children):
                self._future.cancel()
                if self._pool._closed:
                    raise Cancelled("The worker is shutting down.")
                raise BrokenProcessPool
        if self._cancelled.is_set():
            raise Cancelled("Decoding was cancelled.")
        try:
            # not raised by the future: a raised error would keep this call's frames, and the future keeps the error
            error = self._future.exception()
        except CancelledError:
            raise Cancelled("Decoding was cancelled.") from None
        if isinstance(error, TimeoutError):
            raise UndecodableVideo(
                f"Decoding took longer than {self._pool.deadline_s:g} s.",
                hint="Send a shorter or smaller video.",
                reason="deadline",
                stream=None,
            )
        if isinstance(error, ProcessExpired):
            raise _crashed()
        if isinstance(error, BrokenProcessPool):
            raise BrokenProcessPool
        answer: DecodeReport | dict[str, Any] = self._future.result()
        return answer


def _crashed() -> UndecodableVideo:
    return UndecodableVideo(
        "The decoder crashed on this video.",
        hint="The file is probably damaged. Convert it and try again.",
        reason="decoder_crashed",
        stream=None,
    )


def _stop(children: ProcessPool) -> None:
    children.stop()  # type: ignore[no-untyped-call]
    children.join()


def _cores() -> int:
    """Number of cores that this process may use. A container may have fewer than the machine."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
