"""The life cycle of a job in Redis, as atomic steps that the gateway (async) and the workers (sync) both take.

    queued ──start──▶ running ──finish──▶ succeeded | failed | cancelled ──resume──▶ queued (training only)
       │                 │ lease expired (its worker died)
       │                 └──requeue──▶ queued
       └──cancel──▶ cancelled            (the worker of a running job hears of it on CANCEL_CHANNEL and finishes it)

Every step is one Lua script, so two workers, a reaper and a user who cancels can act on one job at the same time. A
step that comes too late returns 0 and changes nothing. A job is a Redis hash; values that are objects are JSON.
"""

from __future__ import annotations

import json
from typing import Any, Final

from core.records import Job
from core.state import keys

LEASE_SECONDS: Final = 15.0
"""A running job whose worker has sent no heartbeat for this long is given to another worker."""

MAX_ATTEMPTS: Final = 3
"""A job whose worker died this many times fails instead of starting again, because it may be the cause. The field
`stuck` counts the starts. A training run that has saved a checkpoint counts anew."""

_JSON_FIELDS = ("request", "result", "error", "progress")

SUMMARY_FIELDS: Final = tuple(name for name in Job.model_fields if name not in ("request", "result"))
"""The fields of a job in a list."""

# KEYS: job, waiting, running, JOBS[, idempotency]    ARGV: id, now, limit, field, value, field, value, …
# → 1 created, 0 the queue is full, or the id of the job that the idempotency key stands for already
CREATE = """
if KEYS[5] then
  local held = redis.call('GET', KEYS[5])
  if held then return held end
end
if redis.call('ZCARD', KEYS[2]) + redis.call('ZCARD', KEYS[3]) >= tonumber(ARGV[3]) then return 0 end
redis.call('HSET', KEYS[1], unpack(ARGV, 4))
redis.call('ZADD', KEYS[2], ARGV[2], ARGV[1])
redis.call('ZADD', KEYS[4], ARGV[2], ARGV[1])
if KEYS[5] then
  redis.call('SET', KEYS[5], ARGV[1])
  redis.call('HSET', KEYS[1], 'idempotency', KEYS[5])
end
return 1
"""

# KEYS: job, waiting, running, events    ARGV: id, now, lease end    → attempts so far, or 0
START = """
local state = redis.call('HGET', KEYS[1], 'state')
local lease = redis.call('ZSCORE', KEYS[3], ARGV[1])
local orphaned = state == 'running' and (not lease or tonumber(lease) < tonumber(ARGV[2]))
if state ~= 'queued' and not orphaned then return 0 end
redis.call('HSET', KEYS[1], 'state', 'running', 'started_at', ARGV[2])
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('ZADD', KEYS[3], ARGV[3], ARGV[1])
redis.call('XADD', KEYS[4], 'MAXLEN', '~', 20000, '*', 'event', 'state', 'data', '"running"')
redis.call('HINCRBY', KEYS[1], 'stuck', 1)
return redis.call('HINCRBY', KEYS[1], 'attempts', 1)
"""

# KEYS: job, events    ARGV: attempt, event, JSON data, progress as JSON or '', 1 if a checkpoint was saved
# → 1, or 0 if the job no longer belongs to this attempt: another worker has it, or it has ended.
REPORT = """
if redis.call('HGET', KEYS[1], 'state') ~= 'running' then return 0 end
if redis.call('HGET', KEYS[1], 'attempts') ~= ARGV[1] then return 0 end
if ARGV[4] ~= '' then redis.call('HSET', KEYS[1], 'progress', ARGV[4]) end
if ARGV[5] == '1' then redis.call('HSET', KEYS[1], 'stuck', 0) end
redis.call('XADD', KEYS[2], 'MAXLEN', '~', 20000, '*', 'event', ARGV[2], 'data', ARGV[3])
return 1
"""

