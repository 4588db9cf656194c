"""A backup that is made while everything changes is whole, and a damaged one is not restored."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from core.backup import making
from core.backup.making import make_backup
from core.backup.manifest import FILES, MANIFEST, REDIS, STORE, BackupProblem, files_of
from core.backup.restoring import restore_backup
from core.backup.snapshot import Entry, read_snapshot
from core.records import SCHEMA
from core.state import keys
from core.state.project_keys import ProjectKeys
from core.state.video_records import RECORD, record_args
from core.storage import Store, blob_key
from tests.redis_server import serving_redis


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        yield client


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store((tmp_path / "store").as_uri(), tmp_path / "spool")


@pytest.fixture
def other(tmp_path: Path) -> Iterator[tuple[redis.Redis, Store]]:
    """An empty Redis and an empty store."""
    folder = tmp_path / "other"
    folder.mkdir()
    with serving_redis(folder) as socket, redis.Redis(unix_socket_path=str(socket), decode_responses=True) as client:
        yield client, Store((folder / "store").as_uri(), folder / "spool")


def add_video(client: redis.Redis, store: Store, content: bytes) -> str:
    """As a gateway does: the record first, then the bytes."""
    with store.stage() as staged:
        staged.write(content)
        sha256, own = staged.sha256, ProjectKeys(store.project)
        script_keys, args = record_args(sha256, len(content), 1.0, 2e9, own)
        client.register_script(RECORD)(keys=script_keys, args=args)
        store.publish(staged, blob_key(sha256))
    return sha256


def remove_video(client: redis.Redis, store: Store, sha256: str) -> None:
    """As a gateway does: the record and its place in the list go in one step."""
    own = ProjectKeys(store.project)
    with client.pipeline(transaction=True) as pipe:
        pipe.delete(own.video(sha256))
        pipe.zrem(own.videos, sha256)
        pipe.execute()
    store.delete(blob_key(sha256))


def videos(client: redis.Redis) -> set[str]:
    return {str(name).rpartition(":")[2] for name in client.scan_iter("vireo:*video:*")}


def blobs(store: Store) -> set[str]:
    return {key.rpartition("/")[2] for key in store.listing() if "blobs/" in key}


def test_everything_comes_back(
    client: redis.Redis, store: Store, other: tuple[redis.Redis, Store], tmp_path: Path
) -> None:
    own, acme = add_video(client, store, b"a"), add_video(client, store.of("acme"), b"b")
    store.write_text("registry/m/1/card.json", "{}")
    store.write_text("registry/m/aliases/production", "1")
    store.write_text("jobs/job_1/result.json", "{}")
    store.write_text("incoming/archive", "zip")
    client.hset(keys.job("job_1"), mapping={"state": "succeeded", "result_key": "jobs/job_1/result.json"})
    client.xadd(keys.events("job_1"), {"event": "end"})
    client.zadd(keys.FINISHED, {"job_1": 1.0})
    client.set("vireo:with-ttl", "x", ex=1000)
    client.set(keys.cached_vectors(own), "vectors")
    client.set("foreign", "x")
    made = make_backup(client, store, tmp_path / "backup")
    assert not (tmp_path / "backup").stat().st_mode & 0o077
    assert (made.files, made.bytes) == (6, 1 + 1 + 2 + 1 + 2 + 3)
    restored, place = other
    assert restore_backup(tmp_path / "backup", restored, place) == made
    assert {key: place.read(key) for key in place.listing()} == {key: store.read(key) for key in store.listing()}
    assert set(restored.keys()) == set(client.keys()) - {"foreign", keys.cached_vectors(own)}
    assert restored.hgetall(ProjectKeys("acme").video(acme)) == client.hgetall(ProjectKeys("acme").video(acme))
    assert restored.xrange(keys.events("job_1")) == client.xrange(keys.events("job_1"))
    assert 0 < int(restored.ttl("vireo:with-ttl")) <= 1000
    assert restored.ttl(ProjectKeys().video(own)) == -1


def test_what_comes_and_goes_meanwhile_is_whole_or_not_there(
    client: redis.Redis, store: Store, other: tuple[redis.Redis, Store], tmp_path: Path
) -> None:
    before = {add_video(client, store, b"before %d" % number) for number in range(20)}
    stop, answered = threading.Event(), list[str]()

    def traffic() -> None:
        number = 0
        while not stop.is_set():
            answered.append(add_video(client, store, b"video %d" % number))
            if number % 3 == 2:
                remove_video(client, store, answered[-2])
            number += 1

    thread = threading.Thread(target=traffic)
    thread.start()
    try:
        for number in range(5):
            known = before | {sha for sha in answered[:-5] if client.exists(ProjectKeys().video(sha))}
            directory = tmp_path / f"backup {number}"
            make_backup(client, store, directory)
            restored, place = other
            restored.flushall()
            for key in place.listing():
                place.delete(key)
            restore_backup(directory, restored, place)
            assert videos(restored) == blobs(place) == set(restored.zrange(ProjectKeys().videos, 0, -1))
            assert before <= videos(restored)
            assert len(known & videos(restored)) >= len(known) - 5
    finally:
        stop.set()
        thread.join()
    assert len(answered) > 20


def during(monkeypatch: pytest.MonkeyPatch, change: Callable[[], object], *, after: bool) -> None:
    """`change` happens between the first copy and the snapshot, or after the snapshot."""

    def snapshot(client: redis.Redis) -> list[Entry]:
        if not after:
            change()
        found = read_snapshot(client)
        if after:
            change()
        return found

    monkeypatch.setattr(making, "read_snapshot", snapshot)


@pytest.mark.parametrize("after", [False, True], ids=["before the snapshot", "after the snapshot"])
def test_a_video_that_is_deleted_meanwhile(
    client: redis.Redis, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    sha256 = add_video(client, store, b"a")
    during(monkeypatch, lambda: remove_video(client, store, sha256), after=after)
    make_backup(client, store, tmp_path / "backup")
    copied = {file.key for file in files_of(tmp_path / "backup")}
    assert copied == ({blob_key(sha256)} if after else set())
    assert (tmp_path / "backup" / STORE / blob_key(sha256)).exists() == after


def test_a_record_whose_bytes_did_not_arrive_is_not_restored(
    client: redis.Redis, store: Store, other: tuple[redis.Redis, Store], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    coming = hashlib.sha256(b"a").hexdigest()
    own = ProjectKeys()
    script_keys, args = record_args(coming, 1, 1.0, 2e9)
    client.register_script(RECORD)(keys=script_keys, args=args)
    client.hset(keys.job("job_0a"), mapping={"state": "succeeded", "result_key": "jobs/job_0a/result.json"})
    client.hset(keys.job("job_0b"), mapping={"state": "queued", "request_key": "jobs/job_0b/request.json"})
    client.zadd(keys.FINISHED, {"job_0a": 1.0})
    make_backup(client, store, tmp_path / "backup")
    restored, place = other
    restore_backup(tmp_path / "backup", restored, place)
    assert restored.exists(own.video(coming), own.videos, own.videos_created, keys.job("job_0a"), keys.FINISHED) == 0
    assert restored.exists(keys.job("job_0b"))


def test_an_alias_that_moves_meanwhile_is_the_new_one(
    client: redis.Redis, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key in ("registry/m/aliases/production", "registry/m/1/card.json"):
        store.write_text(key, "1")

    def change() -> None:
        store.write_text("registry/m/aliases/production", "2")
        store.delete_tree("registry/m/1", "card.json")

    during(monkeypatch, change, after=False)
    make_backup(client, store, tmp_path / "backup")
    assert (tmp_path / "backup" / STORE / "registry/m/aliases/production").read_text() == "2"
    assert {file.key for file in files_of(tmp_path / "backup")} == {"registry/m/aliases/production"}


def damage(name: str) -> Callable[[Path], object]:
    def change(directory: Path) -> None:
        (found,) = directory.glob(name)
        content = found.read_bytes()
        found.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))

    return change


def newer(directory: Path) -> None:
    manifest = json.loads((directory / MANIFEST).read_text())
    (directory / MANIFEST).write_text(json.dumps(manifest | {"schema": SCHEMA + 1}))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (damage(f"{STORE}/blobs/*"), "is damaged"),
        (damage(REDIS), "is damaged"),
        (damage(FILES), "is damaged"),
        (lambda directory: next((directory / STORE / "blobs").iterdir()).unlink(), "is missing"),
        (lambda directory: (directory / MANIFEST).unlink(), "interrupted"),
        (newer, "newer Vireo"),
    ],
    ids=["a file", "redis", "the list", "a missing file", "no manifest", "a newer one"],
)
def test_a_backup_that_is_not_whole_is_refused_before_anything_is_restored(
    client: redis.Redis,
    store: Store,
    other: tuple[redis.Redis, Store],
    tmp_path: Path,
    change: Callable[[Path], object],
    words: str,
) -> None:
    add_video(client, store, b"a")
    make_backup(client, store, tmp_path / "backup")
    change(tmp_path / "backup")
    restored, place = other
    with pytest.raises(BackupProblem, match=words):
        restore_backup(tmp_path / "backup", restored, place)
    assert (restored.keys(), place.listing()) == ([], {})


def test_nothing_is_overwritten(
    client: redis.Redis, store: Store, other: tuple[redis.Redis, Store], tmp_path: Path
) -> None:
    add_video(client, store, b"a")
    make_backup(client, store, tmp_path / "backup")
    with pytest.raises(BackupProblem, match="not empty"):
        make_backup(client, store, tmp_path / "backup")
    restored, place = other
    with pytest.raises(BackupProblem, match="Redis is not empty"):
        restore_backup(tmp_path / "backup", client, place)
    with pytest.raises(BackupProblem, match="store is not empty: it has 1 files"):
        restore_backup(tmp_path / "backup", restored, store)


def test_a_backup_that_fails_leaves_nothing(
    client: redis.Redis, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: redis.Redis) -> list[Entry]:
        raise redis.ConnectionError("away")

    monkeypatch.setattr(making, "read_snapshot", fail)
    add_video(client, store, b"a")
    with pytest.raises(redis.ConnectionError):
        make_backup(client, store, tmp_path / "backup")
    assert not (tmp_path / "backup").exists()
