"""Checkpoints on their way to the store. A thread of its own carries them, so a slow store delays neither the child nor
the messages that its parent passes on."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextvars import copy_context
from pathlib import Path
from types import TracebackType
from typing import Any

from core.errors import StorageUnavailable
from worker.jobs.book import Superseded
from worker.jobs.cancellation import CancelToken, StopReason
from worker.jobs.reporter import Reporter

log = logging.getLogger(__name__)


class CheckpointUploads:
    """A context in which checkpoints are uploaded one after the other. At most one waits: a newer one takes its place.

    The context ends when the newest checkpoint is in the store. An attempt that is superseded uploads nothing more.
    A checkpoint that cannot be stored is an entry in the job's log, and the run goes on: the next one follows soon.
    """

    def __init__(self, store_checkpoint: Callable[[Path], None], reporter: Reporter, token: CancelToken) -> None:
        """store_checkpoint: moves a file to the store. Raises: StorageUnavailable."""
        self._store_checkpoint, self._reporter, self._token = store_checkpoint, reporter, token
        self._changed = threading.Condition()
        self._waiting: tuple[Path, dict[str, Any]] | None = None
        self._closed = False
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=copy_context().run, args=(self._run,), daemon=True)

    def add(self, path: Path, data: dict[str, Any]) -> None:
        """Upload the file `path` soon, and delete it. data: of the job's event `checkpoint`, which follows.

        Raises: what the report of an earlier checkpoint raised: Superseded, redis.RedisError.
        """
        with self._changed:
            if self._failure is not None:
                raise self._failure
            replaced, self._waiting = self._waiting, (path, data)
            self._changed.notify()
        if replaced is not None:
            replaced[0].unlink(missing_ok=True)

    def __enter__(self) -> CheckpointUploads:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()
        if self._failure is not None and kind is None:
            raise self._failure

    def _run(self) -> None:
        try:
            while (checkpoint := self._next()) is not None:
                self._upload(*checkpoint)
        except Exception as error:
            self._failure = error

    def _next(self) -> tuple[Path, dict[str, Any]] | None:
        """None once the context ends and nothing waits."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting is not None or self._closed)
            checkpoint, self._waiting = self._waiting, None
        return checkpoint

    def _upload(self, path: Path, data: dict[str, Any]) -> None:
        """Raises: Superseded, redis.RedisError."""
        try:
            if self._token.reason is StopReason.SUPERSEDED:
                raise Superseded(self._reporter.attempt.job_id)
            self._store_checkpoint(path)
        except StorageUnavailable as error:
            message = f"The checkpoint of step {data['step']} was not stored, and the run goes on: {error.message}"
            log.warning("%s: %s", self._reporter.attempt.job_id, message)
            self._reporter.event("log", {"message": message})
        else:
            self._reporter.event("checkpoint", data, checkpoint_saved=True)
        finally:
            path.unlink(missing_ok=True)
