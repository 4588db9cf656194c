"""Whether a question can be answered at all: its model exists, a worker is live, and the queue has room."""

from __future__ import annotations

from core.errors import UnknownModel
from service.catalog.models import ResolvedModel
from service.gateway import Gateway
from service.http.preferences import Preferences
from service.ops.workers import check_any_worker


class Admission:
    """The admission of one request. Each model is looked up once."""

    def __init__(self, gateway: Gateway, preferences: Preferences) -> None:
        self._gateway = gateway
        self._preferences = preferences
        self._admitted: dict[str | None, ResolvedModel] = {}

    async def admit(self, model: str | None, *, before_upload: bool = False) -> ResolvedModel:
        """The model that the reference `model` means. `before_upload`: check the room in the queue as well, so that a
        client does not send a file in vain. (Creating the job checks it again.)

        Raises: UnknownModel, WorkerUnavailable, ModelUnavailable, QueueFull.
        """
        if model not in self._admitted:
            self._admitted[model] = await self._admit(model, before_upload)
        return self._admitted[model]

    async def _admit(self, model: str | None, before_upload: bool) -> ResolvedModel:
        gateway = self._gateway
        repeated = await gateway.jobs.is_known(self._preferences.idempotency_key)
        live = await gateway.workers.live()
        try:
            resolved = await gateway.models.resolve(model, live)
        except UnknownModel:
            if not repeated:
                raise
            return ResolvedModel(model)  # a repeat needs no worker, and its model may have been deleted since
        if not repeated:
            if not self._preferences.respond_async:
                check_any_worker(live)
            if before_upload:
                await gateway.jobs.check_room("classification")
        return resolved
