"""The version of what is stored, in Redis and in the store. It is read at every start: older data is brought up to
date, newer data is refused.

| version | what changed |
|---|---|
| 1 | everything up to November 2026; no version is written anywhere |
| 2 | records of jobs, videos and feedback have `schema`; all vectors of a video are one key of the cache |

`vireo:schema` in Redis and `schema` in the store's `store.json` have the version. Gateways and `vireo up` migrate,
workers check only. A migration can be repeated, and several processes may run it at the same time.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from typing import Any, Final, cast

from redis import Redis
from redis.exceptions import NoPermissionError, RedisError

from core.errors import VireoError
from core.records import SCHEMA
from core.settings import Settings
from core.state import keys
from core.state.project_keys import ProjectKeys
from core.storage import Store
from core.storage.identity import KEY, store_id

log = logging.getLogger(__name__)

_BATCH: Final = 500  # records that are changed in one command
_SECONDS: Final = 30.0  # that Redis may take to answer


class IncompatibleData(Exception):
    """What is stored cannot be used by this version; the message says why and what to do."""


def open_data(redis: Redis, cache: Redis, store: Store) -> int:
    """Check the data, and bring it up to this version. Returns the version that it had: `SCHEMA` where there was none.

    `redis`, `cache`: decode responses. Raises: IncompatibleData, RedisError, StorageUnavailable.
    """
    in_redis, in_store = check_data(redis, store)
    for version in range(in_redis, SCHEMA):
        log.info("the data is brought from schema %d to schema %d", version, version + 1)
        _MIGRATIONS[version](redis, cache)
    redis.set(keys.SCHEMA, str(SCHEMA))
    if in_store < SCHEMA:
        store.write_text(KEY, json.dumps({"id": store_id(store), "schema": SCHEMA}))
    return in_redis


def check_data(redis: Redis, store: Store) -> tuple[int, int]:
    """The versions of the data in Redis and in the store. Raises: IncompatibleData, RedisError, StorageUnavailable."""
    if redis.exists(keys.RESTORING):
        raise IncompatibleData(
            "A backup is being restored into this Redis, or a restore has failed. Empty Redis and the store, and "
            "restore the backup again."
        )
    found = _version_of_redis(redis), _version_of_store(store)
    for place, version in zip(("Redis", "the store"), found, strict=True):
        if version > SCHEMA:
            raise IncompatibleData(
                f"The data in {place} was written by a newer Vireo (schema {version}); this one reads schema {SCHEMA} "
                "and earlier. Run the newer Vireo, or restore a backup that was made before the upgrade."
            )
    return found


def open_data_of(settings: Settings, *, migrate: bool = True) -> None:
    """Check the Redis and the store of the settings. One that does not answer is not checked: the service starts, and
    says that it is not ready. `migrate`: bring older data up to date. Raises: IncompatibleData."""
    redis, cache = (
        Redis.from_url(url, decode_responses=True, socket_connect_timeout=2.0, socket_timeout=_SECONDS)
        for url in (settings.jobs_redis, settings.cache_redis)
    )
    with redis, cache:
        try:
            store = Store.from_settings(settings)
            if migrate:
                open_data(redis, cache, store)
            else:
                check_data(redis, store)
        except (RedisError, VireoError, OSError) as error:
            log.warning("the version of the stored data is not checked: %s", error)


def _version_of_redis(redis: Redis) -> int:
    written = redis.get(keys.SCHEMA)
    if written is not None:
        return int(str(written))
    own = ProjectKeys()  # there was no other project before
    return 1 if redis.exists(own.jobs, own.videos, own.model_versions) else SCHEMA


def _version_of_store(store: Store) -> int:
    text = store.read_text(KEY)
    return 1 if text is None else int(json.loads(text).get("schema", 1))


def _to_2(redis: Redis, cache: Redis) -> None:
    """Records get a version. Vectors that cannot be found by their video are dropped: they are made again."""
    own = ProjectKeys()
    for ids, key in ((own.jobs, keys.job), (own.videos, own.video), (own.all_feedback, own.feedback)):
        _stamp(redis, cast(list[str], redis.zrange(ids, 0, -1)), key)
    try:
        for found in _batches(cache.scan_iter("vireo:cache:video:*", count=_BATCH)):
            cache.unlink(*found)
    except NoPermissionError:
        log.warning("the cache may not be listed: vectors of earlier versions stay until their time is over")


_MIGRATIONS: Final[dict[int, Callable[[Redis, Redis], None]]] = {1: _to_2}
"""Version → what brings data of this version to the next one."""

_STAMP: Final = """
for _, record in ipairs(KEYS) do
  if redis.call('EXISTS', record) == 1 then redis.call('HSETNX', record, 'schema', ARGV[1]) end
end
"""


def _stamp(redis: Redis, ids: list[str], key: Callable[[str], str]) -> None:
    stamp = redis.register_script(_STAMP)
    for found in _batches(iter(ids)):
        stamp(keys=[key(each) for each in found], args=["2"])


def _batches(names: Iterator[Any]) -> Iterator[list[Any]]:
    batch: list[Any] = []
    for name in names:
        batch.append(name)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
