from __future__ import annotations

import pytest

from core.state import keys
from service.ops.queue_metrics import queue_views
from tests.service.ops.test_workers import info
from tests.service.sites import Site


def test_the_age_of_a_queue_is_that_of_its_oldest_job(site: Site) -> None:
    now = site.redis.time()[0]
    site.redis.zadd(keys.waiting(keys.TRAINING), {"job_old": now - 100, "job_new": now - 5})
    site.redis.zadd(keys.running(keys.TRAINING), {"job_running": now + 10})
    live = [info(), info("failed"), info("ready", queue=keys.TRAINING)]
    found = site.run(queue_views(site.gateway.redis, live))
    training, inference = found[keys.TRAINING], found[keys.INFERENCE]
    assert (training.depth, training.running) == (2, 1)
    assert training.age_s == pytest.approx(100, abs=30)
    assert training.workers == {"starting": 0, "ready": 1, "failed": 0}
    assert (inference.depth, inference.running, inference.age_s) == (0, 0, 0.0)
    assert inference.workers == {"starting": 0, "ready": 1, "failed": 1}
