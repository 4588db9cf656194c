"""A deleted video takes everything with it that the store and Redis have of it, also where that takes two attempts."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from core.batches.files import BatchFiles
from core.batches.manifest import BatchItem
from core.batches.redaction import DELETED
from core.batches.rows import BatchRow, row_of
from core.errors import Cancelled, StorageUnavailable
from core.state import keys
from core.state.payloads import OWN, PayloadName, Payloads
from tests.service.doubles import AnsweringWorker, classification
from tests.service.sites import FILE, SHA, VIDEO, Site, error, sweep
from tests.waiting import wait_until

ID = f"vid_{SHA}"
OTHER = VIDEO + b"\x01"
OTHER_SHA = hashlib.sha256(OTHER).hexdigest()


def everything(site: Site) -> Iterator[tuple[str, str]]:
    """Names and contents of all keys of Redis and of all files of the store."""
    raw = redis.Redis(connection_pool=redis.ConnectionPool.from_url(_url(site)))
    for key in raw.scan_iter("*"):
        yield f"redis {key.decode()}", (raw.dump(key) or b"").decode("latin-1") + repr(_value(raw, key))
    for path in site.store.rglob("*"):
        if path.is_file():
            yield str(path.relative_to(site.store)), path.read_bytes().decode("latin-1")


def _url(site: Site) -> str:
    return site.settings.jobs_redis


def _value(raw: redis.Redis, key: bytes) -> Any:
    readers: dict[Any, Callable[[], Any]] = {
        b"string": lambda: raw.get(key),
        b"hash": lambda: raw.hgetall(key),
        b"list": lambda: raw.lrange(key, 0, -1),
        b"set": lambda: raw.smembers(key),
        b"zset": lambda: raw.zrange(key, 0, -1),
        b"stream": lambda: raw.xrange(key),
    }
    return readers[raw.type(key)]()


def traces(site: Site, sha256: str = SHA) -> list[str]:
    return [name for name, content in everything(site) if sha256 in name or sha256 in content]


def ask(site: Site, content: bytes = VIDEO) -> str:
    with site.client() as http:
        answer = http.post("/v1/classify", data={"labels": "a"}, files={"video": content})
        job: str = answer.json()["id"]
        return job


def move_into_store(site: Site, job_id: str) -> None:
    """As a job whose request and result are large."""
    payloads = Payloads(site.gateway.store, 10)
    names: tuple[PayloadName, ...] = ("request", "result")
    for name in names:
        written = payloads.write(job_id, name, str(site.redis.hget(keys.job(job_id), name)))
        site.redis.hset(keys.job(job_id), written.field, written.text)
        site.redis.hdel(keys.job(job_id), name)
    own_files(site, job_id)


def own_files(site: Site, job_id: str) -> None:
    site.redis.register_script(OWN)(keys=[keys.PAYLOADS], args=[job_id])


def test_nothing_in_redis_or_in_the_store_mentions_a_deleted_video(site: Site, worker: AnsweringWorker) -> None:
    kept = ask(site, OTHER)
    with site.client() as http:
        http.post("/v1/videos", files=FILE, data={"tags": '["hall"]', "metadata": '{"camera": "3"}'})
        asked = [ask(site), ask(site)]
        move_into_store(site, asked[1])
        embedded = http.post("/v1/embeddings", json={"video_id": ID}, headers={"idempotency-key": "k"}).json()["id"]
        explained = http.post(f"/v1/videos/{ID}/explain", json={"labels": ["a", "b"]}).json()["id"]
        Payloads(site.gateway.store, 1024).write_picture(explained, "attention.png", b"a picture of it")
        own_files(site, explained)
        http.post("/v1/feedback", json={"job": asked[0], "confirmed": True})
        site.redis.hset(keys.cached_vectors(SHA), "k", "vectors")
        assert {name.partition("/")[0] for name in traces(site)} > {"blobs", "jobs", f"redis vireo:video:{SHA}"}
        assert http.delete(f"/v1/videos/{ID}").status_code == 204
        assert traces(site) == [], traces(site)
        assert not list(site.store.glob(f"jobs/{explained}/*"))
        for job in (*asked, embedded, explained):
            error(http.get(f"/v1/jobs/{job}"), 404, "unknown_job")
        assert http.get(f"/v1/jobs/{kept}").json()["result"]["video"]["id"] == f"vid_{OTHER_SHA}"
        assert http.get(f"/v1/videos/vid_{OTHER_SHA}").status_code == 200


def test_a_video_whose_time_is_over_leaves_its_answers(site: Site, worker: AnsweringWorker) -> None:
    job = ask(site)
    site.redis.hset(keys.cached_vectors(SHA), "k", "vectors")
    site.redis.zadd(keys.VIDEOS, {SHA: 1.0})
    sweep(site)
    assert site.blobs() == []
    assert site.redis.exists(keys.video(SHA), keys.cached_vectors(SHA), keys.VIDEOS_LEAVING) == 0
    with site.client() as http:
        assert http.get(f"/v1/jobs/{job}").json()["result"]["video"]["id"] == ID


def test_a_question_about_a_deleted_video_is_cancelled(site: Site, worker: AnsweringWorker) -> None:
    worker.answer = lambda _: None
    later = {"prefer": "respond-async"}
    with site.client() as http:
        http.post("/v1/videos", files=FILE)
        running = http.post(f"/v1/videos/{ID}/classify", json={"labels": ["a"]}, headers=later).json()["id"]
        wait_until(lambda: http.get(f"/v1/jobs/{running}").json()["state"] == "running")
        assert http.delete(f"/v1/videos/{ID}").status_code == 204
        wait_until(lambda: running in worker.cancelled)
        assert set(traces(site)) == {f"redis {keys.job(running)}", f"redis {keys.VIDEOS_LEAVING}"}
        worker.finish(running, Cancelled("The job was cancelled."))
        sweep(site)
        error(http.get(f"/v1/jobs/{running}"), 404, "unknown_job")
    assert traces(site) == []


def test_a_deletion_that_was_interrupted_is_continued(
    site: Site, worker: AnsweringWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask(site)
    with site.client() as http, monkeypatch.context() as broken:

        def fail(_: str) -> None:
            raise StorageUnavailable("The store is away.")

        broken.setattr(site.gateway.store, "delete", fail)
        error(http.delete(f"/v1/videos/{ID}"), 503, "storage_unavailable")
        error(http.get(f"/v1/videos/{ID}"), 404, "unknown_video")
    assert site.blobs() == [SHA]
    sweep(site)
    assert traces(site) == []


def test_a_video_that_is_back_keeps_its_bytes_and_its_new_answers(site: Site, worker: AnsweringWorker) -> None:
    ask(site)
    site.redis.zadd(keys.VIDEOS_LEAVING, {SHA: 1.0})  # it was deleted long ago, and the gateway died
    sweep(site)
    assert site.blobs() == [SHA]
    assert len([name for name in traces(site) if name.startswith("redis vireo:job:")]) == 1
    assert site.redis.exists(keys.VIDEOS_LEAVING) == 0


def test_rows_of_a_batch_lose_a_deleted_video(site: Site, worker: AnsweringWorker) -> None:
    items = [{"video_id": ID, "id": f"file of {SHA}"}, {"video_id": f"vid_{OTHER_SHA}", "id": "b"}]
    question = {"items": items, "labels": ["a cat", "a dog"]}
    worker.answer = lambda job: {"items": 2} if job.kind == "batch" else classification(job)
    with site.client() as http:
        http.post("/v1/videos", files=FILE)
        ask(site, OTHER)
        batch = http.post("/v1/batches", json=question, headers={"prefer": "wait=5"}).json()["id"]
        files = BatchFiles(site.gateway.store, batch)
        stored = [
            BatchItem(index=number, id=item["id"], source=item["video_id"], sha256=item["video_id"][4:])
            for number, item in enumerate(items)
        ]
        files.write_items(stored)
        answers = [
            {"model": "lite", "video": {"id": item.source, "duration": 1, "width": 1, "height": 1, "codec": ""}}
            for item in stored
        ]
        files.write_rows([row_of(item, answer, None) for item, answer in zip(stored, answers, strict=True)])
        http.delete(f"/v1/videos/{ID}")
        rows = [BatchRow.model_validate_json(line) for line in files.rows()]
    assert traces(site) == []
    assert (rows[0].index, rows[0].id, rows[0].source, rows[0].video) == (0, None, None, None)
    assert rows[0].error == DELETED
    assert rows[1].video is not None
    assert rows[1].video.id == f"vid_{OTHER_SHA}"


def test_workers_are_told_of_every_removed_video(site: Site) -> None:
    with site.redis.pubsub(ignore_subscribe_messages=True) as channel:  # type: ignore[no-untyped-call]
        channel.subscribe(keys.DELETED_CHANNEL)
        channel.get_message(timeout=1.0)
        with site.client() as http:
            http.post("/v1/videos", files=FILE)
            http.delete(f"/v1/videos/{ID}")
        wait_until(lambda: (channel.get_message(timeout=0.1) or {}).get("data") == SHA)


def test_the_append_only_file_forgets_a_deleted_video(site: Site, redis_socket: Any) -> None:
    log = redis_socket.parent / "appendonly.aof"
    with site.client() as http:
        http.post("/v1/videos", files=FILE)
        http.delete(f"/v1/videos/{ID}")
    assert SHA.encode() in log.read_bytes()

    def forgotten() -> bool:
        sweep(site)  # the first one does nothing if Redis is writing the file anew already
        return SHA.encode() not in log.read_bytes()

    wait_until(forgotten)
    assert site.redis.exists(keys.REWRITE) == 0
