"""All workers answer requests that name no model with the same one, and a fallback is not for ever."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest
import redis

from core.settings import Settings
from core.state import keys
from worker.inference.loading import default_model
from worker.inference.loading.default_model import Choice, DefaultModel

CLIP = Choice("clip-b16", "it is here", auto=True)


@pytest.fixture
def resolved(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What `auto` stands for on this machine, call by call; the last answer stays."""
    answers = [("clip-b16", "it is here")]

    def resolve_auto(*_: object) -> tuple[str, str]:
        return answers.pop(0) if len(answers) > 1 else answers[0]

    monkeypatch.setattr(default_model, "resolve_auto", resolve_auto)
    return answers


def worker(records: redis.Redis, model: str = "auto", clock: Callable[[], float] | None = None) -> DefaultModel:
    """By default, so much time passes between two questions that each one looks at Redis."""
    passing = count(step=10)
    return DefaultModel(records, Settings(data_dir=Path("/nowhere"), model=model), clock or (lambda: next(passing)))


def test_workers_that_would_choose_differently_give_one_answer(
    records: redis.Redis, resolved: list[tuple[str, str]]
) -> None:
    resolved[:] = [("clip-b16", "it is here"), ("lite", "no network")]
    first, second = worker(records), worker(records)
    assert first.current() == second.current() == CLIP
    assert worker(records, "clip-l14").current() == CLIP


def test_workers_that_decide_at_the_same_time_give_one_answer(
    records: redis.Redis, resolved: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = worker(records), worker(records)

    def while_another_decides(*_: object) -> tuple[str, str]:
        monkeypatch.setattr(default_model, "resolve_auto", lambda *_: resolved[0])
        assert first.current() == CLIP
        return "lite", "no network"

    monkeypatch.setattr(default_model, "resolve_auto", while_another_decides)
    assert second.current() == CLIP


def test_a_decision_is_believed_for_a_moment(records: redis.Redis, resolved: list[tuple[str, str]]) -> None:
    now = [0.0]
    first = worker(records, clock=lambda: now[0])
    assert first.current() == CLIP
    worker(records, "lite").fall_back(CLIP, "no weights")
    now[0] = 0.9
    assert first.current() == CLIP
    now[0] = 1.0
    assert first.current().name == "lite"


def test_a_worker_that_cannot_load_the_model_falls_back_for_all(
    records: redis.Redis, resolved: list[tuple[str, str]]
) -> None:
    first, second = worker(records), worker(records)
    choice = first.current()
    fallback = second.fall_back(second.current(), "no weights")
    assert fallback == Choice("lite", "clip-b16 could not be loaded (no weights)", auto=True)
    assert first.current() == fallback
    assert first.fall_back(choice, "no memory") == fallback  # a late failure changes nothing
    assert first.fall_back(fallback, "no disk") is None


def test_a_configured_model_has_no_fallback(records: redis.Redis) -> None:
    configured = worker(records, "clip-l14")
    assert configured.fall_back(configured.current(), "no weights") is None
    assert configured.current().name == "clip-l14"


def test_a_fallback_is_looked_at_again_and_replaced_for_all(
    records: redis.Redis, resolved: list[tuple[str, str]]
) -> None:
    resolved[:] = [("lite", "no network"), ("lite", "no network"), ("clip-b16", "it is here")]
    holder, other = worker(records), worker(records)
    assert holder.current().name == other.current().name == "lite"
    assert holder.better() is None
    assert other.better() is None  # only the holder looks
    better = holder.better()
    assert better == CLIP
    assert other.current().name == "lite"  # until the holder has loaded it
    holder.adopt(better)
    assert other.current() == holder.current() == CLIP


def test_the_decision_of_a_worker_that_left_is_void(records: redis.Redis, resolved: list[tuple[str, str]]) -> None:
    resolved[:] = [("lite", "no network"), ("clip-b16", "it is here")]
    first, second = worker(records), worker(records)
    assert first.current().name == "lite"
    assert not second.hold()
    second.release()  # it is not the second's
    assert second.current().name == "lite"
    first.release()
    assert second.current().name == "clip-b16"
    assert first.current().name == "clip-b16"


def test_the_decision_of_a_dead_worker_runs_out(records: redis.Redis, resolved: list[tuple[str, str]]) -> None:
    holder = worker(records)
    holder.current()
    records.expire(keys.DEFAULT_MODEL, 1)
    assert holder.hold()
    assert 1 < int(records.ttl(keys.DEFAULT_MODEL)) <= default_model.LEASE_SECONDS


def test_a_decision_with_unknown_fields_is_read(records: redis.Redis) -> None:
    records.set(keys.DEFAULT_MODEL, json.dumps({"name": "clip-b32", "worker": "w", "since": 1}))
    assert worker(records).current() == Choice("clip-b32", None, auto=False)


def test_without_redis_the_last_known_decision_stays(resolved: list[tuple[str, str]], dead_redis: redis.Redis) -> None:
    alone = worker(dead_redis)
    resolved[:] = [("clip-b16", "it is here"), ("lite", "no network")]
    assert alone.current() == alone.current() == CLIP
    assert not alone.hold()
