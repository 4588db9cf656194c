"""What a copy finds when it starts on data of another version: older data is brought up to date, newer data is refused,
in words and before any process runs on it.
"""

from __future__ import annotations

import json

from redis import Redis

from core.records import SCHEMA
from core.schema import IncompatibleData, open_data
from core.settings import Settings, get_settings
from core.storage import Store
from core.storage.identity import KEY
from launcher.redis_at_hand import NoRedis, redis_at_hand
from launcher.supervision.supervisor import CannotStart


def redis_url(redis: Redis) -> str:
    """The URL by which another process reaches the same Redis."""
    options = redis.connection_pool.connection_kwargs
    return f"unix://{options['path']}" if "path" in options else get_settings().jobs_redis


def prepare_data(settings: Settings) -> None:
    """Redis is looked at only where the store is of another version: each process looks at it when it starts. Raises:
    CannotStart."""
    store = Store.from_settings(settings)
    text = store.read_text(KEY)
    there = text is not None or (settings.data_dir / "redis").exists()
    if not there or (text is not None and json.loads(text).get("schema") == SCHEMA):
        return
    try:
        with redis_at_hand(settings) as redis:
            open_data(redis, redis, store)
    except IncompatibleData as error:
        raise CannotStart(str(error)) from error
    except NoRedis:
        return  # another copy is starting, or the configured Redis is away: both are said later
