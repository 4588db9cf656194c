"""Cancelling running jobs: a token per job, and one listener that cancels tokens when a user asks for it.

A job checks its token between stages. The token also stops whatever is running at that moment (it kills the decode
child or withdraws a waiting batch entry), so a job costs nothing more within a second after its client disconnects.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from enum import Enum, auto
from typing import TypeVar

import redis

from core.errors import Cancelled
from core.logs.belonging import lines_about
from core.state import keys
from core.state.lifecycle import Attempt, Standing

log = logging.getLogger(__name__)

T = TypeVar("T")


class StopReason(Enum):
    """Why an attempt must stop."""

    CANCELLED = auto()
    """A user wants it."""
    WORKER_STOPS = auto()
    SUPERSEDED = auto()
    """The job belongs to another attempt, or has ended."""


class CancelToken:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stops: list[Callable[[], object]] = []
        self.reason: StopReason | None = None

    @property
    def job_continues(self) -> bool:
        """Whether another attempt continues the job: what it needs must be left where it is."""
        return self.reason in (StopReason.WORKER_STOPS, StopReason.SUPERSEDED)

    def cancel(self, reason: StopReason = StopReason.CANCELLED) -> None:
        with self._lock:
            self.reason = self.reason or reason  # the first reason counts; a worker may be told to stop twice
            stops = list(self._stops)
        for stop in stops:
            stop()

    @property
    def cancelled(self) -> bool:
        return self.reason is not None

    def check(self) -> None:
        """Raises: Cancelled."""
        if self.reason:
            raise Cancelled("The job was cancelled.", hint="Send the request again if you still need the answer.")

    @contextmanager
    def on_cancel(self, stop: Callable[[], object]) -> Iterator[None]:
        """While the block runs, `cancel` also calls `stop`. Several threads may be in such blocks.

        Raises: Cancelled, if `cancel` was called before or during the block.
        """
        with self._lock:
            self._stops.append(stop)
        try:
            self.check()  # after `stop` is in place, so that no cancellation is lost between the two
            yield
        finally:
            with self._lock:
                self._stops.remove(stop)
        self.check()

    def wait_for(self, future: Future[T]) -> T:
        """The result of `future`, even of one that never ends: a cancellation ends the wait at once.

        Raises: Cancelled, or the exception of the future.
        """
        awake = threading.Event()
        future.add_done_callback(lambda _: awake.set())
        with self.on_cancel(awake.set):
            awake.wait()
        return future.result()


class RunningJobs:
    """The attempts that run in this process, each with its cancel token."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tokens: dict[Attempt, CancelToken] = {}
        self._starts = 0  # jobs that are being started: which ones, Redis decides
        self._cancelled_meanwhile: set[str] = set()
        self._released = False

    @contextmanager
    def starting(self) -> Iterator[None]:
        """While the block starts an attempt and registers it. A cancel that comes between the two is not lost."""
        with self._lock:
            self._starts += 1
        try:
            yield
        finally:
            with self._lock:
                self._starts -= 1
                if not self._starts:
                    self._cancelled_meanwhile.clear()

    @contextmanager
    def token(self, attempt: Attempt) -> Iterator[CancelToken]:
        """Register an attempt that has started."""
        token = CancelToken()
        with self._lock:
            self._tokens[attempt] = token
            released, cancelled = self._released, attempt.job_id in self._cancelled_meanwhile
        if released:
            token.cancel(StopReason.WORKER_STOPS)
        elif cancelled:
            token.cancel()
        try:
            yield token
        finally:
            with self._lock:
                del self._tokens[attempt]

    @property
    def attempts(self) -> list[Attempt]:
        with self._lock:
            return list(self._tokens)

    def cancel(self, job_id: str) -> None:
        with self._lock:
            if self._starts:
                self._cancelled_meanwhile.add(job_id)
        for attempt in self.attempts:
            if attempt.job_id == job_id:
                with lines_about(job_id):
                    log.info("cancelling %s", job_id)
                self._stop(attempt, StopReason.CANCELLED)

    def observe(self, standings: Mapping[Attempt, Standing]) -> None:
        """Stop the attempts whose lease could not be renewed or whose job is to be cancelled."""
        for attempt, standing in standings.items():
            if standing is Standing.SUPERSEDED:
                self._stop(attempt, StopReason.SUPERSEDED)
            elif standing is Standing.CANCEL_PENDING:
                self._stop(attempt, StopReason.CANCELLED)

    def release_all(self) -> None:
        """Stop every attempt, also those that start from now on, because this worker stops: another worker continues
        their jobs."""
        with self._lock:
            self._released = True
        for attempt in self.attempts:
            self._stop(attempt, StopReason.WORKER_STOPS)

    def _stop(self, attempt: Attempt, reason: StopReason) -> None:
        with self._lock:
            token = self._tokens.get(attempt)
        if token:
            token.cancel(reason)

    def listen(self, client: redis.Redis, stopped: threading.Event) -> None:
        """Cancel tokens as cancel messages arrive, until `stopped` is set. A lost connection is opened again."""
        while not stopped.is_set():
            try:
                with client.pubsub(ignore_subscribe_messages=True) as channel:  # type: ignore[no-untyped-call]
                    channel.subscribe(keys.CANCEL_CHANNEL)
                    while not stopped.is_set():
                        if message := channel.get_message(timeout=1.0):
                            self.cancel(message["data"])
            except redis.RedisError:
                stopped.wait(1.0)
