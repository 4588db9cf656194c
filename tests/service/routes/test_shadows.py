"""Shadows: versions that score questions to an alias as well, without answering them."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest

from core.state.shadow_counts import COUNT, Look, Pair, count_args
from tests.service.doubles import LITE, AnsweringWorker
from tests.service.library import Library
from tests.service.sites import FILE, Site, error


def ask(http: httpx2.Client, **fields: Any) -> httpx2.Response:
    return http.post("/v1/classify", data=fields, files=FILE)


def shadow_of(http: httpx2.Client, worker: AnsweringWorker, **fields: Any) -> dict[str, Any] | None:
    """What the job of a question asks of a shadow."""
    assert ask(http, labels='["a","b"]', **fields).status_code == 200
    found: dict[str, Any] | None = worker.job(worker.seen[-1]).request.get("shadow")
    return found


SHADOW = "/v1/models/gym/aliases/production/shadow"


@pytest.fixture
def shadowed(http: httpx2.Client, library: Library) -> None:
    """`gym@production` is version 1, and version 2 scores all its questions."""
    library.version("gym", 1)
    library.version("gym", 2, classifier={"kind": "text", "normalize_labels": True})
    http.put("/v1/models/gym/aliases/production", json={"version": 1})
    assert http.put(SHADOW, json={"version": 2, "share": 1.0}).status_code == 200


@pytest.mark.usefixtures("shadowed")
def test_questions_to_an_alias_go_to_its_shadow_as_well(http: httpx2.Client, worker: AnsweringWorker) -> None:
    asked = {"name": "gym", "alias": "production", "version": 1, "shadow": 2, "normalize_labels": True}
    assert shadow_of(http, worker, model="gym@production") == asked
    plain = shadow_of(http, worker, model="gym@production", normalize_labels="false")
    assert plain == asked | {"normalize_labels": False}
    for other in ("gym:1", "gym:2", "gym", "lite"):
        assert shadow_of(http, worker, model=other) is None, other
    assert ask(http, labels="a", model="gym@production").status_code == 200  # one label has no alternative
    assert "shadow" not in worker.job(worker.seen[-1]).request
    assert http.delete(SHADOW).status_code == 204
    assert shadow_of(http, worker, model="gym@production") is None


@pytest.mark.usefixtures("shadowed")
def test_a_shadow_gets_its_share_of_the_questions(
    http: httpx2.Client, worker: AnsweringWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    http.put(SHADOW, json={"version": 2, "share": 0.25})
    for drawn, expected in ((0.0, True), (0.2499, True), (0.25, False), (0.99, False)):
        monkeypatch.setattr("service.checks.resolution.random.random", lambda drawn=drawn: drawn)
        assert (shadow_of(http, worker, model="gym@production") is not None) is expected


@pytest.mark.usefixtures("shadowed")
def test_the_shadow_of_an_alias_that_is_the_default_model(
    http: httpx2.Client, site: Site, worker: AnsweringWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """VIREO_MODEL=gym@production: workers announce the version."""
    monkeypatch.setattr(site.gateway.models, "_default", "gym@production")
    worker.announce(model=LITE.model_copy(update={"name": "gym:1"}))
    found = shadow_of(http, worker)
    assert found is not None
    assert (found["version"], found["shadow"]) == (1, 2)


@pytest.mark.usefixtures("shadowed")
def test_the_record_of_a_shadow(http: httpx2.Client, library: Library) -> None:
    alias = http.get("/v1/models/gym/aliases/production")
    assert alias.json()["shadow"] == {"version": 2, "share": 1.0}
    found = http.get(SHADOW).json()
    assert (found["version"], found["standing"], found["share"]) == (2, 1, 1.0)
    assert (found["counts"]["seen"], found["counts"]["agreement"]) == (0, None)
    library.version("gym", 3)
    moved = http.put("/v1/models/gym/aliases/production", json={"version": 3})
    assert moved.headers["etag"] == http.get("/v1/models/gym/aliases/production").headers["etag"]
    assert moved.headers["etag"] != alias.headers["etag"]
    assert http.get(SHADOW).json()["standing"] == 3
    http.put("/v1/models/gym/aliases/production", json={"version": 2})  # it answers now
    error(http.get(SHADOW), 404, "not_found")
    error(http.delete(SHADOW), 404, "not_found")


@pytest.mark.usefixtures("shadowed")
def test_counts_end_with_the_alias_and_not_with_the_shadow(http: httpx2.Client, site: Site) -> None:
    pair = Pair("gym", "production", 1, 2)
    count = site.redis.register_script(COUNT)
    script_keys, args = count_args(pair, "agreed", 1.0, (Look("a", 0.5), Look("a", 0.5)))
    body = {"version": 2, "share": 1.0}
    count(keys=script_keys, args=args)
    http.delete(SHADOW)
    assert http.put(SHADOW, json=body).json()["counts"]["seen"] == 1
    assert http.delete("/v1/models/gym/aliases/production").status_code == 204
    http.put("/v1/models/gym/aliases/production", json={"version": 1})
    assert http.put(SHADOW, json=body).json()["counts"]["seen"] == 0
    count(keys=script_keys, args=args)
    assert http.delete("/v1/models/gym").status_code == 204
    assert site.redis.exists(*pair.keys) == 0


@pytest.mark.usefixtures("shadowed")
def test_shadows_that_cannot_be(http: httpx2.Client) -> None:
    error(http.put(SHADOW, json={"version": 1}), 422, "invalid_request")  # it answers
    error(http.put(SHADOW, json={"version": 9}), 404, "unknown_model")
    for share in (0, -1, 1.1, "x"):
        error(http.put(SHADOW, json={"version": 2, "share": share}), 422, "invalid_request")
    error(http.put("/v1/models/gym/aliases/staging/shadow", json={"version": 2}), 404, "not_found")
    error(http.put("/v1/models/none/aliases/production/shadow", json={"version": 2}), 404, "unknown_model")
    assert http.get(SHADOW).json()["share"] == 1.0
