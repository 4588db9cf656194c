"""Older data is brought up to date, newer data is refused in words. `tests/e2e/test_upgrade.py` does it with the data
directory of an earlier release."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from core.records import SCHEMA
from core.schema import IncompatibleData, check_data, open_data
from core.state import keys
from core.state.project_keys import ProjectKeys
from core.storage import Store
from core.storage.identity import KEY, store_id

OWN = ProjectKeys()


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        yield client


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store((tmp_path / "store").as_uri(), tmp_path / "spool")


def test_new_data_gets_this_version(client: redis.Redis, store: Store) -> None:
    assert open_data(client, client, store) == SCHEMA
    assert client.get(keys.SCHEMA) == str(SCHEMA)
    assert json.loads(store.read_text(KEY) or "") == {"id": store_id(store), "schema": SCHEMA}


def test_data_without_a_version_is_migrated(client: redis.Redis, store: Store) -> None:
    before = store_id(store)
    for ids, name in ((OWN.jobs, keys.job("a")), (OWN.videos, OWN.video("a")), (OWN.all_feedback, OWN.feedback("a"))):
        client.zadd(ids, {"a": 1.0, "gone": 2.0})
        client.hset(name, "id", "a")
    client.set("vireo:cache:video:digest", "vectors")
    client.set(keys.cached_row("row"), "row")
    assert open_data(client, client, store) == 1
    assert [client.hget(name, "schema") for name in (keys.job("a"), OWN.video("a"), OWN.feedback("a"))] == ["2"] * 3
    assert client.exists(keys.job("gone"), "vireo:cache:video:digest") == 0
    assert client.exists(keys.cached_row("row"))
    assert store_id(store) == before
    assert open_data(client, client, store) == SCHEMA


@pytest.mark.parametrize("place", ["Redis", "the store"])
def test_newer_data_is_refused_and_stays_as_it_is(client: redis.Redis, store: Store, place: str) -> None:
    if place == "Redis":
        client.set(keys.SCHEMA, str(SCHEMA + 1))
    else:
        store.write_text(KEY, json.dumps({"id": "store_1", "schema": SCHEMA + 1}))
    before = (client.get(keys.SCHEMA), store.read_text(KEY))
    for look in (lambda: open_data(client, client, store), lambda: check_data(client, store)):
        with pytest.raises(IncompatibleData, match=f"in {place} was written by a newer Vireo .schema {SCHEMA + 1}"):
            look()
    assert (client.get(keys.SCHEMA), store.read_text(KEY)) == before


def test_a_restore_that_failed_is_refused(client: redis.Redis, store: Store) -> None:
    client.set(keys.RESTORING, "1")
    with pytest.raises(IncompatibleData, match="a restore has failed"):
        open_data(client, client, store)
