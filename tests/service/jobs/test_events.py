"""Server-sent events: complete, in order, resumable, and every stream ends."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import httpx2
import pytest

from core.errors import Cancelled
from core.state import keys
from service.jobs import events
from tests.service.doubles import AnsweringWorker, answering, classification
from tests.service.library import DATASET, Library
from tests.service.sites import FILE, Site, error
from tests.waiting import wait_until

ASYNC = {"prefer": "respond-async"}
Serve = Callable[..., AbstractContextManager[Site]]
Event = tuple[str, str, object]  # id, event, data


def ask(http: httpx2.Client) -> str:
    job_id: str = http.post("/v1/classify", data={"labels": "a"}, files=FILE, headers=ASYNC).json()["id"]
    return job_id


def train(http: httpx2.Client) -> str:
    answer = http.post("/v1/training-jobs", json={"name": "gym", "dataset": DATASET})
    assert answer.status_code == 202, answer.text
    job_id: str = answer.json()["id"]
    return job_id


def received(lines: Iterator[str]) -> Iterator[Event]:
    """The events of a stream, as an EventSource would see them."""
    fields: dict[str, str] = {}
    for line in lines:
        if line == "":
            if "data" in fields:
                yield fields.get("id", ""), fields["event"], json.loads(fields["data"])
            fields = {}
        elif not line.startswith(":"):
            name, _, value = line.partition(": ")
            fields[name] = value


def read(http: httpx2.Client, path: str, **headers: str) -> list[Event]:
    with http.stream("GET", path, headers=headers) as answer:
        assert answer.status_code == 200, answer.read()
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["cache-control"] == "no-store"
        return list(received(answer.iter_lines()))


def kinds(found: list[Event]) -> list[tuple[str, object]]:
    return [(event, data) for _, event, data in found]


@pytest.fixture
def trainer(site: Site, redis_url: str) -> Iterator[AnsweringWorker]:
    with answering(redis_url, lambda _: None, keys.TRAINING) as worker:
        yield worker


def started(worker: AnsweringWorker, job_id: str) -> None:
    wait_until(lambda: worker.job(job_id).attempts > 0)


def test_a_finished_job_sends_all_its_events_and_ends_the_stream(
    http: httpx2.Client, library: Library, trainer: AnsweringWorker
) -> None:
    library.dataset()
    job_id = train(http)
    started(trainer, job_id)
    trainer.report(job_id, "progress", {"phase": "training", "epoch": 0.5}, {"phase": "training", "epoch": 0.5})
    trainer.report(job_id, "log", {"message": "two\nlines, and ü"})
    trainer.finish(job_id, {"model": "gym:1"})
    path = f"/v1/training-jobs/{job_id}/events"
    found = read(http, path)
    assert kinds(found) == [
        ("state", "running"),
        ("progress", {"phase": "training", "epoch": 0.5}),
        ("log", {"message": "two\nlines, and ü"}),
        ("state", "succeeded"),
    ]
    assert read(http, f"/v1/jobs/{job_id}/events") == found
    first = found[0][0]
    assert read(http, path, **{"last-event-id": first}) == found[1:]
    assert read(http, f"{path}?after={found[1][0]}") == found[2:]
    assert read(http, f"{path}?after={first}", **{"last-event-id": found[1][0]}) == found[2:]
    assert http.get(path, headers={"last-event-id": found[-1][0]}).status_code == 204


def test_events_arrive_as_they_happen(http: httpx2.Client, library: Library, trainer: AnsweringWorker) -> None:
    library.dataset()
    job_id = train(http)
    started(trainer, job_id)
    with http.stream("GET", f"/v1/jobs/{job_id}/events") as answer:
        stream = received(answer.iter_lines())
        assert next(stream)[1:] == ("state", "running")
        for epoch in range(3):
            trainer.report(job_id, "metric", {"epoch": epoch, "split": "train", "loss": 1.0})
            assert next(stream)[2] == {"epoch": epoch, "split": "train", "loss": 1.0}
        trainer.finish(job_id, {"model": "gym:1"})
        assert [data for _, _, data in stream] == ["succeeded"]


def test_a_new_reader_of_an_empty_stream_gets_the_state(http: httpx2.Client, site: Site, redis_url: str) -> None:
    job_id = ask(http)
    with http.stream("GET", f"/v1/jobs/{job_id}/events") as answer:
        stream = received(answer.iter_lines())
        first = next(stream)
        assert first[1:] == ("state", "queued")
        with answering(redis_url, classification):
            assert [data for _, _, data in stream] == ["running", "succeeded"]
    assert kinds(read(http, f"/v1/jobs/{job_id}/events", **{"last-event-id": first[0]}))[0] == ("state", "running")


def test_a_resumed_run_is_followed_past_its_first_end(
    http: httpx2.Client, library: Library, trainer: AnsweringWorker
) -> None:
    library.dataset()
    job_id = train(http)
    started(trainer, job_id)
    trainer.finish(job_id, Cancelled("enough"))
    assert http.post(f"/v1/training-jobs/{job_id}/resume").status_code == 202
    wait_until(lambda: trainer.job(job_id).attempts == 2)
    threading.Timer(0.2, lambda: trainer.finish(job_id, {"model": "gym:1"})).start()
    story = [data for _, _, data in read(http, f"/v1/jobs/{job_id}/events")]
    assert story == ["running", "failed", "queued", "running", "succeeded"]


def test_comments_are_sent_while_there_are_no_events(
    http: httpx2.Client, site: Site, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "COMMENT_INTERVAL", 0.05)
    job_id = ask(http)
    with http.stream("GET", f"/v1/jobs/{job_id}/events") as answer:
        lines = answer.iter_lines()
        assert sum(next(lines).startswith(":") for _ in range(20)) > 3
        assert http.post(f"/v1/jobs/{job_id}/cancel").status_code == 202
        assert [data for _, _, data in received(lines)] == ["cancelled"]


def test_the_number_of_open_streams_is_limited(
    http: httpx2.Client, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "MOST_STREAMS", 1)
    job_id = ask(http)
    path = f"/v1/jobs/{job_id}/events"
    with http.stream("GET", path) as answer:
        lines = answer.iter_lines()
        assert next(lines).startswith("retry: ")
        refused = http.get(path)
        assert error(refused, 503, "overloaded")["details"] == {"limit": 1}
        assert int(refused.headers["retry-after"]) > 0
    wait_until(lambda: not [c for c in site.redis.client_list() if c["cmd"].startswith("xread")])
    http.post(f"/v1/jobs/{job_id}/cancel")
    wait_until(lambda: http.get(path).status_code == 200)  # the stream of the reader that disconnected is closed


def test_open_streams_do_not_keep_the_server_from_stopping(serve: Serve) -> None:
    with serve() as site, site.client() as http:
        job_id = ask(http)
        with http.stream("GET", f"/v1/jobs/{job_id}/events") as answer:
            stream = received(answer.iter_lines())
            assert next(stream)[1:] == ("state", "queued")
            site.loop.call_soon_threadsafe(site.gateway.stopping.set)
            assert list(stream) == []


def test_malformed_event_ids_and_unknown_jobs(http: httpx2.Client, site: Site) -> None:
    job_id = ask(http)
    for bad in ("x", "1-", "99999999999999999999999", "0-0 "):
        found = error(http.get(f"/v1/jobs/{job_id}/events", params={"after": bad}), 422, "invalid_request")
        assert found["details"]["field"] == "after"
    error(http.get("/v1/jobs/job_1/events"), 404, "unknown_job")
    error(http.get(f"/v1/training-jobs/{job_id}/events"), 404, "unknown_job")


def test_metrics_count_a_repeated_epoch_once(http: httpx2.Client, library: Library, trainer: AnsweringWorker) -> None:
    library.dataset()
    job_id = train(http)
    started(trainer, job_id)
    path = f"/v1/training-jobs/{job_id}/metrics"
    assert http.get(path).json() == {"data": []}
    for epoch, loss in ((1, 2.0), (2, 1.5), (2, 1.4)):  # epoch 2 ran again after its worker died
        trainer.report(job_id, "progress", {"epoch": epoch})
        trainer.report(job_id, "metric", {"epoch": epoch, "split": "train", "loss": loss})
        trainer.report(job_id, "metric", {"epoch": epoch, "split": "val", "top1": 0.5})
    data = http.get(path).json()["data"]
    assert [(m["epoch"], m["split"], m.get("loss")) for m in data] == [
        (1, "train", 2.0),
        (1, "val", None),
        (2, "train", 1.4),
        (2, "val", None),
    ]
    error(http.get(f"/v1/training-jobs/{ask(http)}/metrics"), 404, "unknown_job")


def test_metrics_outlive_the_trimmed_stream(http: httpx2.Client, library: Library, trainer: AnsweringWorker) -> None:
    library.dataset()
    job_id = train(http)
    started(trainer, job_id)
    trainer.report(job_id, "metric", {"epoch": 1, "split": "train", "loss": 2.0})
    trainer.redis.xtrim(keys.events(job_id), maxlen=0)
    trainer.report(job_id, "metric", {"epoch": 2, "split": "train", "loss": 1.0})
    path = f"/v1/training-jobs/{job_id}/metrics"
    assert [metric["epoch"] for metric in http.get(path).json()["data"]] == [1, 2]
    assert trainer.redis.ttl(keys.metrics(job_id)) == -1


def test_metrics_of_an_earlier_version_are_read_from_the_stream(
    http: httpx2.Client, library: Library, trainer: AnsweringWorker
) -> None:
    library.dataset()
    job_id = train(http)
    started(trainer, job_id)
    trainer.report(job_id, "metric", {"epoch": 1, "split": "train", "loss": 2.0})
    trainer.redis.delete(keys.metrics(job_id))
    trainer.redis.hdel(keys.job(job_id), "metrics")
    trainer.report(job_id, "metric", {"epoch": 2, "split": "train", "loss": 1.0})
    path = f"/v1/training-jobs/{job_id}/metrics"
    assert [metric["epoch"] for metric in http.get(path).json()["data"]] == [1, 2]
