"""A client that was refused and comes back is recognised, over real connections."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import httpx2
import pytest

from core.state import keys
from tests.service.sites import Site

Serve = Callable[..., AbstractContextManager[Site]]


@pytest.fixture
def full(serve: Serve) -> Iterator[Site]:
    """A site whose queue has its most jobs."""
    with serve(queue_limit=4) as site, site.client() as client:
        assert [ask(client) for _ in range(4)] == [202] * 4
        yield site


def ask(client: httpx2.Client, **headers: str) -> int:
    """The status of a question that needs a job; all clients ask the same."""
    body = {"texts": ["a cat"]}
    return client.post("/v1/embeddings", json=body, headers={"prefer": "respond-async", **headers}).status_code


def empty(site: Site) -> None:
    """One job ends, at the moment when the refused clients were told to come back."""
    job = str(site.redis.zrange(keys.waiting(keys.INFERENCE), 0, 0)[0])
    with site.client() as client:
        assert client.post(f"/v1/jobs/{job}/cancel").status_code == 202
    for place in site.redis.zrange(keys.kept(keys.INFERENCE), 0, -1):
        site.redis.zadd(keys.kept(keys.INFERENCE), {str(place): time.time()})


def test_a_client_on_its_connection(full: Site) -> None:
    with full.client() as served, full.client() as refused:
        assert served.get("/livez").status_code == 200
        assert ask(refused) == 429
        empty(full)
        assert [ask(served), ask(refused)] == [429, 202]


def test_a_client_on_a_new_connection_by_the_head_of_its_request(full: Site) -> None:
    with full.client() as served:
        assert served.get("/livez").status_code == 200
        with full.client() as refused:
            assert ask(refused) == 429
        empty(full)
        assert ask(served) == 429
        with full.client() as other:
            assert ask(other, **{"user-agent": "another program"}) == 429
        with full.client() as returning:
            assert ask(returning) == 202


def test_a_client_by_its_idempotency_key(full: Site) -> None:
    with full.client() as served:
        assert served.get("/livez").status_code == 200
        with full.client() as refused:
            assert ask(refused, **{"idempotency-key": "mine"}) == 429
        empty(full)
        with full.client() as other:
            assert [ask(other), ask(other, **{"idempotency-key": "other"})] == [429, 429]
        assert ask(served, **{"idempotency-key": "mine"}) == 202
