"""Which requests are sent again after an error, and when."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final

from vireo.errors import ConnectionFailed, ConnectionLost, VireoError

_BUSY: Final = (429, 503)
"""Statuses with which a server refuses a request before it does anything."""

_FIRST_PAUSE: Final = 0.25  # seconds; the next ones are twice as long each
_LONGEST_PAUSE: Final = 8.0


@dataclass(frozen=True, slots=True)
class Retries:
    """At most `attempts` more attempts, between which a call waits for `seconds` in all."""

    attempts: int = 3
    seconds: float = 60.0

    def pause(self, error: VireoError, done: int, waited: float, *, repeatable: bool) -> float | None:
        """Seconds until the next attempt; None if there is none.

        `done`: attempts that were repeated already; `waited`: seconds between them. `repeatable`: whether it does no
        harm to send a request again that may have arrived.
        """
        may_help = self._was_refused(error) or (repeatable and isinstance(error, ConnectionLost))
        if done >= self.attempts or not may_help:
            return None
        backoff = min(_FIRST_PAUSE * 2**done, _LONGEST_PAUSE) * random.uniform(0.75, 1.25)  # noqa: S311 -- no secret
        pause = backoff if error.retry_after is None else error.retry_after
        return pause if waited + pause <= self.seconds else None

    @staticmethod
    def _was_refused(error: VireoError) -> bool:
        """Whether the request was certainly not carried out. A job that failed would fail again for the same key."""
        return (error.answered in _BUSY and error.job is None) or (
            isinstance(error, ConnectionFailed) and not isinstance(error, ConnectionLost)
        )
