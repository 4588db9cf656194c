from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from core.state import keys
from core.storage.partial import STALE_AFTER
from tests.service.doubles import answering
from tests.service.sites import FILE, Site, serving, sweep
from tests.waiting import wait_until

Serve = Callable[..., AbstractContextManager[Site]]


def test_finished_jobs_are_deleted_with_their_events_and_keys(site: Site, redis_url: str) -> None:
    with answering(redis_url), site.client() as http:
        old = http.post("/v1/classify", data={"labels": "a"}, files=FILE, headers={"idempotency-key": "k"}).json()["id"]
        new = http.post("/v1/classify", data={"labels": "b"}, files=FILE).json()["id"]
        site.redis.zadd(keys.FINISHED, {old: time.time() - 100})
        site.redis.rpush(keys.metrics(old), "{}")
        sweep(site, answer_ttl=60)
        assert http.get(f"/v1/jobs/{old}").status_code == 404
        assert http.get(f"/v1/jobs/{new}").status_code == 200
        assert [job["id"] for job in http.get("/v1/jobs").json()["data"]] == [new]
    idempotency = keys.idempotency(hashlib.sha256(b"k").hexdigest())
    assert site.redis.exists(keys.job(old), keys.events(old), keys.metrics(old), idempotency) == 0
    assert site.redis.zscore(keys.FINISHED, old) is None


def test_partial_files_of_dead_processes_are_deleted_at_start(redis_url: str, tmp_path: Path) -> None:
    partial = tmp_path / "store" / "partial"
    partial.mkdir(parents=True)
    stale, fresh = partial / "a.part", partial / "b.part"
    for path in (stale, fresh):
        path.write_bytes(b"x")
    os.utime(stale, (0, time.time() - STALE_AFTER - 1))
    with serving(redis_url, tmp_path):
        wait_until(lambda: not stale.exists())
        assert fresh.exists()
