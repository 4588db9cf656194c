"""Everything that one gateway process holds open: connections, the store, the subscription. Built once, closed once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from redis.asyncio import BlockingConnectionPool, Redis

from core.calibration.shelf import Calibrations
from core.questions import QuestionLimits
from core.registry import Registry
from core.settings import Settings
from core.state.payloads import Payloads
from core.storage import Store, Upkeep
from core.uploads.targets import Guard
from service.catalog.aliases import Aliases
from service.catalog.calibrations import CalibrationCatalog
from service.catalog.datasets import Datasets
from service.catalog.feedback import FeedbackCatalog
from service.catalog.label_sets import LabelSets
from service.catalog.models import Models
from service.catalog.reports import EvaluationReports
from service.catalog.sources import VideoSources
from service.catalog.videos import Videos
from service.jobs.events import Events
from service.jobs.repository import Jobs
from service.jobs.retention import Limits, Retention
from service.jobs.sender import Sender
from service.jobs.submit import Submitter
from service.jobs.waiter import Waiter
from service.jobs.webhook_sender import WebhookSender
from service.ops.store_check import StoreCheck
from service.ops.workers import Workers
from service.sweeper import Sweeper

_CONNECTIONS = 32  # Redis commands in flight at the same time; requests that wait for a job hold no connection


@dataclass(frozen=True, slots=True)
class Gateway:
    settings: Settings
    redis: Redis
    store: Store
    store_check: StoreCheck
    registry: Registry
    jobs: Jobs
    events: Events
    webhooks: WebhookSender
    submitter: Submitter
    datasets: Datasets
    models: Models
    aliases: Aliases
    label_sets: LabelSets
    videos: Videos
    feedback: FeedbackCatalog
    sources: VideoSources
    reports: EvaluationReports
    calibrations: CalibrationCatalog
    workers: Workers
    waiter: Waiter
    limits: QuestionLimits
    stopping: asyncio.Event
    """Set when the server has to stop: requests that wait for a job are answered soon, and event streams end."""


@asynccontextmanager
async def open_gateway(settings: Settings) -> AsyncIterator[Gateway]:
    """Redis need not be reachable: requests are answered 503 while it is not."""
    pool = BlockingConnectionPool.from_url(
        settings.jobs_redis,
        decode_responses=True,
        socket_connect_timeout=2.0,
        socket_timeout=5.0,
        max_connections=_CONNECTIONS,
        timeout=5,
    )
    store = await asyncio.to_thread(Store.from_settings, settings)
    sender = Sender(settings)
    listening = Redis.from_url(settings.jobs_redis, decode_responses=True, socket_connect_timeout=2.0)
    async with Redis.from_pool(pool) as redis, listening:
        gateway = _assemble(settings, redis, store, sender, Waiter(listening))
        retention = Retention(redis, Payloads(store, settings.job_inline_bytes), Limits.from_settings(settings))
        sweeper = Sweeper(redis, store, gateway.videos, gateway.jobs, retention)
        gateway.waiter.start()
        sweeper.start()
        gateway.webhooks.start()
        upkeep = Upkeep(store, settings.spool_check_seconds)
        upkeep.start()
        try:
            yield gateway
        finally:
            gateway.stopping.set()
            upkeep.stop()
            await sweeper.stop()
            await gateway.webhooks.stop()
            await gateway.waiter.stop()
            await asyncio.to_thread(sender.close)


def _assemble(settings: Settings, redis: Redis, store: Store, sender: Sender, waiter: Waiter) -> Gateway:
    stopping = asyncio.Event()
    limits = QuestionLimits(
        max_labels=settings.max_labels,
        max_label_chars=settings.max_label_chars,
        max_texts=settings.max_texts,
        max_frames=settings.max_frames,
    )
    workers = Workers(redis)
    payloads = Payloads(store, settings.job_inline_bytes)
    jobs = Jobs(redis, sender, workers, payloads, settings.queue_limit, settings.max_job_request_bytes)
    videos = Videos(redis, store, settings.video_ttl)
    registry = Registry(store)
    aliases = Aliases(redis, store, registry)
    models = Models(registry, workers, jobs, aliases, settings.model)
    return Gateway(
        settings=settings,
        redis=redis,
        store=store,
        store_check=StoreCheck(store),
        registry=registry,
        jobs=jobs,
        events=Events(settings.jobs_redis, redis, stopping),
        webhooks=WebhookSender(redis, jobs, Guard(settings.allowed_hosts), settings.webhook_secret),
        submitter=Submitter(jobs, waiter, store, stopping, settings.sync_deadline, videos.drop),
        datasets=Datasets(store, jobs),
        models=models,
        aliases=aliases,
        label_sets=LabelSets(redis, limits, settings.max_label_set_versions),
        videos=videos,
        feedback=FeedbackCatalog(redis),
        sources=VideoSources(videos, settings.allowed_hosts),
        reports=EvaluationReports(store),
        calibrations=CalibrationCatalog(Calibrations(store), models),
        workers=workers,
        waiter=waiter,
        limits=limits,
        stopping=stopping,
    )
