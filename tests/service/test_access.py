"""Who may ask what, over HTTP, of a gateway with a real Redis."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import AbstractContextManager

import httpx2
import pytest
import redis

from core.access.audit import entries
from core.access.keys import Quotas
from core.access.quotas import Meter, Resource
from core.access.ring import KeyRing
from core.access.scopes import Scope
from tests.service.sites import Site

Serve = Callable[..., AbstractContextManager[Site]]


@pytest.fixture
def client(redis_url: str) -> redis.Redis:
    return redis.Redis.from_url(redis_url, decode_responses=True)


@pytest.fixture
def ring(client: redis.Redis) -> KeyRing:
    return KeyRing(client)


def bearer(token: object) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def make(ring: KeyRing, *scopes: Scope, lifetime: float | None = None, quotas: Quotas | None = None) -> str:
    return str(ring.create("test", scopes or ("classify",), "default", lifetime, quotas)[1])


def test_on_loopback_the_first_key_closes_the_door(http: httpx2.Client, ring: KeyRing) -> None:
    assert http.get("/v1/info").json()["key"]["id"] is None
    token = make(ring)
    refused = http.get("/v1/info")
    assert refused.status_code == 401
    assert refused.headers["WWW-Authenticate"] == "Bearer"
    assert refused.json()["error"]["code"] == "unauthenticated"
    assert http.get("/v1/info", headers=bearer(token)).json()["key"]["name"] == "test"
    assert http.get("/v1/info", headers={"X-API-Key": token}).status_code == 200


def test_wrong_revoked_and_expired_keys_are_refused(http: httpx2.Client, ring: KeyRing) -> None:
    token, expired = make(ring), make(ring, lifetime=0.01)
    time.sleep(0.02)
    make(ring)  # the server goes on needing a key
    for wrong in (
        token[:-1] + ("A" if token[-1] != "A" else "B"),
        "vireo_",
        "x" * 5000,
        f"vireo_{'0' * 12}_{'x' * 43}",
    ):
        assert http.get("/v1/info", headers=bearer(wrong)).status_code == 401
    answer = http.get("/v1/info", headers=bearer(expired))
    assert (answer.status_code, "expired" in answer.json()["error"]["message"]) == (401, True)
    assert http.get("/v1/info", headers=bearer(token)).status_code == 200
    assert ring.revoke(token.split("_")[1])
    assert http.get("/v1/info", headers=bearer(token)).status_code == 401


def test_every_route_of_the_api_needs_a_key(site: Site, http: httpx2.Client, ring: KeyRing) -> None:
    make(ring)
    paths = http.get("/openapi.json").json()["paths"]
    answers = {
        (method, path): http.request(method, path.replace("{", "").replace("}", "")).status_code
        for path, item in paths.items()
        for method in item
    }
    unguarded = {route for route, status in answers.items() if status != 401}
    assert unguarded == {
        ("get", "/livez"), ("get", "/readyz"), ("get", "/metrics"), ("delete", "/v1/session"), ("put", "/v1/session"),
    }  # fmt: skip
    assert len(answers) > 60


@pytest.mark.parametrize(
    ("scope", "method", "path", "status"),
    [
        ("classify", "GET", "/v1/jobs", 200),
        ("classify", "GET", "/v1/models", 200),
        ("classify", "GET", "/v1/datasets", 403),
        ("classify", "POST", "/v1/training-jobs", 403),
        ("classify", "DELETE", "/v1/models/gym/versions/1", 403),
        ("train", "GET", "/v1/datasets", 200),
        ("train", "GET", "/v1/jobs", 403),
        ("train", "PUT", "/v1/models/gym/aliases/production", 403),
        ("admin", "GET", "/v1/jobs", 200),
        ("admin", "GET", "/v1/datasets", 200),
        ("admin", "DELETE", "/v1/models/gym:1", 404),
    ],
)
def test_a_key_does_what_its_scopes_say(
    http: httpx2.Client, ring: KeyRing, scope: Scope, method: str, path: str, status: int
) -> None:
    answer = http.request(method, path, headers=bearer(make(ring, scope)))
    assert answer.status_code == status
    if status == 403:
        assert answer.json()["error"]["code"] == "forbidden"


def test_the_rate_of_a_key_is_limited_and_shown(http: httpx2.Client, ring: KeyRing) -> None:
    slow, other = make(ring, quotas=Quotas(requests_per_minute=2)), make(ring)
    answers = [http.get("/v1/jobs", headers=bearer(slow)) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert [answer.headers["RateLimit-Remaining"] for answer in answers] == ["1", "0", "0"]
    assert answers[0].headers["RateLimit-Limit"] == "2"
    assert answers[0].headers["RateLimit-Policy"] == "2;w=60"
    assert 1 <= int(answers[2].headers["Retry-After"]) <= 120
    assert answers[2].json()["error"]["code"] == "rate_limited"
    free = http.get("/v1/jobs", headers=bearer(other))
    assert free.status_code == 200
    assert "RateLimit-Limit" not in free.headers


def upload(http: httpx2.Client, token: str, content: bytes) -> httpx2.Response:
    return http.post("/v1/videos", files={"video": ("a.mp4", content)}, headers=bearer(token))


def test_uploads_end_where_the_storage_of_a_key_ends(
    http: httpx2.Client, site: Site, ring: KeyRing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.catalog.usage._REMEMBERED", 0.0)
    token = make(ring, quotas=Quotas(stored_bytes=3000))
    first = upload(http, token, b"x" * 2000)
    assert first.status_code == 201
    assert upload(http, token, b"y" * 1500).status_code == 201  # the one that reaches the quota is accepted
    refused = upload(http, token, b"z" * 10)
    assert refused.status_code == 429
    error = refused.json()["error"]
    assert (error["code"], error["details"]) == ("quota_exceeded", {"quota": "stored_bytes", "limit": 3000})
    assert "Retry-After" not in refused.headers
    assert http.delete(f"/v1/videos/{first.json()['id']}", headers=bearer(token)).status_code == 204
    assert upload(http, token, b"z" * 10).status_code == 201


@pytest.mark.parametrize(
    ("resource", "path", "other"),
    [
        ("video_seconds", "/v1/classify", "/v1/training-jobs"),
        ("video_seconds", "/v1/batches", "/v1/videos"),
        ("video_seconds", "/v1/videos/vid_0/timeline", "/v1/datasets"),
        ("training_minutes", "/v1/training-jobs", "/v1/classify"),
    ],
)
def test_new_work_ends_where_a_quota_ends(
    http: httpx2.Client, ring: KeyRing, redis_url: str, resource: Resource, path: str, other: str
) -> None:
    quotas = Quotas(video_seconds_per_day=10, training_minutes_per_day=10)
    token = make(ring, "admin", quotas=quotas)
    meter, key_id = Meter(redis.ConnectionPool.from_url(redis_url)), token.split("_")[1]
    meter.count(key_id, quotas, {resource: 9.0})
    assert http.post(path, headers=bearer(token)).json()["error"]["code"] != "quota_exceeded"
    meter.count(key_id, quotas, {resource: 0.1})
    refused = http.post(path, headers=bearer(token))
    assert refused.status_code == 429
    assert refused.json()["error"]["details"] == {"quota": f"{resource}_per_day", "limit": 10}
    assert 86000 < int(refused.headers["Retry-After"]) <= 86400
    assert http.post(other, headers=bearer(token)).json()["error"]["code"] != "quota_exceeded"
    assert http.get("/v1/jobs", headers=bearer(token)).status_code == 200


def test_what_may_be_closed_is_closed(serve: Serve, ring: KeyRing) -> None:
    asker, operator = make(ring), make(ring, "admin")
    with serve(closed="metrics, docs") as site, site.client() as http:
        for path in ("/metrics", "/docs", "/openapi.json"):
            assert http.get(path).status_code == 401
        assert http.get("/metrics", headers=bearer(asker)).status_code == 403
        assert http.get("/metrics", headers=bearer(operator)).status_code == 200
        assert http.get("/openapi.json", headers=bearer(asker)).status_code == 200
        assert http.get("/livez").status_code == 200


def test_required_means_without_any_key_as_well_and_off_means_never(serve: Serve, ring: KeyRing) -> None:
    with serve(keys="required") as site, site.client() as http:
        assert http.get("/v1/info").status_code == 401
    make(ring)
    with serve(keys="off") as site, site.client() as http:
        assert http.get("/v1/info").status_code == 200


def test_where_others_reach_it_a_key_is_always_needed(serve: Serve, redis_url: str) -> None:
    with serve(published_host="0.0.0.0") as site, site.client() as http:
        assert http.get("/v1/info").status_code == 401


def test_a_browser_signs_in_and_out(http: httpx2.Client, ring: KeyRing) -> None:
    token = make(ring)
    assert http.put("/v1/session", json={"key": "vireo_no"}).status_code == 401
    signed = http.put("/v1/session", json={"key": token})
    assert signed.status_code == 200
    cookie = signed.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert "Secure" not in cookie
    assert http.get("/v1/info").status_code == 200  # the client sends the cookie
    encrypted = http.put("/v1/session", json={"key": token}, headers={"X-Forwarded-Proto": "https"})
    assert "Secure" in encrypted.headers["Set-Cookie"]
    http.cookies.clear()
    http.put("/v1/session", json={"key": token})
    assert http.delete("/v1/session").status_code == 204
    assert http.get("/v1/info").status_code == 401


@pytest.mark.parametrize("key", ["vireo_4f1c…", "a\r\nSet-Cookie: b=c", "\x00"])
def test_a_server_without_keys_remembers_nothing(http: httpx2.Client, key: str) -> None:
    answer = http.put("/v1/session", json={"key": key})
    assert (answer.status_code, answer.json()["id"]) == (200, None)
    assert "Set-Cookie" not in answer.headers


def test_a_page_of_another_site_cannot_use_the_cookie(http: httpx2.Client, ring: KeyRing) -> None:
    http.cookies.set("vireo_key", make(ring, "admin"))
    answer = http.delete("/v1/models/gym:1", headers={"Sec-Fetch-Site": "cross-site"})
    assert answer.json()["error"]["code"] == "cross_site_request"


def test_changes_by_administrators_are_in_the_audit_log(
    http: httpx2.Client, ring: KeyRing, client: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    admin, asker = make(ring, "admin"), make(ring)
    with caplog.at_level(logging.INFO, "vireo.audit"):
        http.delete("/v1/models/gym:1", headers=bearer(admin))
        http.delete("/v1/models/gym:2", headers=bearer(asker))
        http.get("/v1/models", headers=bearer(admin))
    found = list(entries(client, 10))
    assert [(entry.target, entry.status) for entry in found] == [("/v1/models/gym:1", 404), ("/v1/models/gym:2", 403)]
    assert found[0].key == admin.split("_")[1]
    assert found[0].action.startswith("DELETE /v1/models/")
    assert admin.split("_", 2)[2] not in str(found)
    assert len([record for record in caplog.records if record.name == "vireo.audit"]) == 2
