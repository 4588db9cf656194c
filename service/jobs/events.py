"""A job's events as they happen: server-sent events from its Redis stream, each with an id to continue from.

Workers and gateways append to the stream. Each reader has a Redis connection of its own and blocks on it. A stream ends
after the event of a final state, or when the server stops. A reader that reconnects with `Last-Event-ID` misses nothing
and sees nothing twice.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any, cast

from redis.asyncio import Redis
from redis.exceptions import RedisError

from core.errors import Overloaded
from core.records import JobState
from core.state import keys

COMMENT_INTERVAL = 15.0  # seconds without an event after which a comment shows that the connection is alive
MOST_STREAMS = 256  # open at the same time in one gateway; each has a connection to Redis
RETRY_MS = 2000  # milliseconds that a browser waits before it reconnects
_BATCH = 500
_BLOCK = 1.0  # seconds of one blocking read, and so the longest delay of a stopping server. The read is not cancelled
# instead, because redis-py can swallow a cancellation while it connects or sends.
EVENT_ID_PATTERN = r"^([0-9]{1,19}(-[0-9]{1,19})?)?$"  # or nothing
_START = "0-0"
_FINAL = {json.dumps(state) for state in JobState if state.final}

StreamEntry = tuple[str, dict[str, str]]
"""The id and the fields of a Redis stream entry."""


class Events:
    def __init__(self, redis_url: str, redis: Redis, stopping: asyncio.Event) -> None:
        """`redis`: for short commands. Each reader opens its own connection to `redis_url`."""
        self._url = redis_url
        self._redis = redis
        self._stopping = stopping
        self.readers = 0  # event streams that are open now

    async def is_over(self, job_id: str, after: str) -> bool:
        """Whether the job has ended and no event comes after the event `after`."""
        state = await self._state(job_id)
        if state is not None and not state.final:
            return False
        return not await self._redis.xrange(keys.events(job_id), min=f"({after}", count=1)

    async def follow(self, job_id: str, after: str | None) -> AsyncIterator[bytes]:
        """The text of the stream, from the first event or from the one after `after`. A new reader of an empty stream
        gets the job's state first. Raises: Overloaded where too many streams are open."""
        if self.readers >= MOST_STREAMS:
            raise Overloaded(
                f"Too many event streams are open: the limit is {MOST_STREAMS}.",
                hint="Poll the job instead, or try again soon.",
                limit=MOST_STREAMS,
            )
        return self._text(job_id, after)

    async def metrics(self, job_id: str) -> list[dict[str, Any]]:
        """All metrics of a run so far. An epoch that ran again after a worker's death counts once."""
        texts = cast(list[str], await self._redis.lrange(keys.metrics(job_id), 0, -1))
        if not await self._redis.hexists(keys.job(job_id), "metrics"):
            texts = await self._metrics_of_stream(job_id) + texts
        metrics = [json.loads(text) for text in texts]
        return list({tuple(map(metric.get, ("split", "epoch", "step"))): metric for metric in metrics}.values())

    async def _metrics_of_stream(self, job_id: str) -> list[str]:
        """The metrics of a run that an earlier version started: it kept them among the other events."""
        found: list[str] = []
        after = _START
        while entries := cast(
            list[StreamEntry], await self._redis.xrange(keys.events(job_id), min=f"({after}", count=_BATCH)
        ):
            found += [fields["data"] for _, fields in entries if fields["event"] == "metric"]
            after = entries[-1][0]
        return found

    async def _text(self, job_id: str, after: str | None) -> AsyncIterator[bytes]:
        self.readers += 1
        own = Redis.from_url(self._url, decode_responses=True, socket_connect_timeout=2.0, socket_timeout=_BLOCK + 5.0)
        try:
            yield f"retry: {RETRY_MS}\n\n".encode()
            async for text in self._entries(own, job_id, after):
                yield text
        except RedisError:
            return  # part of the answer has been sent; the reader reconnects and continues
        finally:
            self.readers -= 1
            await own.aclose()

    async def _entries(self, own: Redis, job_id: str, after: str | None) -> AsyncIterator[bytes]:
        state = await self._state(job_id)
        over = state is None or state.final
        if after is None:
            after = _START
            if state is not None and not await self._redis.exists(keys.events(job_id)):
                yield _event(_START, {"event": "state", "data": json.dumps(state)})
        last_sent = time.monotonic()
        while not self._stopping.is_set():
            entries = await _next(own, job_id, after, block=not over)
            for after, fields in entries:
                yield _event(after, fields)
            if over and not entries:
                return
            silent = time.monotonic() - last_sent > COMMENT_INTERVAL
            if entries or silent:
                last_sent = time.monotonic()
            if silent and not entries:
                yield b": still here\n\n"
            if (silent and not entries) or (entries and _ends(entries[-1][1])):
                # The record decides: a cancelled run may have been resumed since, and a deleted job sends no event.
                state = await self._state(job_id)
                over = state is None or state.final

    async def _state(self, job_id: str) -> JobState | None:
        state = cast(str | None, await self._redis.hget(keys.job(job_id), "state"))
        return JobState(state) if state else None


async def _next(own: Redis, job_id: str, after: str, *, block: bool) -> list[StreamEntry]:
    """Entries after `after`; empty if none came in time."""
    wait = int(min(_BLOCK, COMMENT_INTERVAL) * 1000) if block else None
    streams = cast(
        list[tuple[str, list[StreamEntry]]], await own.xread({keys.events(job_id): after}, count=_BATCH, block=wait)
    )
    return streams[0][1] if streams else []


def resume_after(last_event_id: str | None, after: str | None) -> str | None:
    """The id of the event after which the stream starts. The header wins over the query, because a browser that
    reconnects sends the header with its first URL. Both match `EVENT_ID_PATTERN`."""
    return last_event_id or after or None


def _ends(fields: dict[str, str]) -> bool:
    return fields["event"] == "state" and fields["data"] in _FINAL


def _event(entry_id: str, fields: dict[str, str]) -> bytes:
    data = "\ndata: ".join(fields["data"].splitlines())
    return f"id: {entry_id}\nevent: {fields['event']}\ndata: {data}\n\n".encode()
