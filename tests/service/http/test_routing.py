"""Rules that hold on every route: known query parameters only, HEAD beside GET, no redirects."""

from __future__ import annotations

from http.client import HTTPConnection
from typing import Any

import httpx2
import pytest

from tests.service.library import DATASET, WEIGHTS, Library
from tests.service.sites import FILE, LABELS, Site, error


def operations(http: httpx2.Client) -> list[tuple[str, str]]:
    """Method and path of every operation, with parameters that name nothing."""
    document: dict[str, Any] = http.get("/openapi.json").json()
    names = {"{n}": "1", "{file}": "card.json"}
    found = []
    for template, item in document["paths"].items():
        path = template
        for name, value in names.items():
            path = path.replace(name, value)
        path = "/".join("x" if part.startswith("{") else part for part in path.split("/"))
        found += [(method.upper(), path) for method in item]
    return found


def test_an_unknown_query_parameter_is_refused_on_every_route(http: httpx2.Client, site: Site) -> None:
    for method, path in operations(http):
        found = error(http.request(method, path, params={"no_such": "1"}), 422, "invalid_request")
        assert found["details"]["field"] == "no_such", (method, path)


@pytest.mark.parametrize(
    ("path", "sent", "meant"),
    [("/v1/jobs", "status", "state"), ("/v1/label-sets", "limt", "limit"), ("/v1/datasets/x", "item", "items")],
)
def test_the_nearest_query_parameter_is_named(
    http: httpx2.Client, site: Site, path: str, sent: str, meant: str
) -> None:
    found = error(http.get(path, params={sent: "1"}), 422, "invalid_request")
    assert found["details"]["nearest"][0] == meant
    assert f"Did you mean {meant!r}?" in found["message"]


def test_a_route_without_query_parameters_says_so(http: httpx2.Client, site: Site) -> None:
    answer = http.post("/v1/classify", params={"labels": "a cat"}, data={"labels": LABELS}, files=FILE)
    assert error(answer, 422, "invalid_request")["hint"] == "This route takes no query parameters."
    assert http.get("/", params={"from": "a-mail"}).status_code == 200  # the page: mail programs add parameters


def test_fields_of_an_upload_may_be_in_the_query(http: httpx2.Client, site: Site) -> None:
    headers = {"content-type": "application/zip"}
    sent = http.post("/v1/datasets", params={"name": "gym"}, content=b"zip", headers=headers)
    assert (sent.status_code, sent.json()["request"]["name"]) == (202, "gym")
    error(http.post("/v1/datasets", params={"nam": "gym"}, content=b"zip", headers=headers), 422, "invalid_request")


def test_head_answers_like_get_without_a_body(http: httpx2.Client, site: Site, library: Library) -> None:
    library.version("gym", 1)
    library.dataset()
    http.put("/v1/label-sets/sports", json={"labels": ["skiing"]})
    paths = [path for method, path in operations(http) if method == "GET"]
    paths += ["/v1/label-sets/sports", "/v1/models/gym", f"/v1/datasets/{DATASET}", "/", "/page/ask.js"]
    for path in paths:
        got, headed = http.get(path), http.head(path)
        assert (headed.status_code, headed.content) == (got.status_code, b""), path
        compared = ("content-type", "content-length", "etag", "location", "content-security-policy")
        # The length may differ where the answer holds a time or a request id of its own.
        varies = {"content-length"} if got.is_error or path in ("/metrics", "/v1/info") else set()
        for header in set(compared) - varies:
            assert headed.headers.get(header) == got.headers.get(header), (path, header)


def test_head_of_a_file_and_of_a_stream_end_at_once(http: httpx2.Client, site: Site, library: Library) -> None:
    """On one connection: a server that went on with the body would never read the second request."""
    library.version("gym", 1)
    asked = http.post("/v1/classify", data={"labels": "a"}, files=FILE, headers={"prefer": "respond-async"})
    connection = HTTPConnection(site.url.removeprefix("http://"), timeout=20)
    for path in (asked.json()["links"]["events"], "/v1/models/gym/versions/1/files/model.safetensors"):
        connection.request("HEAD", path)
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (200, b"")
    assert answer.headers["content-length"] == str(len(WEIGHTS))
    assert site.gateway.events.readers == 0
    connection.close()


def test_routes_without_get_have_no_head(http: httpx2.Client, site: Site) -> None:
    assert http.head("/v1/classify").status_code == 405


def test_a_trailing_slash_is_not_found_and_not_redirected(http: httpx2.Client, site: Site) -> None:
    for path in ("/v1/jobs/", "/v1/jobs/x/", "/livez/"):
        answer = http.get(path, headers={"host": "127.0.0.1"}, follow_redirects=False)
        found = error(answer, 404, "not_found")
        assert "without a slash" in found["hint"]
        assert "location" not in answer.headers
    assert found["details"]["nearest"][0] == "/livez"


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/v1/feedback/export", "GET, HEAD"),
        ("/v1/feedback/import", "POST"),
        ("/v1/feedback/fb_1", "DELETE, GET, HEAD"),
        ("/v1/videos/vid_1/content", "GET, HEAD"),
    ],
)
def test_a_method_that_is_not_allowed_names_those_that_are(
    http: httpx2.Client, site: Site, path: str, allowed: str
) -> None:
    answer = http.patch(path)
    error(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == allowed
