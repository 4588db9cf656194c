"""Shadows score what has been answered, and never cost an answer anything."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import Context

import pytest
import redis

from core.errors import InvalidLabels, UnknownVideo
from core.logs.belonging import JOB_ID, REQUEST_ID, belong_to
from core.questions import Label, Question, ShadowQuestion
from core.state.shadow_counts import Look, Pair, ShadowCounts, read_counts
from worker.inference.shadows import MOST_STARTS, MOST_WAITING, Score, ShadowBook, Shadows, ShadowTask
from worker.jobs.cancellation import CancelToken

PAIR = Pair("gym", "production", 1, 2)
WAIT = 20.0  # far longer than any step takes


def task(label: str = "a") -> ShadowTask:
    asked = ShadowQuestion(name="gym", alias="production", version=1, shadow=2, normalize_labels=True)
    question = Question(labels=(Label(name="a"), Label(name="b")))
    return ShadowTask(asked, question, "0" * 64, Look(label, 0.5))


@pytest.fixture
def client(redis_url: str) -> redis.Redis:
    client = redis.Redis.from_url(redis_url, decode_responses=True)
    client.delete(*PAIR.keys)
    return client


@contextmanager
def scoring(client: redis.Redis, score: Score) -> Iterator[Shadows]:
    shadows = Shadows(score, ShadowBook(client))
    try:
        yield shadows
    finally:
        shadows.close(WAIT)


def counted(client: redis.Redis) -> ShadowCounts:
    counts, differences = (client.hgetall(key) for key in PAIR.keys)
    return read_counts(PAIR, counts, differences, 50)  # type: ignore[arg-type]


class Recorded:
    """Scores each question with the next of the given outcomes, and says when it has scored them all."""

    def __init__(self, *outcomes: Look | Exception | None) -> None:
        self._outcomes = list(outcomes)
        self.done = threading.Event()

    def __call__(self, _task: ShadowTask, _token: CancelToken) -> Look | None:
        outcome = self._outcomes.pop(0)
        if not self._outcomes:
            self.done.set()
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


def test_what_each_outcome_counts_as(client: redis.Redis) -> None:
    outcomes = (
        Look("a", 0.1),
        Look("b", 0.3),
        InvalidLabels("no such class"),
        RuntimeError("x"),
        UnknownVideo("x"),
        None,
    )
    score = Recorded(*outcomes)
    with scoring(client, score) as shadows:
        for _ in outcomes:
            shadows.offer(task())
        assert score.done.wait(WAIT)
    found = counted(client)
    assert (found.seen, found.agreed, found.failed, found.skipped) == (2, 1, 2, 2)
    assert [found.margin, found.shadow_margin] == pytest.approx([0.5, 0.2])


def test_all_workers_add_to_the_same_counts(client: redis.Redis) -> None:
    """And a worker that starts again goes on where it was."""
    for label in ("a", "b", "a"):
        score = Recorded(Look(label, 0.1))
        with scoring(client, score) as shadows:
            shadows.offer(task())
            assert score.done.wait(WAIT)
    assert (counted(client).seen, counted(client).agreed) == (3, 2)
    assert all(client.ttl(key) == -1 for key in PAIR.keys), "Redis must not evict them"


def test_a_shadow_waits_while_a_question_is_answered(client: redis.Redis) -> None:
    score = Recorded(Look("a", 0.1))
    with scoring(client, score) as shadows:
        with shadows.live():
            shadows.offer(task())
            with shadows.live():
                pass
            assert not score.done.wait(0.1)
        assert score.done.wait(WAIT)


def stopped_by(shadows: Shadows, began: threading.Semaphore, times: int) -> None:
    """So many questions come, each while the shadow scores."""
    for _ in range(times):
        assert began.acquire(timeout=WAIT)
        with shadows.live():
            pass


def until_cancelled(began: threading.Semaphore) -> Callable[[ShadowTask, CancelToken], Look | None]:
    def score(task: ShadowTask, token: CancelToken) -> Look | None:
        began.release()
        stopped = threading.Event()
        with token.on_cancel(stopped.set):
            assert stopped.wait(WAIT)
        return None

    return score


def test_a_question_stops_a_shadow_that_scores(client: redis.Redis) -> None:
    """It begins again, but not for ever."""
    began = threading.Semaphore(0)
    with scoring(client, until_cancelled(began)) as shadows:
        shadows.offer(task())
        stopped_by(shadows, began, MOST_STARTS)
    assert (counted(client).seen, counted(client).skipped) == (0, 1)


def test_too_many_questions_are_skipped_and_counted(client: redis.Redis) -> None:
    with scoring(client, Recorded()) as shadows, shadows.live():
        for _ in range(MOST_WAITING + 3):
            shadows.offer(task())
        shadows.close(WAIT)  # a worker that stops skips what waits
    assert (counted(client).seen, counted(client).skipped) == (0, MOST_WAITING + 3)


def test_a_redis_that_does_not_answer_loses_counts_and_nothing_else(client: redis.Redis) -> None:
    dead = redis.Redis(port=9, socket_connect_timeout=0.2)
    score = Recorded(Look("a", 0.1), Look("a", 0.1))
    with scoring(dead, score) as shadows:
        for _ in range(2):
            shadows.offer(task())
        assert score.done.wait(WAIT)


def test_log_lines_about_a_shadow_belong_to_the_question_that_it_follows(client: redis.Redis) -> None:
    seen: list[tuple[str | None, str | None]] = []
    scored = threading.Event()

    def score(_task: ShadowTask, _token: CancelToken) -> None:
        seen.append((JOB_ID.get(), REQUEST_ID.get()))
        if len(seen) == 2:
            scored.set()

    def asked(job_id: str) -> ShadowTask:
        belong_to(job_id, f"req of {job_id}")
        return task()

    with scoring(client, score) as shadows:
        for job_id in ("job_1", "job_2"):
            shadows.offer(Context().run(asked, job_id))
        assert scored.wait(WAIT)
    assert seen == [("job_1", "req of job_1"), ("job_2", "req of job_2")]
