"""`vireo gc` deletes what it says, says what it deletes, and touches nothing that is in use."""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from typing import Any

import pytest

from core.state import keys
from core.storage.partial import STALE_AFTER
from service.collection import GRACE, Waste, run
from tests.service.doubles import AnsweringWorker
from tests.service.sites import FILE, SHA, VIDEO, Site, sweep
from tests.waiting import wait_until

ID = f"vid_{SHA}"
LOST = hashlib.sha256(b"lost").hexdigest()


def gc(site: Site, *, dry: bool, **changes: Any) -> dict[str, Waste]:
    settings = site.settings.model_copy(update=changes)
    return {waste.name: waste for waste in asyncio.run(run(settings, dry=dry))}


def write(site: Site, key: str, content: str = "x", *, age: float = GRACE + 60) -> None:
    path = site.store / key
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    os.utime(path, (0, time.time() - age))


def test_what_would_go_goes_and_nothing_else(site: Site, worker: AnsweringWorker) -> None:
    with site.client() as http:
        expired = http.post("/v1/classify", data={"labels": "a"}, files={"video": VIDEO + b"1"}).json()
        kept = http.post("/v1/videos", files=FILE).json()["id"]
        fresh = http.post("/v1/classify", data={"labels": "a"}, files={"video": VIDEO + b"2"}).json()
    gone, job = expired["video"]["id"], expired["id"]
    site.redis.zadd(keys.VIDEOS, {gone.removeprefix("vid_"): time.time() - 1})
    site.redis.zadd(keys.FINISHED, {job: time.time() - 10 * site.settings.answer_ttl})
    write(site, f"blobs/{LOST}", "lost")
    write(site, f"projects/acme/blobs/{LOST}", "lost")
    write(site, f"jobs/{job}/result.json", "12345")
    site.redis.zadd(keys.PAYLOADS, {job: "+inf"})  # as whoever writes such a file does
    write(site, "jobs/job_0/result.json", "123")
    write(site, "runs/job_0/1.pt", "1234")
    write(site, "runs/job_1.pt", "1")
    write(site, "partial/a.part", "12", age=STALE_AFTER + 60)
    untouched = ["registry/m/1/card.json", "datasets/ds_1/dataset.json", "evaluations/job_0/report.json", "notes.txt"]
    for key in untouched:
        write(site, key)
    write(site, f"blobs/{hashlib.sha256(b'coming').hexdigest()}", age=60)  # an upload whose record comes
    write(site, f"runs/{fresh['id']}/1.pt")
    expected = {
        gone: ("video", len(VIDEO) + 1),
        f"blobs/{LOST}": ("blob", 4),
        f"projects/acme/blobs/{LOST}": ("blob", 4),
        "jobs/job_0/result.json": ("job files", 3),
        "runs/job_0/1.pt": ("checkpoint", 4),
        "runs/job_1.pt": ("checkpoint", 1),
        "a.part": ("partial", 2),
    }
    before = sorted(path for path in site.store.rglob("*") if path.is_file())
    found = gc(site, dry=True)
    record = found.pop(job)
    assert record.kind == "job"
    assert record.bytes > 5
    assert {name: (waste.kind, waste.bytes) for name, waste in found.items()} == expected
    assert sorted(path for path in site.store.rglob("*") if path.is_file()) == before
    assert site.redis.exists(keys.job(job))
    assert set(gc(site, dry=False)) == {job, *expected}
    left = {path.relative_to(site.store).as_posix() for path in site.store.rglob("*") if path.is_file()}
    blobs = {kept, fresh["video"]["id"], f"vid_{hashlib.sha256(b'coming').hexdigest()}"}
    assert {f"blobs/{name.removeprefix('vid_')}" for name in blobs} == {key for key in left if "blobs/" in key}
    assert {*untouched, f"runs/{fresh['id']}/1.pt"} <= left
    assert not any(key in left for key in expected)
    assert site.redis.exists(keys.job(job)) == 0
    assert gc(site, dry=False) == {}
    for key in (*untouched, f"runs/{fresh['id']}/1.pt"):
        (site.store / key).unlink()


def test_a_video_that_a_job_needs_stays_although_its_time_is_over(site: Site, worker: AnsweringWorker) -> None:
    worker.answer = lambda _: None
    with site.client() as http:
        headers = {"prefer": "respond-async"}
        http.post("/v1/classify", data={"labels": "a"}, files=FILE, headers=headers)
        items = [{"video_id": f"vid_{LOST}"}]
        http.post("/v1/batches", json={"items": items, "labels": ["a", "b"]}, headers=headers)
        wait_until(lambda: len(worker.seen) == 2)
        other = http.post("/v1/videos", files={"video": b"lost"}).json()["id"]
    for sha256 in (SHA, LOST):
        site.redis.hset(keys.video(sha256), "kept", "0")
        site.redis.zadd(keys.VIDEOS, {sha256: 1.0})
    assert other == f"vid_{LOST}"
    assert gc(site, dry=False) == {}
    sweep(site)
    assert site.blobs() == sorted([SHA, LOST])


@pytest.mark.parametrize("most", [2, 1, 0])
def test_the_least_recently_used_videos_make_room(site: Site, worker: AnsweringWorker, most: int) -> None:
    with site.client() as http:
        kept = http.post("/v1/videos", files=FILE).json()["id"]
        asked = [
            http.post("/v1/classify", data={"labels": "a"}, files={"video": VIDEO + bytes([number])}).json()["video"][
                "id"
            ]
            for number in (1, 2, 3)
        ]
        http.post(f"/v1/videos/{asked[0]}/classify", json={"labels": ["a"]})
    limit = len(VIDEO) + most * (len(VIDEO) + 1)
    gone = gc(site, dry=False, max_stored_bytes=limit)
    used_last = [asked[0], asked[2], asked[1]]
    assert set(gone) == set(used_last[most:])
    assert all("VIREO_MAX_STORED_BYTES" in waste.why for waste in gone.values())
    assert set(site.blobs()) == {name.removeprefix("vid_") for name in (kept, *used_last[:most])}
