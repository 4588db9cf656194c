"""Whose turn it is, and who finds room: one asker with many jobs must not push the jobs of the others aside.

An asker is an API key; the jobs of a project that were asked for without a key are those of one asker.

A message in the queue means "a job waits", and not this job in particular: if another asker has fewer jobs running,
its oldest job is started instead. The message of that one then stands for the job that has let it pass. While only one
asker has jobs, each message starts its own job, in the order in which they came.

A full queue has room for an asker that has less than its share of it.
"""

from __future__ import annotations

from typing import Final

from core.projects import DEFAULT_PROJECT
from core.state import keys
from core.state.fullness import GO_ON

LONGEST_RETRY: Final = 60
"""Seconds after which a refused client is told to come back, at most."""

_RATE_SECONDS: Final = 10
"""The time over which the ends of jobs are counted, to know how fast a queue empties."""

_SLOWEST_RATE: Final = 0.2
"""Ends of jobs per second that are taken for granted: a queue that was empty a moment ago has none yet."""

_ASKER: Final = """
local function asker_of(name)
  local fields = redis.call('HMGET', 'JOB_KEY' .. name, 'project', 'api_key')
  return (fields[1] or 'DEFAULT') .. '/' .. (fields[2] or '')
end
""".replace("JOB_KEY", keys.job("")).replace("DEFAULT", DEFAULT_PROJECT)

# KEYS: waiting, running    ARGV: the id in the message    → the id of the job to start, or false
TURN: Final = (
    GO_ON
    + _ASKER
    + """
local function is_queued(name) return redis.call('HGET', 'JOB_KEY' .. name, 'state') == 'queued' end

local own = ARGV[1]
local let_pass = redis.call('HGET', 'JOB_KEY' .. own, 'stands_for')
if let_pass then redis.call('HDEL', 'JOB_KEY' .. own, 'stands_for') end
if not is_queued(own) then
  if not (let_pass and is_queued(let_pass)) then return false end
  own = let_pass
end

local shares = {}
for _, name in ipairs(redis.call('ZRANGE', KEYS[2], 0, -1)) do
  if not redis.call('HGET', 'JOB_KEY' .. name, 'awaits') then
    local asker = asker_of(name)
    shares[asker] = (shares[asker] or 0) + 1
  end
end

local chosen, least = own, shares[asker_of(own)] or 0
local seen = {[asker_of(own)] = true}
for _, name in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  local asker = asker_of(name)
  if not seen[asker] and not redis.call('HGET', 'JOB_KEY' .. name, 'stands_for') then
    seen[asker] = true
    if (shares[asker] or 0) < least then chosen, least = name, shares[asker] or 0 end
  end
end
if chosen ~= own then redis.call('HSET', 'JOB_KEY' .. chosen, 'stands_for', own) end
return chosen
""".replace("JOB_KEY", keys.job(""))
)

# `seconds_until_room(waiting, running, finished, asker, limit, now)` → 0 where there is room for a job of an asker.
# Each client that is refused gets a time of its own, as fast after the one before as the queue empties: those that come
# back when they were told to find room.
ROOM: Final = (
    _ASKER
    + """
local function seconds_until_room(waiting, running, finished, asker, limit, now)
  if redis.call('ZCARD', waiting) + redis.call('ZCARD', running) < limit then return 0 end
  local own, askers, seen = 0, 1, {[asker] = true}
  for _, jobs in ipairs({waiting, running}) do
    for _, name in ipairs(redis.call('ZRANGE', jobs, 0, -1)) do
      local other = asker_of(name)
      if other == asker then own = own + 1 end
      if not seen[other] then seen[other], askers = true, askers + 1 end
    end
  end
  if own * askers < limit then return 0 end
  local rate = math.max(redis.call('ZCOUNT', finished, now - RATE_SECONDS, '+inf') / RATE_SECONDS, SLOWEST)
  local promised = string.gsub(waiting, 'waiting$', 'promised')
  local at = math.max(tonumber(redis.call('GET', promised) or '0'), now) + 1 / rate
  if at > now + LONGEST then at = now + LONGEST end
  redis.call('SET', promised, string.format('%.6f', at), 'EX', LONGEST)
  return math.max(1, math.ceil(at - now))
end
""".replace("RATE_SECONDS", str(_RATE_SECONDS))
    .replace("SLOWEST", str(_SLOWEST_RATE))
    .replace("LONGEST", str(LONGEST_RETRY))
)

# KEYS: waiting, running, FINISHED    ARGV: asker, limit    → seconds until there is room for a job of the asker
CHECK_ROOM: Final = (
    ROOM
    + """
local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1000000
return seconds_until_room(KEYS[1], KEYS[2], KEYS[3], ARGV[1], tonumber(ARGV[2]), now)
"""
)


def turn_args(message: str, queue: str) -> tuple[list[str], list[str]]:
    """`message`: the id that it carries."""
    return [keys.waiting(queue), keys.running(queue)], [message]


def asked_by(project: str, api_key: str | None) -> str:
    """Who has asked for a job."""
    return f"{project}/{api_key or ''}"


def check_room_args(asker: str, queue: str, limit: int) -> tuple[list[str], list[str]]:
    return [keys.waiting(queue), keys.running(queue), keys.FINISHED], [asker, str(limit)]
