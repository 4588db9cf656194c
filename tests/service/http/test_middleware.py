from __future__ import annotations

import json
import logging

import httpx2
import pytest

from service.catalog.label_sets import LabelSets
from service.gateway import Gateway
from service.ops.logs import REQUEST_ID, JsonLines
from tests.service.sites import Site, error


@pytest.mark.parametrize(
    ("sent", "kept"), [("abc-1.2:3", True), ("", False), ("a b", False), ("x" * 129, False), ('"<script>', False)]
)
def test_request_ids_are_kept_if_they_are_safe_to_log(http: httpx2.Client, site: Site, sent: str, kept: bool) -> None:
    answer = http.get("/livez", headers={"x-request-id": sent})
    assert (answer.headers["x-request-id"] == sent) == kept
    assert answer.headers["x-request-id"]


def test_a_bug_is_a_500_with_the_request_id_and_no_trace(
    http: httpx2.Client, site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("the secret inside")

    monkeypatch.setattr(LabelSets, "get", broken)
    answer = http.get("/v1/label-sets/x", headers={"x-request-id": "mine"})
    assert error(answer, 500, "internal_error")["request_id"] == "mine"
    assert "secret" not in answer.text
    assert "the secret inside" in caplog.text
    assert http.get("/livez").status_code == 200


def test_each_request_is_one_log_line_without_its_query(
    http: httpx2.Client, site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        http.get("/v1/jobs", params={"cursor": "1:secret"})
    (record,) = [r for r in caplog.records if r.name.startswith(("vireo", "service"))]
    assert record.__dict__["fields"] | {"ms": 0} == {"method": "GET", "path": "/v1/jobs", "status": 200, "ms": 0}
    assert "secret" not in JsonLines().format(record)


def test_log_lines_are_json() -> None:
    record = logging.LogRecord("vireo", logging.INFO, "x", 1, "said %s", ("é\n",), None)
    record.__dict__["fields"] = {"ms": 1.5}
    token = REQUEST_ID.set("req_1")
    try:
        line = JsonLines().format(record)
    finally:
        REQUEST_ID.reset(token)
    assert "\n" not in line
    parsed = json.loads(line)
    assert (parsed["message"], parsed["request_id"], parsed["ms"], parsed["level"]) == (
        "said é\n",
        "req_1",
        1.5,
        "info",
    )


def test_the_gateway_is_frozen(site: Site) -> None:
    with pytest.raises(AttributeError):
        site.gateway.jobs = None  # type: ignore[misc, assignment]
    assert isinstance(site.gateway, Gateway)
