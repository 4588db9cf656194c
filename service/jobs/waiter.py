"""Waits for jobs to finish, over one Redis subscription per process for all requests.

The id of a finished job arrives on `keys.DONE_CHANNEL` and resolves the futures that are registered for it. Messages
are lost while the connection is down, so the records of all awaited jobs are read each time the subscription is
restored.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from core.records import JobState
from core.state import keys
from service import background

log = logging.getLogger(__name__)

PING_AFTER = 10.0  # seconds without a message after which the connection is tested
RETRY = 0.2  # seconds between attempts to subscribe


class Waiter:
    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._awaited: dict[str, set[asyncio.Future[None]]] = {}
        self._task: asyncio.Task[None] | None = None
        self._subscribed: bool | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="waiter")

    async def stop(self) -> None:
        await background.end(self._task)

    @contextmanager
    def expect(self, job_id: str) -> Iterator[asyncio.Future[None]]:
        """A future that resolves once the job is final. Register before the job can finish."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._awaited.setdefault(job_id, set()).add(future)
        try:
            yield future
        finally:
            future.cancel()
            others = self._awaited.get(job_id, set())
            others.discard(future)
            if not others:
                self._awaited.pop(job_id, None)

    @property
    def waiting(self) -> int:
        """Number of awaited jobs."""
        return len(self._awaited)

    def _resolve(self, job_id: str) -> None:
        for future in self._awaited.pop(job_id, set()):
            if not future.done():
                future.set_result(None)

    async def _run(self) -> None:
        while True:
            try:
                await self._listen()
            except RedisError as error:
                if self._subscribed is not False:  # once per outage, not five times a second
                    log.warning("the Redis subscription was lost, subscribing again: %s", error)
                self._subscribed = False
                await asyncio.sleep(RETRY)

    async def _listen(self) -> None:
        async with self._redis.pubsub() as channel:
            await channel.subscribe(keys.DONE_CHANNEL)
            while True:
                await self._handle(await _next_message(channel))

    async def _handle(self, message: dict[str, Any]) -> None:
        if message["type"] == "message":
            self._resolve(message["data"])
        elif message["type"] == "subscribe":  # the first time, and after each reconnect of redis-py
            if self._subscribed is False:
                log.warning("the Redis subscription is restored")
            self._subscribed = True
            await self._catch_up()

    async def _catch_up(self) -> None:
        awaited = list(self._awaited)
        async with self._redis.pipeline(transaction=False) as pipe:
            for job_id in awaited:
                pipe.hget(keys.job(job_id), "state")
            states = await pipe.execute()
        for job_id, state in zip(awaited, states, strict=True):
            if state is not None and JobState(state).final:
                self._resolve(job_id)


async def _next_message(channel: PubSub) -> dict[str, Any]:
    """Raises: RedisError where the connection is dead but was not closed."""
    message = await channel.get_message(timeout=PING_AFTER)
    if message is None:
        await channel.ping()
        message = await channel.get_message(timeout=PING_AFTER)
    if message is None:
        raise RedisConnectionError("no answer to a ping")
    found: dict[str, Any] = message
    return found
