"""Decoding untrusted video in child processes that can be killed one by one without harm to the worker or each other.

A child that crashes, hangs or uses too much memory loses only its own video. The fork server replaces it in
milliseconds. Frames come back through memory that the parent owns and the child fills (`worker.decoding.memory`).
"""

from __future__ import annotations

import logging
import os
import queue
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import closing, contextmanager
from contextvars import copy_context
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from core.errors import Cancelled, InvalidRequest, StorageUnavailable, UndecodableVideo, VireoError, WorkerUnavailable
from core.settings import Settings
from core.settings.machine import usable_cores
from models.frames.arrays import UInt8Array
from models.frames.augmentation import Draw
from models.frames.sampling import Views
from models.profiles.profile import Profile
from worker.children.channel import ChannelClosed
from worker.decoding.children import ChildGone, DecodeChild, DecodeChildren
from worker.decoding.decode_child import ChildLimits, ChildTask
from worker.decoding.frame_cache import OpenEntry, through_cache
from worker.decoding.memory import Segment
from worker.jobs.turns import ASKER, Turns
from worker.video.clip import DecodeReport, DecodeRequest
from worker.video.container import VideoLimits

log = logging.getLogger(__name__)

MAX_FRAME_BYTES = 1 << 31
"""Limit for the frames of one video, all views together. No larger request could be answered in time."""

_MOST_THREADS = 2  # of one decoder: a third gives little, because a run of packets is short
_STARTS_PER_TASK = 3  # somebody may kill a child that waits for work
_TASKS_PER_CHILD = 500  # then a new child replaces it, because codecs fragment memory


@dataclass(frozen=True, slots=True)
class DecodedClip:
    """frames: uint8 [V, T, S, S, 3], sRGB, V = crop · clips + clip."""

    frames: UInt8Array
    report: DecodeReport


