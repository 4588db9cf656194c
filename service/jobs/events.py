"""A job's events as they happen: server-sent events from its Redis stream, each with an id to go on from.

Workers and gateways append to the stream; whoever reads holds one connection of its own and blocks on it. A stream ends
after the event of a final state, or when the server stops: a reader that comes back with `Last-Event-ID` misses nothing
and sees nothing twice.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator
from typing import Any, cast

from redis.asyncio import Redis
from redis.exceptions import RedisError

from core.errors import InvalidRequest, StorageUnavailable
from core.records import JobState
from core.state import keys

HEARTBEAT = 15.0  # seconds of silence after which a comment shows that the connection lives
MOST_STREAMS = 256  # open at once in one gateway; each holds a connection to Redis
RETRY_MS = 2000  # that a browser waits before it comes back
_BATCH = 500
_BLOCK = 1.0  # seconds of one blocking read: how long a stopping server is waited for. (Cancelling the read instead is
# no way: redis-py can swallow a cancellation that meets it while it connects or sends.)
_ID = re.compile(r"[0-9]{1,19}(-[0-9]{1,19})?")
_START = "0-0"
_FINAL = {json.dumps(state) for state in JobState if state.final}

Entry = tuple[str, dict[str, str]]


class Events:
    def __init__(self, redis_url: str, redis: Redis, stopping: asyncio.Event) -> None:
        """`redis`: for short commands; readers connect to `redis_url` themselves."""
        self._url = redis_url
        self._redis = redis
        self._stopping = stopping
        self.readers = 0  # event streams that are open now

    async def is_over(self, job_id: str, after: str) -> bool:
        """Whether the job has ended and nothing comes after the event `after`: there is nothing to wait for."""
        state = await self._state(job_id)
        if state is not None and not state.final:
            return False
        return not await self._redis.xrange(keys.events(job_id), min=f"({after}", count=1)

    async def follow(self, job_id: str, after: str | None) -> AsyncIterator[bytes]:
        """The stream's text from the first event on, or after `after`. A fresh reader of a job whose stream is empty is
        told its state first. Raises: StorageUnavailable where too many read already."""
        if self.readers >= MOST_STREAMS:
            raise StorageUnavailable(
                f"{MOST_STREAMS} event streams are open here, which is the limit.",
                hint="Ask for the job itself from time to time, or try again soon.",
                limit=MOST_STREAMS,
            )
        return self._text(job_id, after)

    async def metrics(self, job_id: str) -> list[dict[str, Any]]:
        """What `metric` events said so far. An epoch that was run again after a worker's death counts once."""
        found: dict[tuple[Any, ...], dict[str, Any]] = {}
        after = _START
        while entries := cast(
            list[Entry], await self._redis.xrange(keys.events(job_id), min=f"({after}", count=_BATCH)
        ):
            for _, fields in entries:
                if fields["event"] == "metric":
                    metric = json.loads(fields["data"])
                    found[tuple(metric.get(name) for name in ("split", "epoch", "step"))] = metric
            after = entries[-1][0]
        return list(found.values())

    async def _text(self, job_id: str, after: str | None) -> AsyncIterator[bytes]:
        self.readers += 1
        own = Redis.from_url(self._url, decode_responses=True, socket_connect_timeout=2.0, socket_timeout=_BLOCK + 5.0)
        try:
            yield f"retry: {RETRY_MS}\n\n".encode()
            async for text in self._entries(own, job_id, after):
                yield text
        except RedisError:
            return  # half an answer is out; the reader comes back and goes on
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
        said = time.monotonic()
        while not self._stopping.is_set():
            entries = await _next(own, job_id, after, block=not over)
            for after, fields in entries:
                yield _event(after, fields)
            if over and not entries:
                return
            silent = time.monotonic() - said > HEARTBEAT
            if entries or silent:
                said = time.monotonic()
            if silent and not entries:
                yield b": still here\n\n"
            if (silent and not entries) or (entries and _ends(entries[-1][1])):
                # Its record decides: a cancelled run may have been resumed since, and a forgotten one ends nothing.
                state = await self._state(job_id)
                over = state is None or state.final

    async def _state(self, job_id: str) -> JobState | None:
        state = cast(str | None, await self._redis.hget(keys.job(job_id), "state"))
        return JobState(state) if state else None


async def _next(own: Redis, job_id: str, after: str, *, block: bool) -> list[Entry]:
    """Entries after `after`; none where none came in time."""
    wait = int(min(_BLOCK, HEARTBEAT) * 1000) if block else None
    streams = cast(
        list[tuple[str, list[Entry]]], await own.xread({keys.events(job_id): after}, count=_BATCH, block=wait)
    )
    return streams[0][1] if streams else []


def position(last_event_id: str | None, after: str | None) -> str | None:
    """Where a reader wants to go on. The header wins: a browser that comes back sends it with the first URL.

    Raises: InvalidRequest.
    """
    wanted = last_event_id or after or None
    if wanted is not None and not _ID.fullmatch(wanted):
        name = "Last-Event-ID" if last_event_id else "after"
        raise InvalidRequest(f"{name} is not the id of an event.", hint="Send one that was received.", field=name)
    return wanted


def _ends(fields: dict[str, str]) -> bool:
    return fields["event"] == "state" and fields["data"] in _FINAL


def _event(entry_id: str, fields: dict[str, str]) -> bytes:
    data = "\ndata: ".join(fields["data"].splitlines())
    return f"id: {entry_id}\nevent: {fields['event']}\ndata: {data}\n\n".encode()
