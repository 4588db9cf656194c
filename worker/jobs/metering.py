"""Counts what jobs take, for the API key whose job the current thread works on."""

from __future__ import annotations

import logging

import redis

from core.access.keys import ApiKey
from core.access.quotas import Meter, Resource
from core.logs.belonging import KEY_ID
from core.state import keys

log = logging.getLogger(__name__)


class Metering:
    """A Redis that does not answer loses the count, but never an answer."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client
        self._meter = Meter(client.connection_pool)

    def count(self, resource: Resource, amount: float) -> None:
        """Nothing is counted for jobs without a key, and for a key that has been revoked."""
        if (key_id := KEY_ID.get()) is None:
            return
        try:
            if record := self._redis.hget(keys.API_KEYS, key_id):
                self._meter.count(key_id, ApiKey.model_validate_json(str(record)).quotas, {resource: amount})
        except redis.RedisError as error:
            log.warning("%.1f %s of the key %s are not counted: %s", amount, resource, key_id, error)
