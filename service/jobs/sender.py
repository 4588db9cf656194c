"""Sends job ids to Celery from threads, because its publisher is synchronous."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from core.errors import StorageUnavailable
from core.records import Job
from core.settings import Settings
from core.state.fullness import is_refusal, redis_full
from core.state.queues import QUEUES, celery_app, send_job

_RETRY = {"max_retries": 1, "interval_start": 0.0, "interval_step": 0.1, "interval_max": 0.1}
"""One more attempt: a connection that a restart of Redis closed is noticed only when it is used."""

_TIMEOUTS = {"socket_connect_timeout": 2.0, "socket_timeout": 5.0}


class Sender:
    def __init__(self, settings: Settings) -> None:
        self._app = celery_app(settings)
        self._app.conf.broker_transport_options = self._app.conf.broker_transport_options | _TIMEOUTS
        # Threads of its own: uploads that wait for a slow disk must not delay the queue.
        self._threads = ThreadPoolExecutor(max_workers=2, thread_name_prefix="publish")

    async def send(self, job: Job) -> None:
        """Raises: StorageUnavailable."""
        try:
            await asyncio.get_running_loop().run_in_executor(self._threads, self._publish, job)
        except (OperationalError, RedisError, OSError) as error:
            if is_refusal(error):
                raise redis_full() from error
            raise StorageUnavailable("The queue cannot be reached.", hint="Try again soon.") from error

    def close(self) -> None:
        self._threads.shutdown()
        self._app.close()

    def _publish(self, job: Job) -> None:
        send_job(self._app, job.id, QUEUES[job.kind], retry=True, retry_policy=_RETRY)
