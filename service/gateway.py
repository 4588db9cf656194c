"""Everything that one gateway process holds open: connections, the store, the subscription. Built once, closed once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import lru_cache

from redis.asyncio import BlockingConnectionPool, Redis
from redis.maint_notifications import MaintNotificationsConfig

from core.access.quotas import Turnstile
from core.access.ring import Doorkeeper
from core.calibration.shelf import Calibrations
from core.projects import DEFAULT_PROJECT
from core.questions import QuestionLimits
from core.registry import Registry
from core.settings import Settings
from core.state.payloads import Payloads
from core.storage import Store, store_upkeep
from core.uploads.targets import Guard
from service.catalog.aliases import Aliases
from service.catalog.calibrations import CalibrationCatalog
from service.catalog.datasets import Datasets
from service.catalog.feedback import FeedbackCatalog
from service.catalog.label_sets import LabelSets
from service.catalog.models import Models
from service.catalog.removal import Removal
from service.catalog.reports import EvaluationReports
from service.catalog.sources import VideoSources
from service.catalog.usage import Usage
from service.catalog.videos import Videos
from service.jobs.events import Events
from service.jobs.mentions import Mentions
from service.jobs.repository import Jobs
from service.jobs.retention import Limits, Retention
from service.jobs.sender import Sender
from service.jobs.submit import Submitter
from service.jobs.waiter import Waiter
from service.jobs.webhook_sender import WebhookSender
from service.ops.store_check import StoreCheck
from service.ops.workers import Workers
from service.sweeper import Sweeper

_VIEWS = 1000  # projects whose views of the gateway are kept; a new view costs next to nothing
_CONNECTIONS = 32  # Redis commands in flight at the same time; requests that wait for a job hold no connection


@dataclass(frozen=True, slots=True)
class Gateway:
    """As one project sees it: its jobs, videos, models and so on, over the connections that all projects share."""

    project: str
    of: Callable[[str], Gateway]
    """The gateway as another project sees it."""
    settings: Settings
    redis: Redis
    store: Store
    """What belongs to the project."""
    payloads: Store
    """The files of jobs, of all projects: the id of a job is random, and its record names its project."""
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
    usage: Usage
    workers: Workers
    waiter: Waiter
    limits: QuestionLimits
    doorkeeper: Doorkeeper
    turnstile: Turnstile
    stopping: asyncio.Event
    """Set when the server has to stop: requests that wait for a job are answered soon, and event streams end."""


@dataclass(frozen=True, slots=True)
class _Shared:
    """What the projects share: connections, and what belongs to no project."""

    settings: Settings
    redis: Redis
    caches: Redis
    """The Redis of the caches, which may be the same."""
    retention: Retention
    store: Store
    store_check: StoreCheck
    events: Events
    webhooks: WebhookSender
    jobs: Jobs
    workers: Workers
    waiter: Waiter
    limits: QuestionLimits
    stopping: asyncio.Event
    house: Registry
    """The registry of the default project, in which the server's default model may be."""


@asynccontextmanager
async def open_gateway(settings: Settings) -> AsyncIterator[Gateway]:
    """The gateway as the default project sees it. Redis need not be reachable: requests are answered 503 while it is
    not."""
    async with open_views(settings) as (gateway, retention):
        store = gateway.payloads
        sweeper = Sweeper(store, gateway.jobs, retention, lambda project: gateway.of(project).videos)
        gateway.waiter.start()
        sweeper.start()
        gateway.webhooks.start()
        upkeep = store_upkeep(store, settings.spool_check_seconds)
        upkeep.start()
        try:
            yield gateway
        finally:
            gateway.stopping.set()
            upkeep.stop()
            await sweeper.stop()
            await gateway.webhooks.stop()
            await gateway.waiter.stop()