# KEYS: job, waiting, events, FINISHED    ARGV: id, now    → the state that the job was in, or false
RESUME = """
local state = redis.call('HGET', KEYS[1], 'state')
if state == 'cancelled' or state == 'failed' then
  redis.call('HSET', KEYS[1], 'state', 'queued', 'stuck', 0)
  redis.call('HDEL', KEYS[1], 'finished_at', 'error', 'cancel_requested')
  redis.call('ZREM', KEYS[4], ARGV[1])
  redis.call('ZADD', KEYS[2], ARGV[2], ARGV[1])
  redis.call('XADD', KEYS[3], 'MAXLEN', '~', 20000, '*', 'event', 'state', 'data', '"queued"')
end
return state
"""

# KEYS: job, waiting, running, events    ARGV: id, attempt, 1 to count its starts anew
# → 1 if the job belonged to this attempt and now waits again
RELEASE = """
if redis.call('HGET', KEYS[1], 'state') ~= 'running' then return 0 end
if redis.call('HGET', KEYS[1], 'attempts') ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], 'state', 'queued')
if ARGV[3] == '1' then redis.call('HSET', KEYS[1], 'stuck', 0) end
redis.call('ZREM', KEYS[3], ARGV[1])
redis.call('ZADD', KEYS[2], redis.call('HGET', KEYS[1], 'created_at'), ARGV[1])
redis.call('XADD', KEYS[4], 'MAXLEN', '~', 20000, '*', 'event', 'state', 'data', '"queued"')
return 1
"""

# KEYS: job, hash of versions    ARGV: model name, highest version seen in the store
# → the version that this job publishes: the same each time the job is started.
CLAIM_VERSION = """
local held = redis.call('HGET', KEYS[1], 'version')
if held then return tonumber(held) end
local last = tonumber(redis.call('HGET', KEYS[2], ARGV[1]) or '0')
local version = math.max(last, tonumber(ARGV[2])) + 1
redis.call('HSET', KEYS[2], ARGV[1], version)
redis.call('HSET', KEYS[1], 'version', version)
return version
"""

# KEYS: job, waiting, running, events, FINISHED    ARGV: id, now, state, field, JSON value, channel
FINISH = """
local state = redis.call('HGET', KEYS[1], 'state')
if state ~= 'queued' and state ~= 'running' then return 0 end
redis.call('HSET', KEYS[1], 'state', ARGV[3], 'finished_at', ARGV[2], ARGV[4], ARGV[5])
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('ZREM', KEYS[3], ARGV[1])
redis.call('ZADD', KEYS[5], ARGV[2], ARGV[1])
redis.call('XADD', KEYS[4], 'MAXLEN', '~', 20000, '*', 'event', 'state', 'data', '"' .. ARGV[3] .. '"')
redis.call('PUBLISH', ARGV[6], ARGV[1])
return 1
"""

# KEYS: job, waiting, running, events, FINISHED    ARGV: id, now, error as JSON, done channel, cancel channel
# → the state that the job was in, or false. A queued job ends here; the worker of a running job is told.
CANCEL = """
local state = redis.call('HGET', KEYS[1], 'state')
if state == 'queued' then
  redis.call('HSET', KEYS[1], 'state', 'cancelled', 'finished_at', ARGV[2], 'error', ARGV[3])
  redis.call('ZREM', KEYS[2], ARGV[1])
  redis.call('ZADD', KEYS[5], ARGV[2], ARGV[1])
  redis.call('XADD', KEYS[4], 'MAXLEN', '~', 20000, '*', 'event', 'state', 'data', '"cancelled"')
  redis.call('PUBLISH', ARGV[4], ARGV[1])
elseif state == 'running' then
  redis.call('HSET', KEYS[1], 'cancel_requested', '1')
  redis.call('PUBLISH', ARGV[5], ARGV[1])
end
return state
"""

# KEYS: job, waiting, running, events    ARGV: id, now    → 1 if its lease had expired and it now waits again
REQUEUE = """
local lease = redis.call('ZSCORE', KEYS[3], ARGV[1])
if redis.call('HGET', KEYS[1], 'state') ~= 'running' then redis.call('ZREM', KEYS[3], ARGV[1]) return 0 end
if lease and tonumber(lease) >= tonumber(ARGV[2]) then return 0 end
redis.call('HSET', KEYS[1], 'state', 'queued')
redis.call('ZREM', KEYS[3], ARGV[1])
redis.call('ZADD', KEYS[2], redis.call('HGET', KEYS[1], 'created_at'), ARGV[1])
redis.call('XADD', KEYS[4], 'MAXLEN', '~', 20000, '*', 'event', 'state', 'data', '"queued"')
return 1
"""


