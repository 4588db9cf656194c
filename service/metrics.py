"""Live numbers of the queue, read from Redis at the moment of a scrape."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from redis.exceptions import RedisError

from core import keys
from service.gateway import Gateway


@dataclass(frozen=True, eq=False)
class Snapshot(Collector):
    """What Redis said; `up` is False where it did not answer, and nothing else is shown then."""

    up: bool = False
    depth: int = 0
    age: float = 0.0
    jobs: dict[str, int] = field(default_factory=dict)
    workers: dict[str, int] = field(default_factory=dict)

    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily("vireo_redis_up", "1 while Redis answers.", value=float(self.up))
        if not self.up:
            return
        depth = GaugeMetricFamily("vireo_queue_depth", "Jobs that wait for a worker.", labels=["queue"])
        depth.add_metric([keys.INFERENCE], self.depth)
        yield depth
        age = GaugeMetricFamily("vireo_queue_age_seconds", "Age of the job that waits longest.", labels=["queue"])
        age.add_metric([keys.INFERENCE], self.age)
        yield age
        yield _by_state("vireo_jobs", "Jobs on record.", self.jobs)
        yield _by_state("vireo_workers", "Inference workers with a heartbeat.", self.workers)


def _by_state(name: str, words: str, counts: dict[str, int]) -> Metric:
    family = GaugeMetricFamily(name, words, labels=["state"])
    for state, count in counts.items():
        family.add_metric([state], count)
    return family


async def snapshot(gateway: Gateway) -> Snapshot:
    try:
        async with gateway.redis.pipeline(transaction=False) as pipe:
            pipe.zrange(keys.waiting(keys.INFERENCE), 0, 0, withscores=True)
            for name in (keys.waiting(keys.INFERENCE), keys.running(keys.INFERENCE), keys.FINISHED):
                pipe.zcard(name)
            oldest, waiting, running, finished = await pipe.execute()
        workers = Counter(worker.state for worker in await gateway.workers.live())
    except RedisError:
        return Snapshot()
    return Snapshot(
        up=True,
        depth=waiting,
        age=max(0.0, time.time() - oldest[0][1]) if oldest else 0.0,
        jobs={"queued": waiting, "running": running, "finished": finished},
        workers={state: workers[state] for state in ("starting", "ready", "failed")},
    )
