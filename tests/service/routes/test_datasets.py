from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import httpx2
import pytest

from core.datasets import Finding
from core.records import Job
from core.state import keys
from tests.service.doubles import AnsweringWorker, answering
from tests.service.library import DATASET, Library
from tests.service.sites import VIDEO, Site, error, sweeper_of
from tests.waiting import wait_until

Serve = Callable[..., AbstractContextManager[Site]]

ARCHIVE = b"PK\x03\x04 nobody here opens it"
SHA = hashlib.sha256(ARCHIVE).hexdigest()


def incoming(site: Site) -> list[str]:
    return sorted(path.name for path in (site.store / "incoming").glob("*"))


def request_of(site: Site, job_id: str) -> dict[str, Any]:
    return site.run(site.gateway.jobs.get(job_id)).request


@pytest.mark.parametrize(
    ("send", "name"),
    [
        ({"files": {"archive": ("my gym.zip", ARCHIVE)}}, "my gym"),
        ({"files": {"archive": ("C:\\data\\gym.tar.gz", ARCHIVE)}}, "gym.tar"),
        ({"files": {"archive": ("x.zip", ARCHIVE)}, "data": {"name": "other"}}, "other"),
        ({"content": ARCHIVE, "headers": {"content-type": "application/zip"}, "params": {"name": "gym"}}, "gym"),
        ({"content": ARCHIVE, "headers": {"content-type": "application/x-www-form-urlencoded"}}, "dataset"),  # curl -d
        ({"content": ARCHIVE, "headers": {"content-type": ""}}, "dataset"),  # curl -T
        ({"content": iter([ARCHIVE[:5], ARCHIVE[5:]]), "headers": {"content-type": "application/x-tar"}}, "dataset"),
    ],
)
def test_all_ways_to_send_an_archive(
    http: httpx2.Client, site: Site, library: Library, send: dict[str, Any], name: str
) -> None:
    answer = http.post("/v1/datasets", **send)
    assert answer.status_code == 202, answer.text
    job = answer.json()
    assert (job["kind"], job["state"]) == ("dataset", "queued")
    assert answer.headers["location"] == f"/v1/jobs/{job['id']}"
    assert job["links"]["events"] == f"/v1/jobs/{job['id']}/events"
    assert job["request"] == {"name": name, "split_seed": 0, "val_fraction": 0.2}  # its key in the store is not shown
    key = request_of(site, job["id"])["archive"]
    assert key.startswith(f"incoming/{SHA}")
    assert (site.store / key).read_bytes() == ARCHIVE
    assert site.partial_files() == []


def test_the_job_reaches_the_datasets_worker(http: httpx2.Client, site: Site, library: Library, redis_url: str) -> None:
    def prepare(job: Job) -> dict[str, Any]:
        made = library.dataset()
        return {"dataset": made.id, "name": made.name}

    with answering(redis_url, prepare, keys.DATASETS):
        answer = http.post("/v1/datasets", content=ARCHIVE, headers={"prefer": "wait=10"})
    assert answer.status_code == 200, answer.text
    assert (answer.json()["state"], answer.json()["result"]["dataset"]) == ("succeeded", DATASET)


