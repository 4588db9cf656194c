"""What workers announce in Redis, as atomic steps: a worker announces itself, the gateway reads who is there.

Announcements have no TTL, so an eviction policy for `volatile` keys cannot remove them. Their age comes from the clock
of Redis, because the clocks of hosts differ. Each announcement also forgets the workers that fell silent long ago.
"""

from __future__ import annotations

from typing import Final

from core.records import WorkerInfo
from core.state import keys

SILENT_SECONDS: Final = 10.0
"""A worker whose last announcement is older counts as gone."""

_FORGOTTEN_SECONDS = 100.0

# KEYS: WORKERS, worker    ARGV: id, announcement, seconds after which a silent worker is forgotten, key prefix
# The first write removes something, so Redis runs this script when its memory is full, too.
ANNOUNCE: Final = """
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local gone = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now - tonumber(ARGV[3]))
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - tonumber(ARGV[3]))
for _, id in ipairs(gone) do redis.call('DEL', ARGV[4] .. id) end
redis.call('SET', KEYS[2], ARGV[2])
redis.call('ZADD', KEYS[1], now, ARGV[1])
"""

# KEYS: WORKERS    ARGV: seconds, key prefix    → the announcements of the workers that are not silent
LIVE: Final = """
local time = redis.call('TIME')
local since = time[1] + time[2] / 1000000 - tonumber(ARGV[1])
local found = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], since, '+inf')) do
  local info = redis.call('GET', ARGV[2] .. id)
  if info then found[#found + 1] = info end
end
return found
"""


def announce_args(info: WorkerInfo) -> tuple[list[str], list[str]]:
    return (
        [keys.WORKERS, keys.worker(info.id)],
        [info.id, info.model_dump_json(), str(_FORGOTTEN_SECONDS), keys.worker("")],
    )


def live_args() -> tuple[list[str], list[str]]:
    return [keys.WORKERS], [str(SILENT_SECONDS), keys.worker("")]
