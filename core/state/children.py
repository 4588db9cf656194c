"""Jobs that a job makes as parts of its work: they wait and run like others, and it goes on after the last of them.

A parent that waits is `running`, and no worker holds it: its field `awaits` has the number of its children, and its
lease never ends. A child that ends counts in the parent's progress. If it ends without a result, the other children
are cancelled, because the parent cannot have its own result any more. After the last child the parent is queued. All
of it happens in the step that ends the child, so no crash comes between. Who takes that step sends the parent's
message; otherwise the reaper does.

A parent that is `tolerant` goes on whatever its children came to, and reports its own progress. It is queued when half
of them have ended, and may wait for the others again: so those that make many in turn never run out.
"""

from __future__ import annotations

from typing import Final

from core.state import keys
from core.state.fullness import GO_ON

# A part of every step that can end a job. It needs `finish_job` and the queue's keys.
CHILDREN: Final = """
local woken = false -- whether the step has queued a parent again

local function report_children(key, name, total, left)
  local data = cjson.encode({phase = 'runs', step = total - left, steps = total})
  redis.call('HSET', key, 'progress', data)
  redis.call('XADD', key .. ':events', 'MAXLEN', '~', 20000, '*', 'event', 'progress', 'data', data)
end

local function requeue(key, name)
  redis.call('HSET', key, 'state', 'queued', 'resends', 0)
  redis.call('HDEL', key, 'awaits')
  redis.call('ZREM', running, name)
  redis.call('ZADD', waiting, stamp(now), name)
  redis.call('ZADD', resend, stamp(now), name)
  redis.call('XADD', key .. ':events', 'MAXLEN', '~', 20000, '*', 'event', 'state', 'data', '"queued"')
  woken = true
end

-- Queued children end; the workers of running ones are told.
local function cancel_children(parent)
  local unfinished = 'JOB_KEY' .. parent .. ':children'
  for _, child in ipairs(redis.call('SMEMBERS', unfinished)) do
    local key = 'JOB_KEY' .. child
    local state = redis.call('HGET', key, 'state')
    if state == 'running' then
      redis.call('HSET', key, 'cancel_requested', '1')
      redis.call('PUBLISH', 'CANCEL_CHANNEL', child)
    else
      if state == 'queued' then finish_job(key, child, 'cancelled', 'error', [==[CANCELLED]==]) end
      redis.call('SREM', unfinished, child)
    end
  end
end

-- How many children may be open where the parent goes on.
local function spare(key, total)
  local fields = redis.call('HMGET', key, 'tolerant', 'cancel_requested')
  return fields[1] == '1' and not fields[2] and math.floor(total / 2) or 0
end

local function child_ended(parent, child, state)
  local key = 'JOB_KEY' .. parent
  redis.call('SREM', key .. ':children', child)
  local total = tonumber(redis.call('HGET', key, 'awaits') or '0')
  if total == 0 then return end
  local tolerant = redis.call('HGET', key, 'tolerant') == '1'
  if state ~= 'succeeded' and not tolerant then cancel_children(parent) end
  local left = redis.call('SCARD', key .. ':children')
  if not tolerant then report_children(key, parent, total, left) end
  if left > spare(key, total) then return end
  if redis.call('HGET', key, 'cancel_requested') then
    finish_job(key, parent, 'cancelled', 'error', [==[CANCELLED]==])
  else
    requeue(key, parent)
  end
end
""".replace("JOB_KEY", keys.job(""))

# KEYS: as every step, then the list of the project's jobs
# ARGV: attempt, 1 for a tolerant parent, number of children, then for each: id, number of its arguments, field, value …
# → a Standing, then the ids of jobs whose message is to be sent: new children, and the parent if it goes on at once.
# Children that are there already are left as they are, so that an attempt can repeat what another began.
AWAIT_BODY: Final = """
if not belongs_to_attempt() then return {0} end
if get('cancel_requested') then return {2} end
local found, tolerant, total, at = {1}, ARGV[4], tonumber(ARGV[5]), 6
for number = 1, total do
  local child, count = ARGV[at], tonumber(ARGV[at + 1])
  local key = 'JOB_KEY' .. child
  local state = redis.call('HGET', key, 'state')
  if not state then
    local time = stamp(now + number / 1000000)
    redis.call('HSET', key, unpack(ARGV, at + 2, at + 1 + count))
    redis.call('HSET', key, 'created_at', time, 'state', 'queued', 'resends', 0, 'list', KEYS[8])
    redis.call('ZADD', KEYS[8], time, child)
    redis.call('ZADD', waiting, time, child)
    redis.call('ZADD', resend, time, child)
    state = 'queued'
    found[#found + 1] = child
  end
  if state == 'queued' or state == 'running' then redis.call('SADD', job .. ':children', child) end
  at = at + 2 + count
end
local left = redis.call('SCARD', job .. ':children')
redis.call('HSET', job, 'awaits', total, 'holder', '', 'stuck', 0, 'tolerant', tolerant)
redis.call('ZADD', running, '+inf', id)
if tolerant ~= '1' then report_children(job, id, total, left) end
if left <= spare(job, total) then
  requeue(job, id)
  found[#found + 1] = id
end
return found
""".replace("JOB_KEY", keys.job(""))

# KEYS: FINISHED, JOBS, PAYLOADS    ARGV: prefix of job keys, id, id, …
# A record of an earlier version does not say which list has its job: it is JOBS.
# The parent has taken over what these children came to. A child that has not ended stays.
FORGET: Final = (
    GO_ON
    + """
for index = 2, #ARGV do
  local job = ARGV[1] .. ARGV[index]
  if redis.call('ZREM', KEYS[1], ARGV[index]) == 1 then
    redis.call('ZREM', redis.call('HGET', job, 'list') or KEYS[2], ARGV[index])
    redis.call('DEL', job, job .. ':events', job .. ':metrics')
    redis.call('ZADD', KEYS[3], 'XX', 0, ARGV[index])
  end
end
"""
)
