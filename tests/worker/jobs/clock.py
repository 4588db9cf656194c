"""Time passes for jobs without waiting: all stored times of the queues move into the past."""

from __future__ import annotations

from collections.abc import Callable

import redis

from core.state import keys
from core.state.queues import TASKS

_SHIFT = """
for _, key in ipairs(KEYS) do
  local entries = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES')
  for index = 1, #entries, 2 do
    redis.call('ZADD', key, string.format('%.6f', entries[index + 1] - ARGV[1]), entries[index])
  end
end
"""
_TIMED: tuple[Callable[[str], str], ...] = (keys.waiting, keys.running, keys.resend)


def elapse(client: redis.Redis, seconds: float) -> None:
    client.eval(_SHIFT, len(TASKS) * len(_TIMED), *(key(queue) for queue in TASKS for key in _TIMED), seconds)
