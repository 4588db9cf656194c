from __future__ import annotations

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import pytest
import redis

from core.records import WorkerInfo
from core.state import keys
from core.state.workers import LIVE, live_args
from tests.worker.jobs.clock import elapse
from tests.worker.jobs.conftest import QueueJob
from worker.jobs.book import JobBook
from worker.jobs.cancellation import RunningJobs, StopReason
from worker.jobs.heartbeat import Heartbeat


def test_a_worker_announces_itself_renews_its_leases_and_signs_off(
    client: redis.Redis, book: JobBook, queue_job: QueueJob
) -> None:
    running = RunningJobs()
    heartbeat = Heartbeat(client, book, running)
    mine, other = book.start(queue_job().id), book.start(queue_job().id)
    assert mine
    assert other
    elapse(client, book.lease - 1)
    before = leases(client)
    with running.token(mine):
        heartbeat.update(state="ready", detail="lite is loaded")
    (worker_id,) = map(str, client.zrange(keys.WORKERS, 0, -1))
    info = WorkerInfo.model_validate_json(str(client.get(keys.worker(worker_id))))
    assert (info.state, info.detail, info.queue) == ("ready", "lite is loaded", keys.INFERENCE)
    assert client.ttl(keys.worker(worker_id)) == -1  # a key with a TTL may be evicted
    assert leases(client)[mine.job_id] > before[mine.job_id] + book.lease / 2
    assert leases(client)[other.job_id] == before[other.job_id]
    heartbeat.start()
    heartbeat.stop()
    assert client.zcard(keys.WORKERS) == 0
    assert client.get(keys.worker(worker_id)) is None


def leases(client: redis.Redis) -> dict[str, float]:
    return dict(client.zrange(keys.running(keys.INFERENCE), 0, -1, withscores=True))  # type: ignore[arg-type]


def heart(client: redis.Redis) -> Heartbeat:
    return Heartbeat(client, JobBook(client, keys.INFERENCE), RunningJobs())


def live(client: redis.Redis) -> list[str]:
    script_keys, args = live_args()
    texts: Any = client.register_script(LIVE)(keys=script_keys, args=args)
    return [WorkerInfo.model_validate_json(text).detail for text in texts]


def test_a_silent_worker_is_gone_and_later_forgotten(client: redis.Redis) -> None:
    heart(client).update(detail="first")
    assert live(client) == ["first"]
    ((silent, beat),) = cast(list[tuple[str, float]], client.zrange(keys.WORKERS, 0, -1, withscores=True))
    client.zadd(keys.WORKERS, {silent: beat - 11})
    heart(client).update(detail="second")
    assert live(client) == ["second"]
    assert client.exists(keys.worker(silent)) == 1
    client.zadd(keys.WORKERS, {silent: beat - 101})
    heart(client).update(detail="third")
    assert client.exists(keys.worker(silent)) == 0
    assert client.zcard(keys.WORKERS) == 2


def test_a_host_whose_clock_is_wrong_is_alive(client: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 1.0)
    heart(client).update(detail="here")
    assert live(client) == ["here"]


def test_no_change_is_lost_between_threads(client: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each thread changes a field of its own; the other fields keep what the other threads wrote."""
    copy = WorkerInfo.model_copy

    def slow_copy(info: WorkerInfo, **changes: Any) -> WorkerInfo:
        copied = copy(info, **changes)
        time.sleep(0.002)  # so that the threads meet between reading and writing
        return copied

    monkeypatch.setattr(WorkerInfo, "model_copy", slow_copy)
    heartbeat = heart(client)
    together = threading.Barrier(3)

    def change(name: str) -> None:
        for number in range(5):
            together.wait(10)
            heartbeat.update(**{name: f"{number}"})
            assert announced(client)[name] == f"{number}"

    with ThreadPoolExecutor(3) as pool:
        for done in [pool.submit(change, name) for name in ("detail", "device", "precision")]:
            done.result()
    assert [announced(client)[name] for name in ("detail", "device", "precision")] == ["4"] * 3


def announced(client: redis.Redis) -> dict[str, Any]:
    (worker_id,) = cast(list[str], client.zrange(keys.WORKERS, 0, -1))
    found: dict[str, Any] = json.loads(str(client.get(keys.worker(worker_id))))
    return found


def test_each_announcement_has_the_time_at_which_it_was_made(
    client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    heartbeat = heart(client)
    for now in (1_000.0, 2_000.0):
        monkeypatch.setattr(time, "time", lambda now=now: now)
        heartbeat.beat()
        assert announced(client)["seen_at"] == now


def test_a_heart_beats_on_while_redis_is_away(client: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    heartbeat = heart(client)
    beats = threading.Event()

    def away(**_: object) -> None:
        if beaten.is_set():
            beats.set()
        beaten.set()
        raise redis.ConnectionError("away")

    beaten = threading.Event()
    monkeypatch.setattr(heartbeat, "_announce_script", away)
    monkeypatch.setattr(heartbeat, "_interval", 0.01)
    heartbeat.start()
    assert beats.wait(20), "the second beat did not come"
    heartbeat.stop()


def test_a_heartbeat_stops_the_attempts_that_must_stop(client: redis.Redis, book: JobBook, queue_job: QueueJob) -> None:
    running = RunningJobs()
    heartbeat = Heartbeat(client, book, running)
    lost, cancelled, healthy = (book.start(queue_job().id) for _ in range(3))
    assert lost
    assert cancelled
    assert healthy
    with running.token(lost) as first, running.token(cancelled) as second, running.token(healthy) as third:
        client.hset(keys.job(lost.job_id), "holder", "another")
        client.hset(keys.job(cancelled.job_id), "cancel_requested", "1")
        heartbeat.beat()
    assert (first.reason, second.reason, third.reason) == (StopReason.SUPERSEDED, StopReason.CANCELLED, None)
