from __future__ import annotations

import redis

from core.state.fullness import is_refusal

REFUSAL = "OOM command not allowed when used memory > 'maxmemory'."


def test_a_refusal_is_recognised_through_what_was_raised_from_it() -> None:
    outer = OSError("the queue cannot be reached")
    outer.__cause__ = redis.ResponseError(REFUSAL)
    assert is_refusal(redis.ResponseError(REFUSAL))
    assert is_refusal(outer)
    assert not is_refusal(redis.ResponseError("ERR unknown command"))
    assert not is_refusal(None)