@asynccontextmanager
async def open_views(settings: Settings) -> AsyncIterator[tuple[Gateway, Retention]]:
    """The same without anything that runs by itself, and what limits how long jobs stay."""
    # With notices of maintenance, which only some hosted Redis send, redis-py does not look whether a pooled connection
    # is still open: after a restart of Redis each of them would fail one request.
    no_notices = MaintNotificationsConfig(enabled=False)
    pool = BlockingConnectionPool.from_url(
        settings.jobs_redis,
        decode_responses=True,
        socket_connect_timeout=2.0,
        socket_timeout=5.0,
        max_connections=_CONNECTIONS,
        timeout=5,
        maint_notifications_config=no_notices,
    )
    store = await asyncio.to_thread(Store.from_settings, settings)
    listening = Redis.from_url(settings.jobs_redis, decode_responses=True, socket_connect_timeout=2.0)
    caches = Redis.from_url(
        settings.cache_redis, socket_connect_timeout=2.0, socket_timeout=5.0, maint_notifications_config=no_notices
    )
    async with Redis.from_pool(pool) as redis, listening, caches:
        retention = Retention(redis, Payloads(store, settings.job_inline_bytes), Limits.from_settings(settings))
        yield _assemble(_share(settings, redis, caches, store, Waiter(listening), retention)), retention


def _share(
    settings: Settings,
    redis: Redis,
    caches: Redis,
    store: Store,
    waiter: Waiter,
    retention: Retention,
) -> _Shared:
    stopping = asyncio.Event()
    workers = Workers(redis)
    payloads = Payloads(store, settings.job_inline_bytes)
    jobs = Jobs(redis, Sender(redis), workers, payloads, settings.queue_limit, settings.max_job_request_bytes)
    return _Shared(
        settings=settings,
        redis=redis,
        caches=caches,
        retention=retention,
        store=store,
        store_check=StoreCheck(store),
        events=Events(settings.jobs_redis, redis, stopping),
        webhooks=WebhookSender(redis, jobs, Guard(settings.allowed_hosts), settings.webhook_secret),
        jobs=jobs,
        workers=workers,
        waiter=waiter,
        limits=QuestionLimits(
            max_labels=settings.max_labels,
            max_label_chars=settings.max_label_chars,
            max_texts=settings.max_texts,
            max_frames=settings.max_frames,
        ),
        stopping=stopping,
        house=Registry(store),
    )


def _assemble(shared: _Shared) -> Gateway:
    """The gateway as the default project sees it; the views of the others are made when they are asked for."""

    @lru_cache(maxsize=_VIEWS)
    def of(project: str) -> Gateway:
        return _view(shared, project, of)

    return of(DEFAULT_PROJECT)


def _view(shared: _Shared, project: str, of: Callable[[str], Gateway]) -> Gateway:
    settings, redis, store = shared.settings, shared.redis, shared.store.of(project)
    jobs = shared.jobs.of(project)
    mentions = Mentions(redis, shared.store, jobs, shared.retention)
    videos = Videos(
        redis, store, Removal(redis, shared.caches, store, mentions), settings.video_ttl, settings.max_stored_bytes
    )
    registry = shared.house if project == DEFAULT_PROJECT else Registry(store)
    aliases = Aliases(redis, store, registry)
    datasets = Datasets(store, jobs)
    models = Models(registry, shared.workers, jobs, aliases, settings.model, shared.house)
    return Gateway(
        project=project,
        of=of,
        settings=settings,
        redis=redis,
        store=store,
        payloads=shared.store,
        store_check=shared.store_check,
        registry=registry,
        jobs=jobs,
        events=shared.events,
        webhooks=shared.webhooks,
        submitter=Submitter(jobs, shared.waiter, store, shared.stopping, settings.sync_deadline, videos.drop),
        datasets=datasets,
        models=models,
        aliases=aliases,
        label_sets=LabelSets(redis, shared.limits, settings.max_label_set_versions, project),
        videos=videos,
        feedback=FeedbackCatalog(redis, project),
        sources=VideoSources(videos, settings.allowed_hosts),
        reports=EvaluationReports(store),
        calibrations=CalibrationCatalog(Calibrations(store), models),
        usage=Usage(videos, datasets),
        workers=shared.workers,
        waiter=shared.waiter,
        limits=shared.limits,
        doorkeeper=Doorkeeper(shared.redis),
        turnstile=Turnstile(shared.redis.connection_pool),
        stopping=shared.stopping,
    )
