"""Whose turn it is, and who finds room: one asker with many jobs must not push the jobs of the others aside.

An asker is an API key; the jobs of a project that were asked for without a key are those of one asker.

A message in the queue means "a job waits", and not this job in particular: if another asker has fewer jobs running,
its oldest job is started instead. The message of that one then stands for the job that has let it pass. While only one
asker has jobs, each message starts its own job, in the order in which they came.

A full queue has room for an asker that has less than its share of it.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from core.projects import DEFAULT_PROJECT
from core.state import keys

LONGEST_RETRY: Final = 60
"""Seconds after which a refused client is told to come back, at most."""

_COUNTED: Final = 50
"""The last jobs of a queue whose duration says how fast it empties."""

_PATIENCE: Final = 3
"""Seconds that a place is kept after its time: the time is told in whole seconds, and clients may be late."""

_LEAD: Final = 0.5
"""Seconds before its time from which a place is kept: it must be free when the client comes."""

_SPARE: Final = 1.5
"""Clients are told to come back more slowly than the queue empties, so that a place is free when they come."""

_UNKNOWN_SECONDS: Final = 4
"""The duration of a job in a queue of which none has ended yet."""


class Sender(NamedTuple):
    """Who sends a request, as far as it can be recognised when it is sent again. The names of the places that are kept
    for a client begin with `own`; the client gets a place whose name begins with `returning`."""

    own: str
    returning: str


ANYBODY: Final = Sender("#", "#")

_ASKER: Final = """
local function asker_of(name)
  local fields = redis.call('HMGET', 'JOB_KEY' .. name, 'project', 'api_key')
  return (fields[1] or 'DEFAULT') .. '/' .. (fields[2] or '')
end
""".replace("JOB_KEY", keys.job("")).replace("DEFAULT", DEFAULT_PROJECT)

# `whose_turn(own, waiting, running)` → the id of the job to start for a message with the id `own`; nil if there is
# nothing to do
TURN: Final = (
    _ASKER
    + """
local function is_queued(name) return redis.call('HGET', 'JOB_KEY' .. name, 'state') == 'queued' end

local function whose_turn(own, waiting, running)
  local let_pass = redis.call('HGET', 'JOB_KEY' .. own, 'stands_for')
  if let_pass then redis.call('HDEL', 'JOB_KEY' .. own, 'stands_for') end
  if not is_queued(own) then
    if not (let_pass and is_queued(let_pass)) then return nil end
    own = let_pass
  end

  local shares = {}
  for _, name in ipairs(redis.call('ZRANGE', running, 0, -1)) do
    if not redis.call('HGET', 'JOB_KEY' .. name, 'awaits') then
      local asker = asker_of(name)
      shares[asker] = (shares[asker] or 0) + 1
    end
  end

  local chosen, least = own, shares[asker_of(own)] or 0
  local seen = {[asker_of(own)] = true}
  for _, name in ipairs(redis.call('ZRANGE', waiting, 0, -1)) do
    local asker = asker_of(name)
    if not seen[asker] and not redis.call('HGET', 'JOB_KEY' .. name, 'stands_for') then
      seen[asker] = true
      if (shares[asker] or 0) < least then chosen, least = name, shares[asker] or 0 end
    end
  end
  if chosen ~= own then redis.call('HSET', 'JOB_KEY' .. chosen, 'stands_for', own) end
  return chosen
end
""".replace("JOB_KEY", keys.job(""))
)

_SECONDS_OF: Final = """
local function seconds_of(running) return (string.gsub(running, 'running$', 'seconds')) end
"""

COUNT_SECONDS: Final = (
    _SECONDS_OF
    + """
local function count_seconds(running, seconds)
  redis.call('LPUSH', seconds_of(running), string.format('%.3f', seconds))
  redis.call('LTRIM', seconds_of(running), 0, COUNTED - 1)