@pytest.mark.parametrize(
    ("send", "status", "code", "field"),
    [
        ({"data": {"name": "x"}, "files": {"video": ("a", b"x")}}, 422, "invalid_request", "video"),
        ({"data": {"archive": "x"}, "files": {"archive": ("a", b"")}}, 422, "invalid_request", "archive"),
        ({"files": {"archive": ("a", ARCHIVE)}, "data": {"val_fraction": "0.9"}}, 422, "invalid_request", None),
        ({"files": {"archive": ("a", ARCHIVE)}, "data": {"split_seed": "-1"}}, 422, "invalid_request", "split_seed"),
        ({"content": ARCHIVE, "params": {"nme": "x"}}, 422, "invalid_request", "nme"),
        ({"files": {"archive": ("a", b"")}}, 422, "invalid_archive", None),
        ({"content": b""}, 422, "invalid_archive", None),
        ({"json": {"archive": "x"}}, 422, "invalid_request", "archive"),
        ({"content": b"x", "headers": {"content-type": "video/mp4"}}, 415, "unsupported_media_type", None),
        ({"files": {"archive": ("a", ARCHIVE)}, "headers": {"idempotency-key": ""}}, 422, "invalid_request", None),
    ],
)
def test_requests_without_a_valid_archive(
    http: httpx2.Client,
    site: Site,
    library: Library,
    send: dict[str, Any],
    status: int,
    code: str,
    field: str | None,
) -> None:
    found = error(http.post("/v1/datasets", **send), status, code)
    assert field is None or found["details"]["field"] == field
    assert (incoming(site), site.partial_files()) == ([], [])
    assert http.get("/v1/jobs").json()["data"] == []


def test_archives_have_a_limit_of_their_own(serve: Serve) -> None:
    with serve(max_archive_bytes=3_000_000, max_upload_bytes=1000) as site, site.client() as http:
        assert http.post("/v1/datasets", content=bytes(3_000_000)).status_code == 202
        announced = error(http.post("/v1/datasets", content=bytes(3_000_001)), 413, "request_too_large")
        assert announced["details"] == {"limit": 3_000_000}

        def endless() -> Iterator[bytes]:
            for _ in range(100):
                yield bytes(1_000_000)

        error(http.post("/v1/datasets", content=endless()), 413, "request_too_large")
        error(http.post("/v1/datasets", files={"archive": ("a.zip", bytes(3_000_001))}), 413, "request_too_large")
        assert site.partial_files() == []
        assert len(incoming(site)) == 1


def test_a_repeat_is_the_same_job_and_leaves_one_archive(http: httpx2.Client, site: Site, library: Library) -> None:
    headers = {"idempotency-key": "k"}
    first = http.post("/v1/datasets", files={"archive": ("a.zip", ARCHIVE)}, headers=headers).json()
    again = http.post("/v1/datasets", files={"archive": ("a.zip", ARCHIVE)}, headers=headers).json()
    assert first["id"] == again["id"]
    error(http.post("/v1/datasets", files={"archive": ("a.zip", b"other")}, headers=headers), 409, "conflict")
    assert len(incoming(site)) == 1
    other = http.post("/v1/datasets", files={"archive": ("a.zip", ARCHIVE)}).json()
    assert other["id"] != first["id"]
    assert len(incoming(site)) == 2  # each job deletes its own archive after reading it


def test_a_full_queue_is_reported_before_the_upload(serve: Serve) -> None:
    with serve(queue_limit=1) as site, site.client() as http:
        http.post("/v1/datasets", content=ARCHIVE)
        sent = 0

        def counted() -> Iterator[bytes]:
            nonlocal sent
            for _ in range(500):
                sent += 1 << 20
                yield bytes(1 << 20)

        error(http.post("/v1/datasets", content=counted()), 429, "queue_full")
        assert sent < 500 << 20
        # Questions have another queue, so they are refused for another reason: no worker is running.
        assert http.post("/v1/classify", json={"labels": ["a"], "base64": "AAAA"}).status_code == 503


def test_archives_that_no_job_will_read_are_deleted(http: httpx2.Client, site: Site, library: Library) -> None:
    kept = http.post("/v1/datasets", content=ARCHIVE).json()["id"]
    ended = http.post("/v1/datasets", content=ARCHIVE).json()["id"]
    http.post(f"/v1/jobs/{ended}/cancel")
    library.store.write_text("incoming/of-a-gateway-that-died", "x")
    key, other = (request_of(site, job)["archive"] for job in (kept, ended))
    library.store.write_text(f"{key}.0.0.2.receipt", "a worker's note")
    sweeper = sweeper_of(site)
    sweeper.run_once()
    found = {f"incoming/{name}" for name in incoming(site)}
    assert found >= {key, other, f"{key}.0.0.2.receipt", "incoming/of-a-gateway-that-died"}  # jobs may be created yet
    sweeper.run_once()
    assert [f"incoming/{name}" for name in incoming(site)] == [key, f"{key}.0.0.2.receipt"]


