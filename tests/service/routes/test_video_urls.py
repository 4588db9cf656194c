"""A video that is given by its URL: the gateway creates the job, and the worker fetches the video inside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import httpx2
import pytest

from core.errors import UrlUnreachable
from tests.service.doubles import AnsweringWorker, answering
from tests.service.sites import SHA, VIDEO, Site, error
from tests.web import FileServer, serving_file

Serve = Callable[..., AbstractContextManager[Site]]

ASYNC = {"prefer": "respond-async"}


@pytest.fixture
def pages() -> Iterator[FileServer]:
    with serving_file(VIDEO) as pages:
        yield pages


def test_the_job_exists_before_anything_is_fetched(serve: Serve, pages: FileServer) -> None:
    with serve(allowed_hosts="localhost") as site, site.client() as http:
        asked = http.post("/v1/classify", json={"labels": ["a"], "video_url": pages.url()}, headers=ASYNC)
        assert asked.status_code == 202
        embedded = http.post("/v1/embeddings", json={"url": pages.url()}, headers=ASYNC)
        assert embedded.status_code == 202
        for answer in (asked, embedded):
            request = site.run(site.gateway.jobs.get(answer.json()["id"])).request
            assert (request["url"], request.get("sha256")) == (pages.url(), None)
    assert pages.asked == []


def test_a_repeat_is_recognised_by_the_url(serve: Serve, pages: FileServer) -> None:
    headers = ASYNC | {"idempotency-key": "k1"}
    with serve(allowed_hosts="localhost") as site, site.client() as http:
        body = {"labels": ["a"], "video_url": pages.url()}
        first, again = (http.post("/v1/classify", json=body, headers=headers) for _ in range(2))
        assert first.json()["id"] == again.json()["id"]
        other = {"labels": ["a"], "video_url": pages.url("b.mp4")}
        error(http.post("/v1/classify", json=other, headers=headers), 409, "conflict")
    assert pages.asked == []


def test_a_full_queue_shows_before_anything_is_fetched(serve: Serve, pages: FileServer) -> None:
    with serve(allowed_hosts="localhost", queue_limit=1) as site, site.client() as http:
        body = {"labels": ["a"], "video_url": pages.url()}
        assert http.post("/v1/classify", json=body, headers=ASYNC).status_code == 202
        error(http.post("/v1/classify", json=body, headers=ASYNC), 429, "queue_full")
    assert pages.asked == []


@pytest.mark.parametrize(
    "url", ["http://127.1/a.mp4", "http://[::ffff:7f00:1]/", "ftp://example.org/a", "http://a:b@c/"]
)
@pytest.mark.parametrize("path", ["/v1/classify", "/v1/embeddings"])
def test_what_needs_no_network_is_refused_at_once(
    http: httpx2.Client, worker: AnsweringWorker, path: str, url: str
) -> None:
    body = {"video_url": url} | ({"labels": ["a"]} if path == "/v1/classify" else {})
    error(http.post(path, json=body), 422, "url_not_allowed")
    assert worker.seen == []


def test_an_error_of_the_fetch_is_the_answer(serve: Serve, redis_url: str, pages: FileServer) -> None:
    with (
        serve(allowed_hosts="localhost") as site,
        answering(redis_url, lambda _: UrlUnreachable("The server answered 404 instead of the video.", status=404)),
        site.client() as http,
    ):
        asked = http.post("/v1/classify", json={"labels": ["a"], "video_url": pages.url("missing")})
        assert error(asked, UrlUnreachable.status, "url_unreachable")["details"] == {"status": 404}


def test_a_video_to_keep_is_fetched_before_the_answer(serve: Serve, pages: FileServer) -> None:
    with serve(allowed_hosts="localhost") as site, site.client() as http:
        kept = http.post("/v1/videos", json={"video_url": pages.url()})
        assert (kept.status_code, kept.json()["id"]) == (201, f"vid_{SHA}")
        redirected = {"url": pages.url(f"to/http://127.0.0.1:{pages.port}/a.mp4")}
        found = error(http.post("/v1/videos", json=redirected), 422, "url_not_allowed")
        assert found["details"] == {"host": "127.0.0.1"}
        assert site.partial_files() == []
