from __future__ import annotations

import time

from core.records import WorkerInfo
from core.state import keys
from worker.jobs.book import JobBook
from worker.jobs.cancellation import RunningJobs
from worker.jobs.connection import connect
from worker.jobs.heartbeat import HEARTBEAT_LIFETIME, Heartbeat


def test_a_worker_announces_itself_renews_its_leases_and_signs_off(redis_url: str) -> None:
    client = connect(redis_url, decode=True)
    running = RunningJobs()
    heartbeat = Heartbeat(client, JobBook(client, keys.INFERENCE), running)
    soon = time.time() + 1
    client.zadd(keys.running(keys.INFERENCE), {"job_mine": soon, "job_other": soon})
    with running.token("job_mine"):
        heartbeat.update(state="ready", detail="lite is loaded")
    (worker_id,) = map(str, client.zrange(keys.WORKERS, 0, -1))
    info = WorkerInfo.model_validate_json(str(client.get(keys.worker(worker_id))))
    assert (info.state, info.detail, info.queue) == ("ready", "lite is loaded", keys.INFERENCE)
    assert 0 < int(client.ttl(keys.worker(worker_id))) <= HEARTBEAT_LIFETIME
    leases = dict(client.zrange(keys.running(keys.INFERENCE), 0, -1, withscores=True))  # type: ignore[arg-type]
    assert float(leases["job_mine"]) > soon + 5
    assert float(leases["job_other"]) == soon
    heartbeat.start()
    heartbeat.stop()
    assert client.zcard(keys.WORKERS) == 0
    assert client.get(keys.worker(worker_id)) is None