def test_datasets_are_shown_listed_and_deleted(http: httpx2.Client, library: Library) -> None:
    ids = [f"ds_{digit * 24}" for digit in "abc"]
    for dataset_id in ids:
        library.dataset(dataset_id)
    shown = http.get(f"/v1/datasets/{ids[0]}").json()
    assert [c["name"] for c in shown["classes"]] == ["boxing", "running", "swimming"]
    assert (shown["splits"], shown["items"], shown["report"]) == ({"train": 9, "val": 2}, None, [])
    assert shown["links"]["self"] == f"/v1/datasets/{ids[0]}"
    assert len(http.get(f"/v1/datasets/{ids[0]}", params={"items": "true"}).json()["items"]) == 11
    page = http.get("/v1/datasets", params={"limit": 2}).json()
    assert [d["id"] for d in page["data"]] == ids[:2]
    rest = http.get("/v1/datasets", params={"limit": 2, "cursor": page["next"]}).json()
    assert ([d["id"] for d in rest["data"]], rest["next"]) == (ids[2:], None)
    assert http.delete(f"/v1/datasets/{ids[0]}").status_code == 204
    assert error(http.get(f"/v1/datasets/{ids[0]}"), 404, "unknown_dataset")
    for unknown in ("ds_1", "..", f"ds_{'d' * 24}"):
        assert http.delete(f"/v1/datasets/{unknown}").status_code == 404
    near = error(http.get(f"/v1/datasets/{ids[1][:-1]}x"), 404, "unknown_dataset")
    assert near["details"]["nearest"] == [ids[1]]


def test_a_dataset_in_use_is_not_deleted(http: httpx2.Client, library: Library) -> None:
    library.dataset()
    job_id = http.post("/v1/training-jobs", json={"name": "gym", "dataset": DATASET}).json()["id"]
    assert error(http.delete(f"/v1/datasets/{DATASET}"), 409, "conflict")["details"]["jobs"] == [job_id]
    http.post(f"/v1/jobs/{job_id}/cancel")
    assert http.delete(f"/v1/datasets/{DATASET}").status_code == 204


def test_progress_says_that_no_worker_is_running(http: httpx2.Client, site: Site, redis_url: str) -> None:
    job_id = http.post("/v1/datasets", content=ARCHIVE).json()["id"]
    waits = http.get(f"/v1/jobs/{job_id}").json()["progress"]
    assert waits["jobs_before"] == 0
    assert "no datasets worker is running" in waits["waiting_for"]
    worker = AnsweringWorker(redis_url, lambda _: None, keys.DATASETS)
    worker.announce("starting", "unpacking itself")
    assert "unpacking itself" in http.get(f"/v1/jobs/{job_id}").json()["progress"]["waiting_for"]
    worker.announce()
    assert http.get(f"/v1/jobs/{job_id}").json()["progress"] == {"jobs_before": 0}
    worker.start()
    wait_until(lambda: http.get(f"/v1/jobs/{job_id}").json()["state"] == "running")
    worker.report(job_id, "progress", {"phase": "preparing"}, {"phase": "preparing", "epoch": 0.0})
    assert http.get(f"/v1/jobs/{job_id}").json()["progress"] == {"phase": "preparing", "epoch": 0.0}
    worker.stop()


def test_a_field_of_the_form_wins_over_the_query(http: httpx2.Client, site: Site, library: Library) -> None:
    form = {"archive": ("a.zip", b"PK", "application/zip")}
    made = http.post("/v1/datasets?name=query&split_seed=3", files=form, data={"name": "form"})
    assert made.status_code == 202, made.text
    assert (made.json()["request"]["name"], made.json()["request"]["split_seed"]) == ("form", 3)


