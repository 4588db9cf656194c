"""Sends webhooks. A job's record has its webhook with all attempts, and a sorted set in Redis says when to look at
which job, so nothing is forgotten with a gateway. Several gateways share the work: one of them sends at a time.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, cast

import httpx2
from pydantic import SecretStr
from redis.asyncio import Redis
from redis.exceptions import RedisError

from core.errors import InvalidRequest, StorageUnavailable, UnknownJob, UrlNotAllowed, VireoError
from core.logs.belonging import belong_to, lines_about
from core.projects import DEFAULT_PROJECT
from core.prometheus import WEBHOOK_DELIVERIES
from core.records import Delivery, Job, JobState
from core.state import keys
from core.uploads.targets import Guard, without_secrets
from service import background
from service.jobs.repository import Jobs
from service.jobs.webhooks import after, signed

log = logging.getLogger(__name__)

POLL_SECONDS: Final = 1.0
ANSWER_SECONDS: Final = 10.0
_MOST_AT_ONCE: Final = 64
_SENDER_SECONDS: Final = 60  # more than one attempt takes
_HINT: Final = "Name a host with a public address, or ask the operator to add the host to VIREO_ALLOWED_HOSTS."

# KEYS: job, WEBHOOKS    ARGV: webhook as JSON, id, time of the next look or ''
# A record that was deleted meanwhile stays deleted.
_RECORD: Final = """
if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('HSET', KEYS[1], 'webhook', ARGV[1]) end
if ARGV[3] == '' then redis.call('ZREM', KEYS[2], ARGV[2]) else redis.call('ZADD', KEYS[2], ARGV[3], ARGV[2]) end
"""


class WebhookSender:
    def __init__(self, redis: Redis, jobs: Jobs, guard: Guard, secret: SecretStr | None) -> None:
        self._redis = redis
        self._jobs = jobs
        self._guard = guard
        self._secret = secret
        self._record = redis.register_script(_RECORD)
        self._sending: dict[str, asyncio.Task[None]] = {}
        self._task: asyncio.Task[None] | None = None

    async def check(self, url: str) -> None:
        """Raises: InvalidRequest, UrlNotAllowed, UrlUnreachable."""
        if self._secret is None:
            raise InvalidRequest(
                "This server sends no webhooks: it has no secret to sign them with.",
                hint="Ask the operator to set VIREO_WEBHOOK_SECRET, or follow the job's events.",
                field="Webhook-URL",
            )
        try:
            await self._guard.check(url)
        except UrlNotAllowed as error:
            raise UrlNotAllowed(error.message, hint=_HINT, **(error.details | {"field": "Webhook-URL"})) from None

    def start(self) -> None:
        """A gateway without a secret leaves the sending to those that have it."""
        if self._secret is None:
            return
        self._task = asyncio.create_task(self._run(), name="webhooks")

    async def stop(self) -> None:
        await background.end(self._task)  # nothing new is sent from here on
        await background.end(*self._sending.values())

    async def _run(self) -> None:
        while True:
            try:
                await self._look()
            except RedisError as error:
                log.warning("webhooks wait for Redis: %s", error)
            await asyncio.sleep(POLL_SECONDS)

    async def _look(self) -> None:
        """Start to send what is due. Raises: RedisError."""
        room = _MOST_AT_ONCE - len(self._sending)
        if room <= 0:
            return
        due = cast(list[str], await self._redis.zrangebyscore(keys.WEBHOOKS, "-inf", time.time(), 0, room))
        for job_id in due:
            if job_id in self._sending:
                continue
            if await self._unfinished(job_id):
                await self._redis.zadd(keys.WEBHOOKS, {job_id: time.time() + POLL_SECONDS}, xx=True)
                continue
            with lines_about(job_id):
                task = asyncio.create_task(self._send(job_id))
            self._sending[job_id] = task
            task.add_done_callback(partial(self._forget, job_id))

    def _forget(self, job_id: str, _: asyncio.Task[None]) -> None:
        self._sending.pop(job_id, None)

    async def _unfinished(self, job_id: str) -> bool:
        state = cast(str | None, await self._redis.hget(keys.job(job_id), "state"))
        return state is not None and not JobState(state).final

    async def _send(self, job_id: str) -> None:
        """One attempt, unless another gateway makes it."""
        sender = keys.webhook_sender(job_id)
        try:
            if not await self._redis.set(sender, "1", nx=True, ex=_SENDER_SECONDS):
                return
            try:
                await self._attempt(job_id)
            finally:
                await self._redis.delete(sender)
        except (RedisError, StorageUnavailable) as error:
            log.warning("the webhook of %s is looked at again: %s", job_id, error)

    async def _attempt(self, job_id: str) -> None:
        """Raises: RedisError, StorageUnavailable."""
        project = cast(str | None, await self._redis.hget(keys.job(job_id), "project"))
        try:
            job = await self._jobs.of(project or DEFAULT_PROJECT).get(job_id)
        except UnknownJob:
            await self._redis.zrem(keys.WEBHOOKS, job_id)
            return
        belong_to(job.id, job.request_id)
        score = await self._redis.zscore(keys.WEBHOOKS, job_id)
        if job.webhook is None or score is None or score > time.time():  # another gateway was faster
            return
        webhook = after(job.webhook, await self._deliver(job, job.webhook.url))
        WEBHOOK_DELIVERIES.labels("delivered" if webhook.state == "delivered" else "failed").inc()
        again = "" if webhook.next_at is None else f"{webhook.next_at:.3f}"
        await self._record(keys=[keys.job(job_id), keys.WEBHOOKS], args=[webhook.model_dump_json(), job_id, again])

    async def _deliver(self, job: Job, url: str) -> Delivery:
        began, status, problem = time.time(), None, None
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                status = await self._post(job, url)
            if not 200 <= status < 300:
                problem = f"The server answered {status}."
        except TimeoutError:
            problem = f"The server did not answer within {ANSWER_SECONDS:g} seconds."
        except VireoError as error:
            problem = error.message
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            problem = f"The request failed: {error or type(error).__name__}."
        if problem:
            log.info("the webhook of %s to %s failed: %s", job.id, without_secrets(httpx2.URL(url)), problem)
        return Delivery(at=began, seconds=round(time.time() - began, 3), status=status, error=problem)

    async def _post(self, job: Job, url: str) -> int:
        """→ the status of the answer. Redirects are not followed. Raises: VireoError, httpx2.HTTPError."""
        assert self._secret is not None  # `start`
        target = await self._guard.check(url)
        view = await self._jobs.view(job)
        ended = datetime.fromtimestamp(job.finished_at or time.time(), UTC)
        message: dict[str, Any] = {
            "type": f"job.{job.state}",
            "timestamp": ended.isoformat(),
            "data": view.model_dump(mode="json", exclude={"webhook"}),
        }
        content = json.dumps(message).encode()
        headers = signed(f"msg_{job.id}_{ended.timestamp():.0f}", int(time.time()), content, self._secret)
        async with self._guard.client(ANSWER_SECONDS) as client:
            response = await client.send(target.request(client, "POST", headers, content), stream=True)
            await response.aclose()
            return response.status_code
