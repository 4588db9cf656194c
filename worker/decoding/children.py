"""The worker's side of its decode children: starting them, giving them tasks, reading their answers with care."""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import signal
import time
from dataclasses import asdict
from functools import cache
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from core.errors import VireoError, WorkerUnavailable
from worker.children.channel import Channel, ChannelClosed
from worker.children.environment import child_environment
from worker.children.fork_server import ForkServer
from worker.decoding.decode_child import TAKEN, ChildLimits, ChildTask
from worker.decoding.frame_cache import DamagedEntry
from worker.video.clip import DecodeReport

log = logging.getLogger(__name__)

_START_SECONDS = 60.0  # a busy machine may take that long to load the decoding libraries
_MAX_REPLY_BYTES = 1 << 22


class _Hello(BaseModel):
    missing: list[Annotated[str, Field(max_length=300)]] = Field(max_length=4)


class _Error(BaseModel):
    """Only what a decoder has reason to say: a child cannot make the worker believe that its store is gone."""

    model_config = ConfigDict(extra="forbid")

    code: Literal["undecodable_video", "video_too_large", "internal_error"]
    message: str = Field(max_length=1000)
    hint: str | None = Field(max_length=1000)
    request_id: None = None
    details: dict[Annotated[str, Field(pattern="^[a-z_]{1,40}$")], Any]


class _Reply(BaseModel):
    model_config = ConfigDict(extra="forbid")

    report: DecodeReport | None = None
    kept: bool = False
    damaged: str | None = None
    error: _Error | None = None
    log: str | None = None


_REPLY = TypeAdapter(_Reply)


class ChildGone(Exception):
    """The child had died before it took the task, so the video has nothing to do with it."""


class DecodeChild:
    """One child. It belongs to one thread; only `kill` may be called from another."""

    def __init__(self, pid: int, channel: Channel, server: ForkServer) -> None:
        self.pid = pid
        self._channel, self._server = channel, server
        self._killed = False

    @property
    def is_idle(self) -> bool:
        """False if it is dead or about to be, or talks without being asked."""
        return not self._killed and self._channel.is_silent

    def decode(self, task: ChildTask, files: tuple[int, ...], seconds: float) -> tuple[DecodeReport, bool]:
        """`files`: see `ChildTask`; seconds: deadline. → the report, and whether the entry of the cache is complete.

        Raises: VireoError, DamagedEntry, ChildGone; ChannelClosed if the child dies or talks nonsense, TimeoutError.
        """
        deadline = time.monotonic() + seconds
        try:
            self._channel.send(pickle.dumps(task), files)
            taken = self._channel.receive(len(TAKEN), deadline)
        except ChannelClosed as error:
            raise ChildGone from error
        if taken != TAKEN:
            raise ChannelClosed
        answer = self._channel.receive(_MAX_REPLY_BYTES, deadline)
        try:
            reply = _REPLY.validate_json(answer)
            if reply.report and (len(reply.report.timestamps), *map(len, reply.report.timestamps[:1])) != (
                task.request.views.clips,
                task.request.frames,
            ):
                raise ChannelClosed
            fault = VireoError.from_dict(reply.error.model_dump()) if reply.error else None
        except (ValidationError, TypeError) as problem:
            log.warning("a decode child gave an answer that makes no sense: %s", str(problem)[:500])
            raise ChannelClosed from problem
        if reply.log:
            log.error("a decode child failed with an unexpected error: %r", reply.log)
        if fault:
            raise fault
        if reply.damaged is not None:
            raise DamagedEntry(repr(reply.damaged[:200]))
        if reply.report is None:
            raise ChannelClosed
        return reply.report, reply.kept

    def kill(self) -> None:
        """Safe until `end`: the fork server keeps the process id from being used again."""
        self._killed = True
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    def end(self) -> None:
        self.kill()
        self._channel.close()
        self._server.reap(self.pid)


class DecodeChildren:
    """Starts children by a fork server (`worker.decoding.fork_server`), which loads while the worker does."""

    def __init__(self, limits: ChildLimits) -> None:
        self._limits = asdict(limits)
        self._server = ForkServer("worker.decoding.fork_server", child_environment(), _START_SECONDS)
        self._server.launch()

    @property
    def is_closed(self) -> bool:
        return self._server.is_closed

    @property
    def server_pid(self) -> int | None:
        return self._server.pid

    def start(self) -> DecodeChild:
        """Returns a child that is confined and waits for its first task. Raises: WorkerUnavailable."""
        if self.is_closed:
            raise WorkerUnavailable("The worker is shutting down.")
        ours, theirs = Channel.pair()
        try:
            with theirs:
                pid = self._fork(theirs.fileno())
            hello = _Hello.model_validate_json(ours.receive(_MAX_REPLY_BYTES, time.monotonic() + _START_SECONDS))
        except (ChannelClosed, TimeoutError, ValidationError, OSError) as error:
            ours.close()
            if self.is_closed:  # meanwhile: nothing is wrong
                raise WorkerUnavailable("The worker is shutting down.") from error
            raise WorkerUnavailable(
                "The worker cannot start a decoder.", hint="The worker's log has the reason."
            ) from error
        for sentence in hello.missing:
            _warn_once(sentence)
        return DecodeChild(pid, ours, self._server)

    def close(self) -> None:
        """The children die with their server."""
        self._server.close()

    def _fork(self, descriptor: int) -> int:
        """Raises: ChannelClosed."""
        try:
            return self._server.fork(self._limits, descriptor)
        except ChannelClosed:
            if self.is_closed:
                raise
            return self._server.fork(self._limits, descriptor)


@cache
def _warn_once(sentence: str) -> None:
    log.warning("decode children are confined less than they could be. %s", sentence)
