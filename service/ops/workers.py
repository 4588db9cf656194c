"""The live workers: which models they serve, and why no worker can answer a question."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import lru_cache

from pydantic import ValidationError
from redis.asyncio import Redis

from core.errors import VireoError, WorkerUnavailable
from core.records import WorkerInfo
from core.state import keys
from core.state.workers import LIVE, live_args
from service.bodies.schemas import ModelView

log = logging.getLogger(__name__)


class Workers:
    def __init__(self, redis: Redis) -> None:
        self._live = redis.register_script(LIVE)

    async def live(self, queue: str = keys.INFERENCE) -> list[WorkerInfo]:
        """The live workers of one queue, in a stable order."""
        return [worker for worker in await self.all() if worker.queue == queue]

    async def all(self) -> list[WorkerInfo]:
        """The live workers of all queues, oldest first."""
        script_keys, args = live_args()
        texts = await self._live(keys=script_keys, args=args)
        workers = filter(None, map(_read, texts))
        return sorted(workers, key=lambda worker: (worker.started_at, worker.id))


def _read(announced: str) -> WorkerInfo | None:
    """None for an announcement that this version cannot read: the other workers still count."""
    try:
        return WorkerInfo.model_validate_json(announced)
    except ValidationError as error:
        _warn(str(error.errors(include_url=False, include_input=False)))
        return None


@lru_cache(maxsize=16)
def _warn(problems: str) -> None:
    """Once per problem, because workers announce themselves every two seconds."""
    log.warning("the announcement of a worker cannot be read: %s", problems)


def check_any_worker(workers: Sequence[WorkerInfo]) -> None:
    """Raises: WorkerUnavailable, ModelUnavailable where no inference worker is ready or starting."""
    if not any(worker.state in ("ready", "starting") for worker in workers):
        raise no_worker_error(workers)


def why_waiting(queue: str, workers: Sequence[WorkerInfo]) -> str | None:
    """Why a job waits although it is the first of its queue. None if a worker of the queue is ready."""
    if any(worker.state == "ready" for worker in workers):
        return None
    if workers:
        return f"the {queue} worker is {workers[0].state}: {workers[0].detail}"
    return f"no {queue} worker is running; the job waits for one (`vireo up` starts one)"


def served_names(workers: Sequence[WorkerInfo]) -> set[str]:
    """Names of the models that the live workers announce; empty while no worker is live."""
    return {name for worker in workers for name in worker.models}


def no_worker_error(workers: Sequence[WorkerInfo]) -> VireoError:
    """The error for a question while no worker is ready."""
    failed = next((worker for worker in workers if worker.error), None)
    if failed and failed.error:
        return VireoError.from_dict(failed.error)
    if workers:
        return WorkerUnavailable(f"No inference worker is ready: {workers[0].detail}.")
    return WorkerUnavailable(
        "No inference worker is running.",
        hint="Start one (`vireo up` does so), or send `Prefer: respond-async` to queue the question.",
    )


def why_not_ready(workers: Sequence[WorkerInfo]) -> str | None:
    """The reason in words; None if an inference worker is ready."""
    if any(worker.state == "ready" for worker in workers):
        return None
    starting = next((worker for worker in workers if worker.state == "starting"), None)
    if starting:
        return f"the inference worker is starting: {starting.detail}"
    return no_worker_error(workers).message.rstrip(".")


def foreign_stores(workers: Sequence[WorkerInfo], own: str) -> str | None:
    """The workers whose store is not the gateway's, in words; None if there is none. `own`: id of the gateway's."""
    foreign = [
        f"{worker.id} ({worker.queue}) uses {worker.store}" for worker in workers if worker.store not in (None, own)
    ]
    if not foreign:
        return None
    return (
        f"workers and gateway use different stores: {', '.join(foreign)}, the gateway uses {own}. "
        "Set VIREO_STORE to one store that all hosts reach, or share the directory"
    )


def served_models(workers: Sequence[WorkerInfo]) -> list[ModelView]:
    """The models that the live workers serve, the default first."""
    names = {name for worker in workers for name in worker.models}
    views = [_view(name, workers) for name in names]
    return sorted(views, key=lambda view: (not view.default, view.name))


def default_model(workers: Sequence[WorkerInfo]) -> ModelView | None:
    return next((view for view in served_models(workers) if view.default), None)


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
