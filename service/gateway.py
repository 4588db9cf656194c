"""What one gateway process holds open: connections, the store, the subscription; built once and closed once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from redis.asyncio import BlockingConnectionPool, Redis

from core.questions import Limits
from core.settings import Settings
from core.storage import Store
from service.catalog.datasets import Datasets
from service.catalog.label_sets import LabelSets
from service.catalog.models import Models
from service.catalog.videos import Videos
from service.jobs.events import Events
from service.jobs.repository import Jobs
from service.jobs.sender import Sender
from service.jobs.waiter import Waiter
from service.ops.workers import Workers
from service.sweeper import Sweeper
from service.uploads.fetch import Fetcher

_CONNECTIONS = 32  # commands in flight at once; waiting requests hold none


@dataclass(frozen=True, slots=True)
class Gateway:
    settings: Settings
    redis: Redis
    store: Store
    jobs: Jobs
    events: Events
    datasets: Datasets
    models: Models
    label_sets: LabelSets
    videos: Videos
    workers: Workers
    waiter: Waiter
    fetcher: Fetcher
    limits: Limits
    stopping: asyncio.Event
    """Set when the server is asked to stop: whoever waits for a job is answered soon, event streams end."""


@asynccontextmanager
async def open_gateway(settings: Settings) -> AsyncIterator[Gateway]:
    """Redis need not be there yet, nor stay: requests are answered 503 while it is away."""
    pool = BlockingConnectionPool.from_url(
        settings.jobs_redis,
        decode_responses=True,
        socket_connect_timeout=2.0,
        socket_timeout=5.0,
        max_connections=_CONNECTIONS,
        timeout=5,
    )
    store = await asyncio.to_thread(Store, settings.store_url, settings.data_dir / "spool")
    sender = Sender(settings)
    listening = Redis.from_url(settings.jobs_redis, decode_responses=True, socket_connect_timeout=2.0)
    async with Redis.from_pool(pool) as redis, listening:
        videos = Videos(redis, store, settings.video_ttl)
        limits = Limits(
            max_labels=settings.max_labels, max_label_chars=settings.max_label_chars, max_frames=settings.max_frames
        )
        stopping = asyncio.Event()
        workers = Workers(redis)
        jobs = Jobs(redis, sender, workers, settings.queue_limit)
        gateway = Gateway(
            settings=settings,
            redis=redis,
            store=store,
            jobs=jobs,
            events=Events(settings.jobs_redis, redis, stopping),
            datasets=Datasets(store, jobs),
            models=Models(store, workers),
            label_sets=LabelSets(redis, limits),
            videos=videos,
            workers=workers,
            waiter=Waiter(listening),
            fetcher=Fetcher(settings.allowed_hosts),
            limits=limits,
            stopping=stopping,
        )
        sweeper = Sweeper(redis, store, videos, jobs, settings.job_ttl)
        gateway.waiter.start()
        sweeper.start()
        try:
            yield gateway
        finally:
            gateway.stopping.set()
            await sweeper.stop()
            await gateway.waiter.stop()
            await asyncio.to_thread(sender.close)
