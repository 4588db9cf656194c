"""Shadows: versions that score a share of the questions to an alias, after the answers are stored.

A shadow never costs an answer anything. One thread scores, only while this worker answers nothing; a question that
arrives stops it, and it begins again once the worker is idle. What cannot be scored soon is skipped, and a shadow that
fails is counted.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from typing import Final

import redis

from core.errors import Cancelled, UnknownVideo, VireoError
from core.projects import DEFAULT_PROJECT, prefix_of
from core.prometheus import SHADOW_MARGIN, SHADOW_QUESTIONS
from core.questions import Question, ShadowQuestion
from core.state.shadow_counts import COUNT, Look, Outcome, Pair, count_args
from worker.jobs.cancellation import CancelToken

log = logging.getLogger(__name__)

MOST_WAITING: Final = 16  # questions; more would describe minutes that are over
MOST_STARTS: Final = 4  # of one question, each but the first after a question that stopped it


@dataclass(slots=True)
class ShadowTask:
    """A question that has been answered. question: as it was asked; answer: what the answering version said."""

    asked: ShadowQuestion
    question: Question
    sha256: str
    answer: Look
    project: str = DEFAULT_PROJECT
    starts: int = 0
    context: Context = field(default_factory=copy_context)  # log lines about it carry the question's request and job

    @property
    def pair(self) -> Pair:
        return Pair(self.asked.name, self.asked.alias, self.asked.version, self.asked.shadow, self.project)


Score = Callable[[ShadowTask, CancelToken], Look | None]
"""What the shadow says; None if it has no room on this worker. Raises: VireoError."""


class ShadowBook:
    """Counts in Redis and in Prometheus. A Redis that does not answer loses a count, never an answer."""

    def __init__(self, client: redis.Redis) -> None:
        self._count = client.register_script(COUNT)

    def add(self, pair: Pair, outcome: Outcome, looks: tuple[Look, Look] | None = None, error: str = "") -> None:
        shown = prefix_of(pair.project) + pair.name
        SHADOW_QUESTIONS.labels(shown, pair.alias, outcome).inc()
        if looks:
            for look, version in zip(looks, ("answering", "shadow"), strict=True):
                SHADOW_MARGIN.labels(shown, pair.alias, version).inc(look.margin)
        script_keys, args = count_args(pair, outcome, time.time(), looks, error)
        try:
            self._count(keys=script_keys, args=args)
        except redis.RedisError as failure:
            log.warning("a question to the shadow of %s@%s is not counted: %s", pair.name, pair.alias, failure)


class Shadows:
    """Threads that answer call `live` and `offer`, which never block. `close` it."""

    def __init__(self, score: Score, book: ShadowBook) -> None:
        self._score = score
        self._book = book
        self._changed = threading.Condition()
        self._live = 0  # questions that this worker answers at this moment
        self._waiting: deque[ShadowTask] = deque()
        self._skipped: Counter[Pair] = Counter()  # not counted in Redis yet
        self._token: CancelToken | None = None  # of the question that is being scored
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="shadows", daemon=True)
        self._thread.start()

    @contextmanager
    def live(self) -> Iterator[None]:
        """While the block answers a question, no shadow scores."""
        with self._changed:
            self._live += 1
            token = self._token
        if token:
            token.cancel()
        try:
            yield
        finally:
            with self._changed:
                self._live -= 1
                self._changed.notify()

    def offer(self, task: ShadowTask) -> None:
        with self._changed:
            if len(self._waiting) < MOST_WAITING:
                self._waiting.append(task)
            else:
                self._skipped[task.pair] += 1
            self._changed.notify()

    def close(self, timeout: float = 5.0) -> None:
        """Questions that wait are skipped."""
        with self._changed:
            self._closed = True
            token = self._token
            self._changed.notify()
        if token:
            token.cancel()
        self._thread.join(timeout)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(self._has_work)
                if self._closed:
                    self._skipped.update(task.pair for task in self._waiting)
                    self._waiting.clear()
                skipped, self._skipped = self._skipped, Counter()
                task = self._waiting.popleft() if self._may_score() else None
                token = self._token = CancelToken() if task else None
            for pair in skipped.elements():
                self._book.add(pair, "skipped")
            if task and token:
                task.context.run(self._try, task, token)
            elif self._closed:
                return

    def _has_work(self) -> bool:
        return self._closed or bool(self._skipped) or self._may_score()

    def _may_score(self) -> bool:
        return bool(self._waiting) and not self._live

    def _try(self, task: ShadowTask, token: CancelToken) -> None:
        """Never raises: the thread serves the next question."""
        task.starts += 1
        try:
            look = self._score(task, token)
        except Cancelled:
            self._stopped(task)
        except UnknownVideo:  # it has expired meanwhile
            self._book.add(task.pair, "skipped")
        except VireoError as error:
            self._book.add(task.pair, "failed", error=error.message)
        except Exception as error:
            log.exception("the shadow of %s@%s failed", task.pair.name, task.pair.alias)
            self._book.add(task.pair, "failed", error=f"{type(error).__name__}: look into the worker's log")
        else:
            if look is None:
                self._book.add(task.pair, "skipped")
            else:
                outcome: Outcome = "agreed" if look.label == task.answer.label else "differed"
                self._book.add(task.pair, outcome, (task.answer, look))
        finally:
            with self._changed:
                self._token = None

    def _stopped(self, task: ShadowTask) -> None:
        """By a question that has come meanwhile."""
        with self._changed:
            if task.starts < MOST_STARTS and not self._closed:
                self._waiting.appendleft(task)
            else:
                self._skipped[task.pair] += 1
