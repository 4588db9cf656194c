"""The steps of a job's life cycle as Lua scripts. `core.state.lifecycle` builds their arguments, and
`core.state.transitions` says what each step does in each state."""

from __future__ import annotations

import json
from typing import Final

from core.errors import Cancelled, VireoError
from core.state import keys
from core.state.children import AWAIT_BODY, CHILDREN
from core.state.fairness import COUNT_SECONDS, ROOM, TURN
from core.state.fullness import GO_ON

MAX_ATTEMPTS: Final = 3
"""A job that was started this often without a result fails, because it may be the cause. The field `stuck` counts the
starts. A training run that has saved a checkpoint counts anew."""

_CANCELLED = json.dumps(Cancelled("The job was cancelled.").to_dict())
_GIVEN_UP = json.dumps(
    VireoError(
        f"This job was given up: {MAX_ATTEMPTS} attempts at it ended without a result.",
        hint="The workers' logs show why. A worker that was killed for lack of memory is the usual cause.",
    ).to_dict()
)

# `stamp` writes microseconds, because Lua would round a time to 14 digits.
_CLOCK = """
local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1000000
local function stamp(time) return string.format('%.6f', time) end
"""

# KEYS: job, waiting, running, resend, events, metrics, FINISHED, …    ARGV: job id, …
_JOB = (
    _CLOCK
    + COUNT_SECONDS
    + """
local job, waiting, running, resend, events = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local id = ARGV[1]

local function get(field) return redis.call('HGET', job, field) end

local function tell(event, data)
  return redis.call('XADD', events, 'MAXLEN', '~', 20000, '*', 'event', event, 'data', data)
end

-- The job waits for a worker. Its message counts as lost after `delay` seconds.
local function queue(delay)
  redis.call('HSET', job, 'state', 'queued', 'resends', 0)
  redis.call('ZREM', running, id)
  redis.call('ZADD', waiting, stamp(now), id)
  redis.call('ZADD', resend, stamp(now + delay), id)
end

-- A job ends: the one that the script is about, one of its children, or its parent.
local function finish_job(key, name, state, field, value)
  local before = redis.call('HMGET', key, 'state', 'started_at')
  if before[1] == 'running' and state == 'succeeded' then count_seconds(running, now - tonumber(before[2])) end
  redis.call('HSET', key, 'state', state, 'finished_at', stamp(now), field, value)
  redis.call('HDEL', key, 'cancel_requested', 'awaits')
  for _, jobs in ipairs({waiting, running, resend}) do redis.call('ZREM', jobs, name) end
  redis.call('ZADD', KEYS[7], stamp(now), name)
  redis.call('XADD', key .. ':events', 'MAXLEN', '~', 20000, '*', 'event', 'state', 'data', '"' .. state .. '"')
  redis.call('PUBLISH', 'DONE_CHANNEL', name)
end
CHILDREN
local function finish(state, field, value)
  finish_job(job, id, state, field, value)
  if state ~= 'succeeded' then cancel_children(id) end
  local parent = get('parent')
  if parent then child_ended(parent, id, state) end
end

-- Every step of an attempt has it in ARGV[1] to ARGV[3]. The number alone is not enough: a Redis that loses its last
-- second in a power cut gives the same number again.
local function belongs_to_attempt()
  local fields = redis.call('HMGET', job, 'state', 'attempts', 'holder')
  return fields[1] == 'running' and fields[2] == ARGV[2] and fields[3] == ARGV[3]
end

local function put_back(delay)
  if get('cancel_requested') then
    finish('cancelled', 'error', [==[CANCELLED]==])
    return 'cancelled'
  end
  if tonumber(get('stuck') or '0') >= MAX_ATTEMPTS then
    finish('failed', 'error', [==[GIVEN_UP]==])
    return 'failed'
  end
  queue(delay)
  tell('state', '"queued"')
  return 'queued'
end
""".replace("CHILDREN", CHILDREN)
    .replace("DONE_CHANNEL", keys.DONE_CHANNEL)
    .replace("CANCEL_CHANNEL", keys.CANCEL_CHANNEL)
    .replace("MAX_ATTEMPTS", str(MAX_ATTEMPTS))
    .replace("CANCELLED", _CANCELLED)
    .replace("GIVEN_UP", _GIVEN_UP)
)

# Redis runs these steps when its memory is full, too: the children of a job were accepted with it. New work (CREATE,
# RESUME) it refuses then, and RESEND, whose messages it would refuse.
GO_ON_WITH_JOB = GO_ON + _JOB

