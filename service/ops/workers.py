"""The workers that live: what they announce decides who may ask what, and what to say when nobody can answer."""

from __future__ import annotations

import time
from collections.abc import Sequence

from redis.asyncio import Redis

from core.errors import VireoError, WorkerUnavailable
from core.records import WorkerInfo
from core.state import keys
from service.bodies.schemas import ModelView

LIFETIME = 10.0  # seconds after which a silent worker counts as gone

# One round trip: who has a heartbeat since ARGV[1], and what they say. KEYS: WORKERS    ARGV: since, key prefix
_LIVE = """
local found = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], ARGV[1], '+inf')) do
  local info = redis.call('GET', ARGV[2] .. id)
  if info then found[#found + 1] = info end
end
return found
"""


class Workers:
    def __init__(self, redis: Redis) -> None:
        self._live = redis.register_script(_LIVE)

    async def live(self, queue: str = keys.INFERENCE) -> list[WorkerInfo]:
        """Workers of one queue with a heartbeat, in a stable order."""
        return [worker for worker in await self.all() if worker.queue == queue]

    async def all(self) -> list[WorkerInfo]:
        texts = await self._live(keys=[keys.WORKERS], args=[str(time.time() - LIFETIME), keys.worker("")])
        workers = [WorkerInfo.model_validate_json(text) for text in texts]
        return sorted(workers, key=lambda worker: (worker.started_at, worker.id))


def check_somebody_answers(workers: Sequence[WorkerInfo]) -> None:
    """Raises: WorkerUnavailable, ModelUnavailable."""
    if not any(worker.state in ("ready", "starting") for worker in workers):
        raise why_nobody(workers)


def why_waiting(queue: str, workers: Sequence[WorkerInfo]) -> str | None:
    """Why a job waits although nobody is before it; None where a worker of its kind lives."""
    if any(worker.state == "ready" for worker in workers):
        return None
    if workers:
        return f"the {queue} worker is {workers[0].state}: {workers[0].detail}"
    return f"no {queue} worker is running: the job waits until one is (`vireo up` starts one)"


def zoo(workers: Sequence[WorkerInfo]) -> set[str]:
    """Names of the models that need no training, as the workers announce them; empty while none is there to say."""
    return {name for worker in workers for name in worker.models}


def why_nobody(workers: Sequence[WorkerInfo]) -> VireoError:
    """The error for a question that no worker can take."""
    failed = next((worker for worker in workers if worker.error), None)
    if failed and failed.error:
        return VireoError.from_dict(failed.error)
    if workers:
        return WorkerUnavailable(f"No inference worker is ready: {workers[0].detail}.")
    return WorkerUnavailable(
        "No inference worker is running.", hint="Start one (`vireo up` does), or send Prefer: respond-async to wait."
    )


def why_not_ready(workers: Sequence[WorkerInfo]) -> str | None:
    """None where one is ready, else the reason in words."""
    if any(worker.state == "ready" for worker in workers):
        return None
    starting = next((worker for worker in workers if worker.state == "starting"), None)
    if starting:
        return f"the inference worker is starting: {starting.detail}"
    return why_nobody(workers).message.rstrip(".")


def models(workers: Sequence[WorkerInfo]) -> list[ModelView]:
    """What the live workers can serve, the default first."""
    names = {name for worker in workers for name in worker.models}
    views = [_view(name, workers) for name in names]
    return sorted(views, key=lambda view: (not view.default, view.name))


def default_model(workers: Sequence[WorkerInfo]) -> ModelView | None:
    return next((view for view in models(workers) if view.default), None)


def _view(name: str, workers: Sequence[WorkerInfo]) -> ModelView:
    serving = [worker for worker in workers if name in worker.models]
    ref = next((worker.model for worker in serving if worker.model and worker.model.name == name), None)
    return ModelView(
        name=name,
        default=ref is not None,
        digest=ref.digest if ref else None,
        reason=ref.reason if ref else None,
        note=ref.note if ref else None,
        workers=[worker.id for worker in serving],
    )
