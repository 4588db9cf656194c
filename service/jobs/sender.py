"""Puts jobs on their queues."""

from __future__ import annotations

from redis.asyncio import Redis
from redis.exceptions import RedisError

from core.errors import StorageUnavailable
from core.records import Job
from core.state.fullness import is_refusal, redis_full
from core.state.queues import QUEUES, message_for


class Sender:
    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def send(self, job: Job) -> None:
        """Raises: StorageUnavailable."""
        queue = QUEUES[job.kind]
        try:
            await self._redis.lpush(queue, message_for(job.id, queue))
        except RedisError as error:
            if is_refusal(error):
                raise redis_full() from error
            raise StorageUnavailable("The queue cannot be reached.", hint="Try again soon.") from error