# KEYS: …, the list of the project's jobs[, idempotency]
# ARGV: id, limit, resend after, asker, sender, returning, field, value, field, value, …
# → {'created', created_at}, {'full', seconds until there is room}, or {'held', the id of the job that the idempotency
# key stands for already}
CREATE = (
    _JOB
    + ROOM
    + """
if redis.call('EXISTS', job) == 1 then return {'created', get('created_at')} end
if KEYS[9] then
  local held = redis.call('GET', KEYS[9])
  if held then return {'held', held} end
end
local seconds, kept, place = seconds_until_room(waiting, running, ARGV[4], tonumber(ARGV[2]), now, ARGV[5], ARGV[6])
if seconds > 0 then return {'full', seconds} end
if place then redis.call('ZREM', kept, place) end
redis.call('HSET', job, unpack(ARGV, 7))
redis.call('HSET', job, 'created_at', stamp(now), 'list', KEYS[8])
redis.call('ZADD', KEYS[8], stamp(now), id)
queue(ARGV[3])
if KEYS[9] then
  redis.call('SET', KEYS[9], id)
  redis.call('HSET', job, 'idempotency', KEYS[9])
end
return {'created', stamp(now)}
"""
)

# ARGV: id, error as JSON    → 1, or 0 if a worker has started the job, so that its message did arrive
WITHDRAW = (
    GO_ON_WITH_JOB
    + """
if get('state') ~= 'queued' then return 0 end
finish('failed', 'error', ARGV[2])
local held = get('idempotency')
if held then -- the request can be sent again
  redis.call('DEL', held)
  redis.call('HDEL', job, 'idempotency')
end
return 1
"""
)

# ARGV: id in the message, holder, lease in seconds
# → {the id of the job that is started, the number of the attempt}, or false if there is nothing to do
# `holder` is a new name for each message that a worker handles: a repeated START gets the same attempt.
START = (
    GO_ON_WITH_JOB
    + TURN
    + """
for _, name in ipairs(redis.call('ZRANGE', running, 0, -1)) do
  local held = redis.call('HMGET', 'JOB_KEY' .. name, 'holder', 'attempts')
  if held[1] == ARGV[2] then return {name, tonumber(held[2])} end
end
id = whose_turn(id, waiting, running)
if not id then return false end
job, events = 'JOB_KEY' .. id, 'JOB_KEY' .. id .. ':events'
redis.call('HSET', job, 'state', 'running', 'started_at', stamp(now), 'holder', ARGV[2])
redis.call('ZREM', waiting, id)
redis.call('ZREM', resend, id)
redis.call('ZADD', running, stamp(now + ARGV[3]), id)
tell('state', '"running"')
redis.call('HINCRBY', job, 'stuck', 1)
local attempt = redis.call('HINCRBY', job, 'attempts', 1)
if attempt == 1 then redis.call('HSET', job, 'metrics', 'list') end -- an earlier version kept them in the stream only
return {id, attempt}
""".replace("JOB_KEY", keys.job(""))
)

# KEYS: running, job, job, …    ARGV: lease in seconds, attempt, attempt, …    → a Standing for each attempt
# An attempt is three arguments: job id, number, holder.
RENEW = (
    GO_ON
    + _CLOCK
    + """
local found = {}
for index = 2, #KEYS do
  local fields = redis.call('HMGET', KEYS[index], 'state', 'attempts', 'holder', 'cancel_requested')
  local first = 3 * index - 4
  if fields[1] ~= 'running' or fields[2] ~= ARGV[first + 1] or fields[3] ~= ARGV[first + 2] then
    found[#found + 1] = 0
  else
    redis.call('ZADD', KEYS[1], stamp(now + ARGV[1]), ARGV[first])
    found[#found + 1] = fields[4] and 2 or 1
  end
end
return found
"""
)

# ARGV: attempt, event, JSON data, progress as JSON or '', 1 if a checkpoint was saved    → a Standing
REPORT = (
    GO_ON_WITH_JOB
    + """
if not belongs_to_attempt() then return 0 end
if ARGV[6] ~= '' then redis.call('HSET', job, 'progress', ARGV[6]) end
if ARGV[7] == '1' then redis.call('HSET', job, 'stuck', 0) end
tell(ARGV[4], ARGV[5])
if ARGV[4] == 'metric' then redis.call('RPUSH', KEYS[6], ARGV[5]) end -- the stream is trimmed, this list is not
return get('cancel_requested') and 2 or 1
"""
)

# KEYS: …, hash of versions    ARGV: attempt, model name, highest version seen in the store, a version that is taken
# → the version that this job publishes, the same for each attempt; 0 if the job belongs to another attempt
CLAIM_VERSION = (
    GO_ON_WITH_JOB
    + """
if not belongs_to_attempt() then return 0 end
local held = get('version')
if held and held ~= ARGV[6] then return tonumber(held) end
local last = tonumber(redis.call('HGET', KEYS[8], ARGV[4]) or '0')
local version = math.max(last, tonumber(ARGV[5])) + 1
redis.call('HSET', KEYS[8], ARGV[4], version)
redis.call('HSET', job, 'version', version)
return version
"""
)