end
""".replace("COUNTED", str(_COUNTED))
)

# `seconds_until_room(waiting, running, asker, limit, now, sender, returning)` → 0 where there is room for a job of an
# asker. Each client that is refused gets a time of its own, as fast after the one before as the queue empties, and a
# place that is kept for it then: otherwise whoever has just got an answer, and asks again, would take it. The keys are
# '<sender><time>'; one that begins with `returning` is the client's own. A full Redis must refuse the first write,
# so it is none that only frees memory.
ROOM: Final = (
    _SECONDS_OF
    + _ASKER
    + """
local function kept_place(places, beginning)
  for _, place in ipairs(places) do
    if string.sub(place, 1, #beginning) == beginning then return place end
  end
end

local function has_small_share(waiting, running, asker, room)
  local own, askers, seen = 0, 1, {[asker] = true}
  for _, jobs in ipairs({waiting, running}) do
    for _, name in ipairs(redis.call('ZRANGE', jobs, 0, -1)) do
      local other = asker_of(name)
      if other == asker then own = own + 1 end
      if not seen[other] then seen[other], askers = true, askers + 1 end
    end
  end
  return own * askers < room
end

-- The time between the ends of two jobs, while the queue is full.
local function pace(running)
  local sum, taken = 0, redis.call('LRANGE', seconds_of(running), 0, -1)
  for _, seconds in ipairs(taken) do sum = sum + tonumber(seconds) end
  local mean = #taken > 0 and sum / #taken or UNKNOWN
  return SPARE * mean / math.max(1, redis.call('ZCARD', running))
end

local function keep_place(kept, running, now, sender)
  local last = redis.call('ZRANGE', kept, -1, -1, 'WITHSCORES')
  local at = math.max(tonumber(last[2] or '0'), now) + pace(running)
  if at > now + LONGEST then return LONGEST end
  local score = string.format('%.6f', at)
  redis.call('ZADD', kept, score, sender .. score)
  redis.call('EXPIRE', kept, LONGEST + PATIENCE)
  redis.call('ZREMRANGEBYSCORE', kept, '-inf', now - PATIENCE)
  return math.max(1, math.ceil(at - now))
end

local function seconds_until_room(waiting, running, asker, limit, now, sender, returning)
  local kept = string.gsub(waiting, 'waiting$', 'kept')
  local own = kept_place(redis.call('ZRANGEBYSCORE', kept, now - PATIENCE, now), returning)
  local unfinished = redis.call('ZCARD', waiting) + redis.call('ZCARD', running)
  if own and unfinished < limit then
    redis.call('ZADD', kept, string.format('%.6f', now), own) -- an upload may lie between the check and the job
    return 0, kept, own
  end
  local reserved = redis.call('ZCOUNT', kept, now - PATIENCE, now + LEAD)
  local room = limit - math.min(reserved, 0.75 * limit) -- clients that never come back must not empty the queue
  if unfinished < room or has_small_share(waiting, running, asker, room) then return 0 end
  local seconds = keep_place(kept, running, now, sender)
  if own then redis.call('ZREM', kept, own) end
  return seconds
end
""".replace("UNKNOWN", str(_UNKNOWN_SECONDS))
    .replace("LONGEST", str(LONGEST_RETRY))
    .replace("PATIENCE", str(_PATIENCE))
    .replace("LEAD", str(_LEAD))
    .replace("SPARE", str(_SPARE))
)

# KEYS: waiting, running    ARGV: asker, limit, sender, returning    → seconds until there is room for the asker
CHECK_ROOM: Final = (
    ROOM
    + """
local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1000000
return (seconds_until_room(KEYS[1], KEYS[2], ARGV[1], tonumber(ARGV[2]), now, ARGV[3], ARGV[4]))
"""
)


def asked_by(project: str, api_key: str | None) -> str:
    """Who has asked for a job."""
    return f"{project}/{api_key or ''}"


def check_room_args(asker: str, queue: str, limit: int, sender: Sender = ANYBODY) -> tuple[list[str], list[str]]:
    return [keys.waiting(queue), keys.running(queue)], [asker, str(limit), *sender]
