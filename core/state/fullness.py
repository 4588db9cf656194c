"""A Redis whose memory is full: how its refusals look, and what users are told.

At `maxmemory`, if nothing can be evicted, Redis refuses every command that may need memory. A script is refused at its
first such command, unless it has written before. So steps that end or go on with accepted work begin with `GO_ON`, and
Redis runs them even then; the step that accepts new work does not. What they add is bounded and small.
"""

from __future__ import annotations

from typing import Final

from core.errors import StorageUnavailable

GO_ON: Final = "redis.call('PERSIST', KEYS[1])\n"
"""A write that needs no memory and changes nothing: no key of ours that is passed first has a TTL."""

_REFUSAL = "command not allowed when used memory"


def is_refusal(error: BaseException | None) -> bool:
    """Whether Redis refused a command because its memory is full. Looks at what `error` was raised from, too."""
    while error is not None:
        if _REFUSAL in str(error):
            return True
        error = error.__cause__
    return False


def redis_full() -> StorageUnavailable:
    return StorageUnavailable(
        "Redis is full, so no new work is accepted. Accepted work goes on.",
        hint="Try again later. The operator can delete label sets, lower VIREO_JOB_TTL, VIREO_ANSWER_TTL or "
        "VIREO_MAX_FINISHED_BYTES, or raise Redis's maxmemory.",
    )