# ARGV: attempt, state, field, JSON value
# → {1; 2 if the job's parent waits for a worker now; 0 if the job belongs to another attempt; its kind; its parent}
FINISH = (
    GO_ON_WITH_JOB
    + """
local facts = redis.call('HMGET', job, 'kind', 'parent')
if not belongs_to_attempt() then return {0, facts[1] or '', facts[2] or ''} end
finish(ARGV[4], ARGV[5], ARGV[6])
return {woken and 2 or 1, facts[1] or '', facts[2] or ''}
"""
)

AWAIT = GO_ON_WITH_JOB + AWAIT_BODY

# ARGV: attempt, 1 if this start does not count as a failure, resend after
# → the state of the job now, or false if it belongs to another attempt
RELEASE = (
    GO_ON_WITH_JOB
    + """
if not belongs_to_attempt() then return false end
if ARGV[4] == '1' then redis.call('HINCRBY', job, 'stuck', -1) end
return put_back(ARGV[5])
"""
)

# ARGV: id, name of a process that is dead, or ''
# → the state of the job now, or false if its lease has not expired. Its message is sent at the next resend.
EXPIRE = (
    GO_ON_WITH_JOB
    + """
if get('state') ~= 'running' then
  redis.call('ZREM', running, id)
  return false
end
local lease = redis.call('ZSCORE', running, id)
local died = ARGV[2] ~= '' and string.sub(get('holder') or '', 1, #ARGV[2]) == ARGV[2]
if lease and tonumber(lease) >= now and not died then return false end
return put_back(0)
"""
)

# ARGV: id, error as JSON    → the state that the job was in, or false
# A queued job ends here; the worker of a running job is told, and learns of it with its next report or heartbeat. A job
# that waits for its children ends with the last of them.
CANCEL = (
    GO_ON_WITH_JOB
    + """
local state = get('state')
if state == 'queued' then
  finish('cancelled', 'error', ARGV[2])
elseif state == 'running' then
  redis.call('HSET', job, 'cancel_requested', '1')
  redis.call('PUBLISH', 'CANCEL_CHANNEL', id)
  if get('awaits') then
    cancel_children(id)
    if redis.call('SCARD', job .. ':children') == 0 then finish('cancelled', 'error', ARGV[2]) end
  end
end
return state
""".replace("CANCEL_CHANNEL", keys.CANCEL_CHANNEL)
)

# ARGV: id, resend after    → the state that the job was in, or false
RESUME = (
    _JOB
    + """
local state = get('state')
if state == 'cancelled' or state == 'failed' then
  redis.call('HSET', job, 'stuck', 0)
  redis.call('HDEL', job, 'finished_at', 'error', 'cancel_requested')
  redis.call('ZREM', KEYS[7], id)
  queue(ARGV[2])
  tell('state', '"queued"')
end
return state
"""
)

# KEYS: waiting, resend, the broker's list
# ARGV: prefix of job keys, resend after, longest resend, most jobs, latest time to look at, '' for now
# → ids of waiting jobs whose message is lost. A job whose message is still in the broker's list is looked at again
#   later; a job that is sent again is looked at after twice the time.
RESEND = (
    _CLOCK
    + """
if redis.call('ZCARD', KEYS[1]) > redis.call('ZCARD', KEYS[2]) then -- jobs that an earlier version queued
  local entries = redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')
  for index = 1, #entries, 2 do
    redis.call('ZADD', KEYS[2], 'NX', stamp(entries[index + 1] + ARGV[2]), entries[index])
  end
end
local latest = ARGV[5] ~= '' and ARGV[5] or stamp(now)
local due = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', latest, 'LIMIT', 0, ARGV[4])
if #due == 0 then return due end
local sent = {}
for _, message in ipairs(redis.call('LRANGE', KEYS[3], 0, -1)) do
  local parsed, content = pcall(cjson.decode, message)
  if parsed and type(content) == 'table' and type(content.headers) == 'table' then
    sent[content.headers.id or ''] = true
  end
end
local lost = {}
for _, id in ipairs(due) do
  if redis.call('HGET', ARGV[1] .. id, 'state') ~= 'queued' then
    redis.call('ZREM', KEYS[2], id)
  elseif sent[id] then
    redis.call('ZADD', KEYS[2], stamp(now + ARGV[2]), id)
  else
    local times = redis.call('HINCRBY', ARGV[1] .. id, 'resends', 1)
    redis.call('ZADD', KEYS[2], stamp(now + math.min(ARGV[2] * 2 ^ (times - 1), tonumber(ARGV[3]))), id)
    lost[#lost + 1] = id
  end
end
return lost
"""
)
