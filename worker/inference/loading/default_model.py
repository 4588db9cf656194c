"""Which model answers requests that name none. It stands in Redis, so all workers give the same answer.

The first worker decides and holds the decision for all, as a lease that it renews while it lives. `auto` that had to
fall back to `lite` is looked at again by its holder every few minutes, because a model hub may come back.
"""

from __future__ import annotations

import json
import logging
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import redis

from core.settings import Settings
from core.state import keys
from models.files.bases import resolve_auto

log = logging.getLogger(__name__)

FALLBACK: Final = "lite"  # what `auto` means if CLIP cannot be loaded
LEASE_SECONDS: Final = 15  # after which the decision of a dead worker is void
BELIEVED_SECONDS: Final = 1.0  # without a look at Redis, which each question would wait for

# KEYS: DEFAULT_MODEL    ARGV: decision as JSON, seconds    → the decision in force
_TAKE = """
local held = redis.call('GET', KEYS[1])
if held then return held end
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
return ARGV[1]
"""

# KEYS: DEFAULT_MODEL    ARGV: decision as JSON, seconds, the name that it replaces    → the decision in force
_REPLACE = """
local held = redis.call('GET', KEYS[1])
if held and cjson.decode(held).name ~= ARGV[3] then return held end
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
return ARGV[1]
"""

# KEYS: DEFAULT_MODEL    ARGV: worker, seconds    → 1 if the decision is this worker's
_RENEW = """
local held = redis.call('GET', KEYS[1])
if not held or cjson.decode(held).worker ~= ARGV[1] then return 0 end
if tonumber(ARGV[2]) > 0 then redis.call('EXPIRE', KEYS[1], ARGV[2]) else redis.call('DEL', KEYS[1]) end
return 1
"""


@dataclass(frozen=True, slots=True)
class Choice:
    name: str
    reason: str | None  # why `auto` chose it; None if it is configured
    auto: bool

    @classmethod
    def parse(cls, text: str) -> Choice:
        data = json.loads(text)
        return cls(data["name"], data.get("reason"), bool(data.get("auto")))


class DefaultModel:
    """While Redis does not answer, the last known decision stays."""

    def __init__(self, client: redis.Redis, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        """`client` must decode responses."""
        self._clock = clock
        self._believed_until = 0.0
        self._settings = settings
        self._id = secrets.token_hex(8)
        self._redis = client
        self._take = client.register_script(_TAKE)
        self._replace = client.register_script(_REPLACE)
        self._renew = client.register_script(_RENEW)
        self._lock = threading.Lock()
        self._own: Choice | None = None
        self._known: Choice | None = None

    @property
    def known(self) -> Choice | None:
        """The decision as it was last seen, without a look at Redis."""
        return self._known

    def current(self) -> Choice:
        """The decision in force, as it was a moment ago at most. If there is none, this worker decides."""
        if self._known and self._clock() < self._believed_until:
            return self._known
        return self._ask(lambda: self._redis.get(keys.DEFAULT_MODEL) or self._call(self._take, self._decide()))

    def fall_back(self, failed: Choice, why: str) -> Choice | None:
        """The decision in force after this worker could not load `failed`. None if nothing can replace it: only `auto`
        has a fallback."""
        if not failed.auto or failed.name == FALLBACK:
            return None
        fallback = Choice(FALLBACK, f"{failed.name} could not be loaded ({why})", auto=True)
        with self._lock:
            self._own = fallback
        return self._ask(lambda: self._call(self._replace, fallback, failed.name))

    def hold(self) -> bool:
        """Renew the lease. Returns whether the decision is this worker's."""
        return self._renewed(LEASE_SECONDS)

    def release(self) -> None:
        """Leave the decision to another worker."""
        self._renewed(0)

    def better(self) -> Choice | None:
        """What `auto` would choose now, if this worker holds a fallback; it may take five seconds. None if there is
        nothing better."""
        own = self._own
        if own is None or not own.auto or own.name != FALLBACK or not self.hold():
            return None
        name, reason = resolve_auto(self._settings.data_dir, self._settings.weights)
        return Choice(name, reason, auto=True) if name != FALLBACK else None

    def adopt(self, choice: Choice) -> None:
        """Replace the fallback that this worker holds, for all workers."""
        with self._lock:
            self._own = choice
        self._ask(lambda: self._call(self._replace, choice, FALLBACK))

    def _decide(self) -> Choice:
        with self._lock:
            if self._own is None:
                self._own = Choice(self._settings.model, None, auto=False)
                if self._settings.model == "auto":
                    self._own = Choice(*resolve_auto(self._settings.data_dir, self._settings.weights), auto=True)
            return self._own

    def _ask(self, read: Callable[[], Any]) -> Choice:
        try:
            choice = Choice.parse(read())
        except redis.RedisError as error:
            log.warning("the default model was not read from Redis: %s", error)
            choice = self._known or self._decide()
        own = self._own
        if self._known != choice and own and own.name != choice.name:
            log.warning("requests that name no model are answered by %s, as another worker decided", choice.name)
        self._known, self._believed_until = choice, self._clock() + BELIEVED_SECONDS
        return choice

    def _call(self, script: Any, choice: Choice, *args: str) -> str:
        decision = {"name": choice.name, "reason": choice.reason, "auto": choice.auto, "worker": self._id}
        return str(script(keys=[keys.DEFAULT_MODEL], args=[json.dumps(decision), LEASE_SECONDS, *args]))

    def _renewed(self, seconds: int) -> bool:
        try:
            return bool(self._renew(keys=[keys.DEFAULT_MODEL], args=[self._id, seconds]))
        except redis.RedisError as error:
            log.warning("the lease of the default model was not renewed: %s", error)
            return False