def job_to_fields(job: Job) -> dict[str, str]:
    """The fields of a job's hash. Values that are None are left out."""
    data = job.model_dump(mode="json", exclude_none=True)
    return {name: json.dumps(value) if name in _JSON_FIELDS else str(value) for name, value in data.items()}


def job_from_fields(fields: dict[str, str]) -> Job:
    values: dict[str, Any] = {
        name: json.loads(value) if name in _JSON_FIELDS else value
        for name, value in fields.items()
        if name in Job.model_fields
    }
    return Job.model_validate(values)


def create_args(job: Job, queue: str, limit: int, idempotency_key: str | None = None) -> tuple[list[str], list[str]]:
    """`idempotency_key`: the Redis key that stores the job's id for repeats of the same request."""
    fields = [part for pair in job_to_fields(job).items() for part in pair]
    return (
        [keys.job(job.id), keys.waiting(queue), keys.running(queue), keys.JOBS, *filter(None, [idempotency_key])],
        [job.id, str(job.created_at), str(limit), *fields],
    )


def start_args(job_id: str, queue: str, now: float) -> tuple[list[str], list[str]]:
    return (
        [keys.job(job_id), keys.waiting(queue), keys.running(queue), keys.events(job_id)],
        [job_id, str(now), str(now + LEASE_SECONDS)],
    )


def finish_args(
    job_id: str, queue: str, now: float, state: str, field: str, value: dict[str, Any]
) -> tuple[list[str], list[str]]:
    return (
        [keys.job(job_id), keys.waiting(queue), keys.running(queue), keys.events(job_id), keys.FINISHED],
        [job_id, str(now), state, field, json.dumps(value), keys.DONE_CHANNEL],
    )


def cancel_args(job_id: str, queue: str, now: float, error: dict[str, Any]) -> tuple[list[str], list[str]]:
    return (
        [keys.job(job_id), keys.waiting(queue), keys.running(queue), keys.events(job_id), keys.FINISHED],
        [job_id, str(now), json.dumps(error), keys.DONE_CHANNEL, keys.CANCEL_CHANNEL],
    )


def report_args(
    job_id: str,
    attempt: int,
    event: str,
    data: Any,
    progress: dict[str, Any] | None = None,
    *,
    checkpoint_saved: bool = False,
) -> tuple[list[str], list[str]]:
    """`attempt`: what START returned, so that a worker that was taken for dead cannot report for its successor.
    `checkpoint_saved`: a checkpoint was saved, from which another worker can continue."""
    return (
        [keys.job(job_id), keys.events(job_id)],
        [
            str(attempt),
            event,
            json.dumps(data),
            json.dumps(progress) if progress else "",
            "1" if checkpoint_saved else "0",
        ],
    )


def release_args(job_id: str, queue: str, attempt: int, *, reset_attempts: bool) -> tuple[list[str], list[str]]:
    """`reset_attempts`: the worker puts the job back for its own reasons, so no earlier attempt counts as a failure."""
    return (
        [keys.job(job_id), keys.waiting(queue), keys.running(queue), keys.events(job_id)],
        [job_id, str(attempt), "1" if reset_attempts else "0"],
    )


def resume_args(job_id: str, queue: str, now: float) -> tuple[list[str], list[str]]:
    return [keys.job(job_id), keys.waiting(queue), keys.events(job_id), keys.FINISHED], [job_id, str(now)]


def claim_version_args(job_id: str, name: str, highest: int) -> tuple[list[str], list[str]]:
    return [keys.job(job_id), keys.model_versions()], [name, str(highest)]


def requeue_args(job_id: str, queue: str, now: float) -> tuple[list[str], list[str]]:
    return [keys.job(job_id), keys.waiting(queue), keys.running(queue), keys.events(job_id)], [job_id, str(now)]
