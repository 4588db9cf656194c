"""The state of the queues, read from Redis at the moment of a scrape."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from redis.asyncio import Redis
from redis.exceptions import RedisError

from core.records import WorkerInfo
from core.state import keys
from core.state.queues import TASKS
from service.bodies.schemas import QueueView
from service.ops.redis_memory import RedisMemory, redis_memory
from service.ops.workers import Workers


@dataclass(frozen=True, eq=False)
class QueueSnapshot(Collector):
    """`memory`: of Redis; None without an answer, and then no queue is shown. `finished`: number of finished jobs."""

    memory: RedisMemory | None = None
    queues: dict[str, QueueView] = field(default_factory=dict)
    finished: int = 0

    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily("vireo_redis_up", "1 while Redis answers.", value=float(self.memory is not None))
        if self.memory is None:
            return
        yield from _memory_gauges(self.memory)
        depth = GaugeMetricFamily("vireo_queue_depth", "Jobs that wait for a worker.", labels=["queue"])
        age = GaugeMetricFamily("vireo_queue_age_seconds", "Age of the oldest waiting job.", labels=["queue"])
        workers = GaugeMetricFamily("vireo_workers", "Workers with a heartbeat.", labels=["queue", "state"])
        for name, queue in self.queues.items():
            depth.add_metric([name], queue.depth)
            age.add_metric([name], queue.age_s)
            for state, count in queue.workers.items():
                workers.add_metric([name, state], count)
        yield from (depth, age, workers)
        jobs = GaugeMetricFamily("vireo_jobs", "Jobs on record.", labels=["state"])
        jobs.add_metric(["queued"], sum(queue.depth for queue in self.queues.values()))
        jobs.add_metric(["running"], sum(queue.running for queue in self.queues.values()))
        jobs.add_metric(["finished"], self.finished)
        yield jobs


async def queue_snapshot(redis: Redis, workers: Workers) -> QueueSnapshot:
    try:
        found = await queue_views(redis, await workers.all())
        finished = await redis.zcard(keys.FINISHED)
        memory = await redis_memory(redis)
    except RedisError:
        return QueueSnapshot()
    return QueueSnapshot(memory=memory, queues=found, finished=finished)


def _memory_gauges(memory: RedisMemory) -> Iterator[Metric]:
    for name, words, value in (
        ("used_bytes", "Memory of Redis that counts towards its limit.", memory.used),
        ("limit_bytes", "Redis's maxmemory; 0 if it has none.", memory.limit),
        ("evictable_keys", "Keys that Redis may evict for new ones: cache entries.", memory.evictable),
        ("full", "1 while Redis refuses writes because its memory is full.", memory.full),
    ):
        yield GaugeMetricFamily(f"vireo_redis_{name}", words, value=float(value))


async def queue_views(redis: Redis, workers: Sequence[WorkerInfo]) -> dict[str, QueueView]:
    """Every queue by name: its waiting and running jobs and its workers."""
    async with redis.pipeline(transaction=False) as pipe:
        pipe.time()
        for name in TASKS:
            pipe.zrange(keys.waiting(name), 0, 0, withscores=True)
            pipe.zcard(keys.waiting(name))
            pipe.zcard(keys.running(name))
        (seconds, microseconds), *counts = await pipe.execute()
    now = seconds + microseconds / 1e6  # the clock that the times in the queues come from
    answers = iter(counts)
    found = {}
    for name in TASKS:
        oldest, waiting, running = next(answers), next(answers), next(answers)
        states = Counter(worker.state for worker in workers if worker.queue == name)
        found[name] = QueueView(
            depth=waiting,
            running=running,
            age_s=max(0.0, now - oldest[0][1]) if oldest else 0.0,
            workers={state: states[state] for state in ("starting", "ready", "failed")},
        )
    return found
