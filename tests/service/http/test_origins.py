"""A page of another site, in the browser of somebody who runs Vireo, can neither write to it nor read from it."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import httpx2
import pytest
from starlette.datastructures import Headers

from core.errors import CrossSiteRequest
from service.http.origins import check_origin
from tests.service.sites import FILE, Site, error, serving

Serve = Callable[..., AbstractContextManager[Site]]


@pytest.fixture(scope="module")
def guarded(redis_url_of_file: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    directory = tmp_path_factory.mktemp("guarded")
    with serving(redis_url_of_file, directory, trusted_hosts="gateway, *.Example.org", host="vireo.lan") as site:
        yield site


@pytest.mark.parametrize(
    "host",
    [
        "localhost", "LocalHost:8000", "127.0.0.1:8000", "[::1]:8000", "[::1]", "app.localhost", "localhost.",
        "10.1.2.3:8000", "[fe80::1]:8000", "vireo.lan:80", "gateway:8000", "a.example.org", "a.b.EXAMPLE.org:1",
    ],
)  # fmt: skip
def test_trusted_names_and_addresses_are_answered(guarded: Site, host: str) -> None:
    with guarded.client() as http:
        assert http.get("/livez", headers={"host": host}).status_code == 200


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
@pytest.mark.parametrize(
    "host",
    [
        "rebind.evil.example", "rebind.evil.example:8000", "localhost.evil.example", "127.0.0.1.evil.example",
        "notexample.org", "example.org", "xlocalhost", "gateway.evil.example", "127.0.0.1@evil.example", "a b", "",
        "localhost/evil", "[::1", "[::1]evil.example", "localhost:80:80", "evil.example#localhost",
    ],
)  # fmt: skip
def test_a_rebound_name_is_refused_on_reads_and_writes(guarded: Site, method: str, host: str) -> None:
    with guarded.client() as http:
        answer = http.request(method, "/v1/jobs", headers={"host": host})
        assert "data" not in error(answer, 400, "host_not_allowed")


def test_any_name_if_the_operator_says_so(serve: Serve) -> None:
    with serve(trusted_hosts="*") as site, site.client() as http:
        assert http.get("/livez", headers={"host": "anything.example"}).status_code == 200


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET /livez HTTP/1.1\r\n", b"400"),
        (b"GET /livez HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n", b"400"),
        (b"GET /livez HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n", b"400"),
        (b"GET /livez HTTP/1.0\r\n", b"200"),
        (b"GET /livez HTTP/1.0\r\nHost: evil.example\r\n", b"400"),
    ],
)
def test_the_header_is_needed_exactly_once(site: Site, head: bytes, status: bytes) -> None:
    host, port = site.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(head + b"Connection: close\r\n\r\n")
        assert connection.recv(4096).split(b" ")[1] == status


CROSS_SITE = [
    {"sec-fetch-site": "cross-site", "origin": "https://evil.example"},
    {"sec-fetch-site": "same-site", "origin": "http://127.0.0.1:3000"},
    {"sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "something-new"},
    {"origin": "https://evil.example"},
    {"origin": "null"},
    {"origin": "http://127.0.0.1:1"},
    {"origin": "http://["},
]


@pytest.mark.parametrize("headers", CROSS_SITE, ids=str)
def test_writes_of_another_site_are_refused(http: httpx2.Client, site: Site, headers: dict[str, str]) -> None:
    zipped = b"PK\x05\x06" + bytes(18)
    for method, path in (("POST", "/v1/datasets"), ("PUT", "/v1/label-sets/a"), ("DELETE", "/v1/label-sets/a")):
        error(http.request(method, path, content=zipped, headers=headers), 403, "cross_site_request")
    error(http.post("/v1/videos", files=FILE, headers=headers), 403, "cross_site_request")
    assert site.blobs() == []
    assert site.redis.dbsize() == 0


def test_the_own_page_and_programs_can_write(http: httpx2.Client, site: Site) -> None:
    for headers in (
        {},
        {"sec-fetch-site": "same-origin", "origin": site.url},
        {"sec-fetch-site": "same-origin", "origin": "https://behind-a-proxy.example"},
        {"sec-fetch-site": "none"},
        {"origin": site.url},
        {"origin": site.url.upper().replace("HTTP", "https")},  # TLS ends at a proxy
    ):
        assert http.post("/v1/videos", files=FILE, headers=headers).status_code in (200, 201)


@pytest.mark.parametrize("path", ["/v1/jobs", "/", "/v1/nothing", "/v1/info", "/openapi.json"])
def test_answers_cannot_be_read_or_embedded_by_another_site(http: httpx2.Client, path: str) -> None:
    for method in ("GET", "OPTIONS"):
        asked = {
            "origin": "https://evil.example",
            "sec-fetch-site": "cross-site",
            "access-control-request-method": "POST",
        }
        answer = http.request(method, path, headers=asked)
        assert not [name for name in answer.headers if name.startswith("access-control-")]
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"


def test_a_page_without_an_origin_of_its_own_may_not_write_to_a_request_without_host() -> None:
    with pytest.raises(CrossSiteRequest):
        check_origin(Headers({"origin": "null"}))