def test_a_preview_is_a_job_of_its_own(http: httpx2.Client, site: Site, library: Library) -> None:
    library.dataset()
    answer = http.post(f"/v1/datasets/{DATASET}/preview", json={"base": "lite", "seed": 3})
    assert answer.status_code == 202, answer.text
    job = answer.json()
    assert (job["kind"], job["state"]) == ("preview", "queued")
    request = request_of(site, job["id"])
    assert (request["dataset"], request["base"], request["seed"]) == (DATASET, "lite", 3)
    assert site.redis.zcard(keys.waiting(keys.TRAINING)) == 1
    assert error(http.delete(f"/v1/datasets/{DATASET}"), 409, "conflict")["details"]["jobs"] == [job["id"]]
    refused = error(http.post(f"/v1/datasets/{DATASET}/preview", json={"split_column": "1"}), 422, "invalid_request")
    assert refused["details"]["field"] == "split_column"


@pytest.mark.parametrize(
    ("counts", "status", "code"),
    [
        ({"boxing": (3, 1)}, 422, "invalid_training"),
        ({"boxing": (3, 1), "running": (0, 2)}, 422, "invalid_training"),
        ({"boxing": (1, 1), "running": (1, 1)}, 202, ""),
    ],
)
def test_a_preview_needs_two_classes(
    http: httpx2.Client, library: Library, counts: dict[str, tuple[int, int]], status: int, code: str
) -> None:
    library.dataset(counts=counts)
    answer = http.post(f"/v1/datasets/{DATASET}/preview", json={})
    assert answer.status_code == status, answer.text
    assert not code or answer.json()["error"]["code"] == code


def test_a_preview_of_clips_that_cannot_be_decoded_shows_the_datasets_own_report(
    http: httpx2.Client, library: Library
) -> None:
    broken = Finding(code="undecodable", severity="error", message="No clip can be decoded.", count=3)
    library.dataset(report=(broken,))
    refused = error(http.post(f"/v1/datasets/{DATASET}/preview", json={}), 422, "invalid_dataset")
    assert refused["details"]["report"][0]["message"] == "No clip can be decoded."


def test_a_dataset_that_is_being_deleted_is_not_previewed(http: httpx2.Client, site: Site, library: Library) -> None:
    """Its record is deleted before its clips."""
    library.dataset()
    library.store.write_text(f"datasets/{DATASET}/clips/one", "a clip")
    (site.store / "datasets" / DATASET / "dataset.json").unlink()
    error(http.post(f"/v1/datasets/{DATASET}/preview", json={}), 409, "conflict")
    library.store.delete_tree(f"datasets/{DATASET}", marker="")
    error(http.post(f"/v1/datasets/{DATASET}/preview", json={}), 404, "unknown_dataset")


def test_a_clip_is_shown_to_a_player(http: httpx2.Client, library: Library, site: Site) -> None:
    library.dataset()
    clips = site.store / "datasets" / DATASET / "clips"
    clips.mkdir()
    (clips / SHA).write_bytes(VIDEO)
    shown = http.get(f"/v1/datasets/{DATASET}/clips/{SHA}")
    assert (shown.status_code, shown.content, shown.headers["content-type"]) == (200, VIDEO, "video/mp4")
    part = http.get(f"/v1/datasets/{DATASET}/clips/{SHA}", headers={"range": "bytes=4-7"})
    assert (part.status_code, part.content) == (206, b"ftyp")
    for missing in ("0" * 64, "dataset.json", SHA[:-1]):
        assert "items=true" in error(http.get(f"/v1/datasets/{DATASET}/clips/{missing}"), 404, "not_found")["hint"]
    error(http.get(f"/v1/datasets/ds_{'0' * 24}/clips/{SHA}"), 404, "unknown_dataset")
