"""Cancelling what runs: a token per job, and one listener that trips tokens when somebody asks.

A token is checked between stages and calls back into whatever is under way (the decode child is killed, a waiting
batch entry withdrawn), so a client that goes away stops costing within a second.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import redis

from core.errors import Cancelled
from core.state import keys

log = logging.getLogger(__name__)


class CancelToken:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tripped = False
        self._stop: Callable[[], object] | None = None
        self.leaving = False
        """Tripped because this worker stops, not because somebody cancelled: another one can go on with the job."""

    def trip(self, *, leaving: bool = False) -> None:
        with self._lock:
            if not self._tripped:  # the first reason counts; a worker may be told to stop twice
                self.leaving = leaving
            self._tripped = True
            stop = self._stop
        if stop:
            stop()

    def check(self) -> None:
        """Raises: Cancelled."""
        if self._tripped:
            raise Cancelled("The job was cancelled.", hint="Send it again if that was not meant.")

    @contextmanager
    def stopping(self, stop: Callable[[], object]) -> Iterator[None]:
        """While the block runs, a trip also calls `stop`. Raises: Cancelled if tripped before or meanwhile."""
        with self._lock:
            self._stop = stop
        try:
            self.check()  # after `stop` is in place, so that no trip falls between the two
            yield
        finally:
            with self._lock:
                self._stop = None
        self.check()


class Cancellations:
    """The tokens of the jobs that run in this process."""

    def __init__(self) -> None:
        self._tokens: dict[str, CancelToken] = {}

    @contextmanager
    def token(self, job_id: str) -> Iterator[CancelToken]:
        token = self._tokens[job_id] = CancelToken()
        try:
            yield token
        finally:
            self._tokens.pop(job_id, None)

    @property
    def running(self) -> list[str]:
        return list(self._tokens)

    def trip(self, job_id: str) -> None:
        if token := self._tokens.get(job_id):
            log.info("cancelling %s", job_id)
            token.trip()

    def leave(self) -> None:
        """Trip every token, because this worker is asked to stop."""
        for token in list(self._tokens.values()):
            token.trip(leaving=True)

    def listen(self, client: redis.Redis, stopped: threading.Event) -> None:
        """Trip tokens as cancel messages arrive, until `stopped`. A lost connection is taken up again."""
        while not stopped.is_set():
            try:
                with client.pubsub(ignore_subscribe_messages=True) as channel:  # type: ignore[no-untyped-call]
                    channel.subscribe(keys.CANCEL_CHANNEL)
                    while not stopped.is_set():
                        if message := channel.get_message(timeout=1.0):
                            self.trip(message["data"])
            except redis.RedisError:
                stopped.wait(1.0)
