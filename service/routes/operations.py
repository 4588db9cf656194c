"""For operators: liveness, readiness with reasons, metrics, and what this server runs."""

from __future__ import annotations

import asyncio
from importlib import metadata
from urllib.parse import urlsplit

from fastapi import APIRouter, Request, Response
from redis.exceptions import RedisError

from core import prometheus
from core.errors import StorageUnavailable, VireoError
from core.records import WorkerInfo
from core.state import keys
from service.bodies.api_keys import KeyView
from service.bodies.schemas import Check, Info, Readiness
from service.dependencies import GatewayDep
from service.gateway import Gateway
from service.http.openapi import documented_errors
from service.ops import workers
from service.ops.queue_metrics import queue_snapshot, queue_views
from service.ops.redis_memory import redis_memory

router = APIRouter(tags=["operations"])

_STORE_SECONDS = 5.0


@router.get("/livez", name="live")
async def livez() -> dict[str, str]:
    """200 while the process answers."""
    return {"status": "alive"}


@router.get("/readyz", name="ready", responses={503: {"model": Readiness, "description": "Not ready, and why."}})
async def readyz(gateway: GatewayDep, response: Response) -> Readiness:
    """200 if questions can be answered: Redis answers, a worker is ready, and all of them can write one store."""
    (redis, worker, live), (store, own) = await asyncio.gather(_check_redis(gateway), _check_store(gateway))
    if own and (foreign := workers.foreign_stores(live, own)):
        store = Check(ok=False, detail=foreign)
    checks = {"redis": redis, "store": store, "worker": worker}
    reasons = [check.detail for check in checks.values() if not check.ok]
    response.status_code = 503 if reasons else 200
    return Readiness(ready=not reasons, reasons=reasons, checks=checks)


@router.get(
    "/metrics",
    name="metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {}}, "description": "Prometheus text format."}},
)
async def scrape(gateway: GatewayDep) -> Response:
    """Metrics of this process (under `vireo up` also of the workers) and the state of the queues."""
    body, content_type = await asyncio.to_thread(
        prometheus.exposition, await queue_snapshot(gateway.redis, gateway.workers)
    )
    return Response(body, media_type=content_type)


@router.get("/v1/info", name="info", responses=documented_errors(StorageUnavailable))
async def info(request: Request, gateway: GatewayDep) -> Info:
    """Version, default model and the reason for it, limits, workers and queues."""
    announced = await gateway.workers.all()
    live = [worker for worker in announced if worker.queue == keys.INFERENCE]
    ready = next((worker for worker in live if worker.state == "ready"), None)
    return Info(
        version=_version(),
        model=workers.default_model(live),
        device=ready.device if ready else None,
        precision=ready.precision if ready else None,
        engine=ready.engine if ready else None,
        limits=_limits(gateway),
        redis=_without_password(gateway.settings.jobs_redis),
        store=_without_password(gateway.settings.store_url),
        workers=announced,
        queues=await queue_views(gateway.redis, announced),
        key=KeyView.of(request.state.key),
    )


async def _check_redis(gateway: Gateway) -> tuple[Check, Check, list[WorkerInfo]]:
    """Whether Redis answers, and whether an inference worker is ready, which Redis knows; and all live workers."""
    try:
        live = await gateway.workers.all()
        memory = await redis_memory(gateway.redis)
    except RedisError:
        away = "Redis does not answer"
        return Check(ok=False, detail=away), Check(ok=False, detail="no worker can be reached without Redis"), []
    reason = workers.why_not_ready([worker for worker in live if worker.queue == keys.INFERENCE])
    return Check(ok=not memory.full, detail=memory.in_words()), Check(ok=reason is None, detail=reason or "ready"), live


async def _check_store(gateway: Gateway) -> tuple[Check, str | None]:
    """Whether the store works, and its id."""
    try:
        async with asyncio.timeout(_STORE_SECONDS):
            own = await gateway.store_check.result()
    except TimeoutError:
        return Check(ok=False, detail=f"the store does not answer within {_STORE_SECONDS:g} s"), None
    except VireoError as error:
        return Check(ok=False, detail=f"the store does not work: {error}"), None
    return Check(ok=True, detail="can be written, read and deleted from"), own


def _limits(gateway: Gateway) -> dict[str, int | float]:
    names = (
        "max_upload_bytes",
        "max_archive_bytes",
        "max_video_seconds",
        "max_video_pixels",
        "max_labels",
        "max_label_chars",
        "max_texts",
        "max_frames",
        "max_label_set_versions",
        "sync_deadline",
        "queue_limit",
        "job_ttl",
        "video_ttl",
    )
    return {name: getattr(gateway.settings, name) for name in names}


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _version() -> str:
    try:
        return metadata.version("vireo-server")
    except metadata.PackageNotFoundError:  # run from a clone that is not installed
        return "0+unknown"