class DecodePool:
    """Threads may share it, and any thread may create it. `close` it, or use it as a context manager."""

    def __init__(
        self,
        processes: int,
        deadline_s: float,
        memory_bytes: int,
        max_pixels: int,
        max_seconds: float,
        entry_bytes: int = 0,
    ) -> None:
        """deadline_s: for one video, without the wait for a free child; memory_bytes: of each child, see `ChildLimits`;
        entry_bytes: size up to which a child may write an entry of a frame cache. 0: a child writes no file at all."""
        self.deadline_s = deadline_s
        self._limits = VideoLimits(max_pixels, max_seconds)
        self._threads = max(min(usable_cores() // processes, _MOST_THREADS), 1)
        self._starter = DecodeChildren(ChildLimits(memory_bytes, entry_bytes))
        self._tasks = _Tasks()
        self._slots = [_Slot(self._starter, self._tasks, deadline_s) for _ in range(processes)]
        self._closed = threading.Event()
        self._finalizer = weakref.finalize(self, _stop, self._closed, self._starter, self._slots, self._tasks)

    @classmethod
    def from_settings(cls, settings: Settings, processes: int | None = None, entry_bytes: int = 0) -> Self:
        """`processes`: the number of children where it differs from `settings.decoders`."""
        return cls(
            processes=processes or settings.decoders,
            deadline_s=settings.decode_deadline,
            memory_bytes=settings.decode_memory,
            max_pixels=settings.max_video_pixels,
            max_seconds=settings.max_video_seconds,
            entry_bytes=entry_bytes,
        )

    @property
    def children(self) -> list[int]:
        """Process ids of the children that live."""
        return [child.pid for slot in self._slots if (child := slot.child)]

    def submit(
        self,
        path: Path,
        *,
        profile: Profile,
        views: Views,
        frames: int,
        draw: Draw | None = None,
        times: tuple[float, ...] | None = None,
        cache: Path | None = None,
    ) -> DecodeTask:
        """The task starts at once if a child is free. draw: random frames and crops, for training; times: of the
        frames, see `DecodeRequest`; cache: the directory of a frame cache. Raises: InvalidRequest,
        WorkerUnavailable."""
        request = DecodeRequest(profile, views, frames, self._limits, self._threads, draw, times)
        if np.prod(request.shape, dtype=np.int64) > MAX_FRAME_BYTES:
            raise InvalidRequest(
                f"{views} views of {frames} frames do not fit into memory.", hint="Ask for fewer views or frames."
            )
        task = DecodeTask(path, request, cache)
        self._tasks.put(task)
        if self._closed.is_set():
            task.cancel()
            raise WorkerUnavailable("The worker is shutting down.")
        return task

    def close(self) -> None:
        """Kill all children. Safe to call twice."""
        self._finalizer()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class DecodeTask:
    """The decoding of one video."""

    def __init__(self, path: Path, request: DecodeRequest, cache: Path | None) -> None:
        self.path, self.request, self.cache = path, request, cache
        self.context = copy_context()  # log lines about it carry its request and job
        self._answer: Future[DecodedClip] = Future()
        self._lock = threading.Lock()
        self._kill: Callable[[], None] | None = None

    def result(self) -> DecodedClip:
        """Waits for the frames.

        Raises: UndecodableVideo (also with reason "decoder_crashed" or "deadline"), VideoTooLarge, Cancelled,
        StorageUnavailable, WorkerUnavailable.
        """
        try:
            return self._answer.result()
        finally:
            del self  # a raised error keeps this call: with `self` in it, the frames would wait for garbage collection

    def cancel(self) -> None:
        """A thread in `result` gets Cancelled at once. A child at work is killed within a fraction of a second."""
        self.finish(Cancelled("Decoding was cancelled."))
        with self._lock:
            if self._kill:
                self._kill()

    def start(self, kill: Callable[[], None] | None) -> bool:
        """`kill` ends the child that works on this task from now on; None: no child does any more. Returns whether
        somebody still waits."""
        with self._lock:
            self._kill = kill
            return not self._answer.done()

    def finish(self, outcome: DecodedClip | VireoError) -> None:
        """The first outcome counts."""
        with self._lock:
            if self._answer.done():
                return
            if isinstance(outcome, DecodedClip):
                self._answer.set_result(outcome)
            else:
                self._answer.set_exception(outcome.with_traceback(None))  # the traceback would keep the frames


class _Tasks(queue.Queue["DecodeTask | None"]):
    """Those of different askers in turns. None tells a slot to end."""

    def _init(self, maxsize: int) -> None:  # noqa: ARG002
        self._turns: Turns[DecodeTask | None] = Turns()

    def _qsize(self) -> int:
        return len(self._turns)

    def _put(self, item: DecodeTask | None) -> None:
        self._turns.add(item, ASKER.get(), 1)

    def _get(self) -> DecodeTask | None:
        return self._turns.take()


class _Slot:
    """A thread that keeps one child alive and gives it one task after the other."""

    def __init__(self, starter: DecodeChildren, tasks: _Tasks, deadline_s: float) -> None:
        self._starter, self._tasks, self._deadline_s = starter, tasks, deadline_s
        self.child: DecodeChild | None = None
        self._thread = threading.Thread(target=self._run, name="decode", daemon=True)
        self._thread.start()

    def join(self) -> None:
        self._thread.join()

    def _run(self) -> None:
        done = 0
        while True:
            if self.child is None and not self._starter.is_closed:
                self._start_child()  # before there is a task, so that the next video does not wait for it
                done = 0
            task = self._tasks.get()
            if task is None:
                break
            task.finish(task.context.run(self._outcome, task))
            del task  # it holds the frames
            done += 1
            if done == _TASKS_PER_CHILD:
                self._end_child()
        self._end_child()

    def _start_child(self) -> None:
        try:
            self.child = self._starter.start()
        except WorkerUnavailable as error:
            if not self._starter.is_closed:  # said again when a task needs it
                log.warning("%s", error.message)

    def _end_child(self) -> None:
        if self.child:
            self.child.end()
            self.child = None

    def _outcome(self, task: DecodeTask) -> DecodedClip | VireoError:
        try:
            return self._decode_twice_at_most(task)
        except VireoError as error:
            return error
        except (ChannelClosed, TimeoutError) as end:
            self._end_child()
            if self._starter.is_closed:
                return Cancelled("The worker is shutting down.")
            return _too_late(self._deadline_s) if isinstance(end, TimeoutError) else _crashed()
        except Exception:
            log.exception("a decode child could not be used")
            self._end_child()
            return VireoError("The decoder failed on this video.", hint="The worker's log has the reason.")

    def _decode_twice_at_most(self, task: DecodeTask) -> DecodedClip:
        """A child may die of something else than its video, such as the kernel's search for memory. Raises: as
        `_decode_in_living_child`."""
        try:
            return self._decode_in_living_child(task)
        except ChannelClosed:
            self._end_child()
            if self._starter.is_closed:
                raise
        log.warning("a decode child died while it decoded; its video is decoded once more")
        return self._decode_in_living_child(task)

    def _decode_in_living_child(self, task: DecodeTask) -> DecodedClip:
        """Raises: as `_decode`, but not ChildGone."""
        for _ in range(_STARTS_PER_TASK):
            if self.child and not self.child.is_idle:
                self._end_child()
            self.child = self.child or self._starter.start()
            try:
                return self._decode(task, self.child)
            except ChildGone:
                self._end_child()
        raise WorkerUnavailable("The worker's decoders die before they have anything to do.")

    def _decode(self, task: DecodeTask, child: DecodeChild) -> DecodedClip:
        """Raises: VireoError; ChildGone, ChannelClosed, TimeoutError if the child is to be replaced."""
        if not task.start(child.kill):
            raise Cancelled("Decoding was cancelled.")
        try:
            with _opened(task.path) as video, closing(Segment(task.request.shape)) as segment:
                frames = segment.map()

                def decode(entry: OpenEntry | None) -> tuple[DecodeReport, bool]:
                    files = (segment.fd, video) if entry is None else (segment.fd, video, entry.fd)
                    stored = None if entry is None else entry.stored
                    return child.decode(ChildTask(task.request, stored), files, self._deadline_s)

                if task.cache is None:
                    return DecodedClip(frames, decode(None)[0])
                return DecodedClip(frames, through_cache(task.cache, task.path, task.request, decode))
        finally:
            task.start(None)


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    """A descriptor. Raises: StorageUnavailable."""
    try:
        video = os.open(path, os.O_RDONLY)
    except OSError as error:
        raise StorageUnavailable("The video is no longer stored.", hint="Upload it again.") from error
    try:
        yield video
    finally:
        os.close(video)


def _too_late(seconds: float) -> UndecodableVideo:
    return UndecodableVideo(
        f"Decoding took longer than {seconds:g} s.",
        hint="Send a shorter or smaller video.",
        reason="deadline",
        stream=None,
    )


def _crashed() -> UndecodableVideo:
    return UndecodableVideo(
        "The decoder crashed on this video.",
        hint="The file is probably damaged. Convert it and try again.",
        reason="decoder_crashed",
        stream=None,
    )


def _stop(closed: threading.Event, starter: DecodeChildren, slots: list[_Slot], tasks: _Tasks) -> None:
    closed.set()
    starter.close()  # the children die with it, so no slot waits for one
    for _ in slots:
        tasks.put(None)
    for slot in slots:
        slot.join()
    while not tasks.empty():
        if task := tasks.get():
            task.cancel()
