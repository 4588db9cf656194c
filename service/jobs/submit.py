"""The road of what takes long (training, evaluation, datasets, imports): it is accepted as a job, not waited for."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from core.datasets import archive_key
from core.errors import InvalidRequest, VireoError
from core.records import Job, JobKind
from service.gateway import Gateway
from service.http import preferences
from service.http.preferences import Wishes
from service.jobs.waiting import accepted, wait
from service.uploads.sink import Incoming


class Accepting:
    """One request on its way to a job."""

    def __init__(self, gateway: Gateway, request: Request) -> None:
        """Raises: InvalidRequest for headers that make no sense."""
        self._gateway = gateway
        self._request = request
        self._wishes: Wishes = preferences.read(request.headers)

    async def check_upload(self, kind: JobKind) -> None:
        """Whether a file for a job of `kind` is worth sending. Raises: QueueFull."""
        if not await self._gateway.jobs.is_known(self._wishes.key):
            await self._gateway.jobs.check_room(kind)

    async def accept(self, kind: JobKind, body: BaseModel, meant: BaseModel) -> Response:
        """202 with the job at once; with `Prefer: wait=N` 200 if it has ended by then. `meant`: as in `Jobs.create`.

        Raises: QueueFull, Conflict, StorageUnavailable.
        """
        return await self._follow(*await self._gateway.jobs.create(kind, body, self._wishes.key, meant))

    async def accept_file(self, kind: JobKind, place: Incoming, request: Callable[[str], BaseModel]) -> Response:
        """Publish the file that came for a job, and create the job. `request`: from the file's key in the store.

        Each upload has a key of its own, since whoever reads it deletes it; repeats are recognised by content. What no
        job came to own is deleted here, or by the sweeper. Raises: InvalidRequest where no file came, QueueFull,
        Conflict, StorageUnavailable.
        """
        staged, cargo = place.staged, place.cargo
        if staged is None:
            raise InvalidRequest(
                f"No {cargo.noun} was sent.", hint=f"With curl: -F {cargo.field}=@{cargo.example}.", field=cargo.field
            )
        store = self._gateway.store
        key = archive_key(f"{staged.sha256}-{secrets.token_hex(6)}")
        await asyncio.to_thread(store.publish, staged, key)
        try:
            job, new = await self._gateway.jobs.create(
                kind, request(key), self._wishes.key, request(archive_key(staged.sha256))
            )
        except VireoError:
            await asyncio.to_thread(store.delete, key)
            raise
        if not new:
            await asyncio.to_thread(store.delete, key)
        return await self._follow(job, new)

    async def _follow(self, job: Job, new: bool) -> Response:
        gateway, wish = self._gateway, self._wishes
        with gateway.waiter.expect(job.id) as done:
            if new:
                await gateway.jobs.send(job, wish.key)
            job = await gateway.jobs.get(job.id)
            if wish.wait and not wish.detached and not job.state.final:
                await wait(gateway, self._request, done, wish.wait)
                job = await gateway.jobs.get(job.id)
        return await accepted(gateway, job, wish, 200 if wish.wait and job.state.final else 202)
