"""Cancelling running jobs: a token per job, and one listener that cancels tokens when a user asks for it.

A job checks its token between stages. The token also stops whatever is running at that moment (it kills the decode
child or withdraws a waiting batch entry), so a job costs nothing more within a second after its client disconnects.
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
        self._cancelled = False
        self._stop: Callable[[], object] | None = None
        self.worker_stopping = False
        """The token was cancelled because this worker stops and not by a user: another worker can continue the job."""

    def cancel(self, *, worker_stopping: bool = False) -> None:
        with self._lock:
            if not self._cancelled:  # the first reason counts; a worker may be told to stop twice
                self.worker_stopping = worker_stopping
            self._cancelled = True
            stop = self._stop
        if stop:
            stop()

    def check(self) -> None:
        """Raises: Cancelled."""
        if self._cancelled:
            raise Cancelled("The job was cancelled.", hint="Send the request again if you still need the answer.")

    @contextmanager
    def on_cancel(self, stop: Callable[[], object]) -> Iterator[None]:
        """While the block runs, `cancel` also calls `stop`.

        Raises: Cancelled, if `cancel` was called before or during the block.
        """
        with self._lock:
            self._stop = stop
        try:
            self.check()  # after `stop` is in place, so that no cancellation is lost between the two
            yield
        finally:
            with self._lock:
                self._stop = None
        self.check()


class RunningJobs:
    """The jobs that run in this process, each with its cancel token."""

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
    def ids(self) -> list[str]:
        return list(self._tokens)

    def cancel(self, job_id: str) -> None:
        if token := self._tokens.get(job_id):
            log.info("cancelling %s", job_id)
            token.cancel()

    def release_all(self) -> None:
        """Stop every job because this worker stops: another worker continues them."""
        for token in list(self._tokens.values()):
            token.cancel(worker_stopping=True)

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
