from __future__ import annotations

import httpx2
import pytest

from vireo.answers import error_of, read_answer, retry_after
from vireo.errors import QueueFull, VireoError


def test_an_error_of_the_server_is_described() -> None:
    body = {"error": {"code": "queue_full", "message": "Full.", "hint": None, "request_id": "r", "details": {"n": 1}}}
    headers = {"retry-after": "7", "location": "/v1/jobs/job_1"}
    error = error_of(httpx2.Response(429, json=body, headers=headers))
    assert type(error) is QueueFull
    assert (error.message, error.request_id, error.details) == ("Full.", "r", {"n": 1})
    assert (error.answered, error.retry_after, error.job) == (429, 7.0, "job_1")


@pytest.mark.parametrize(
    "body", [b"<html>", b'"text"', b'{"error": "Bad Gateway"}', b"{}", b"", b"[]", b'{"error": 5}']
)
def test_an_error_that_does_not_come_from_vireo_names_its_status(body: bytes) -> None:
    error = error_of(httpx2.Response(502, content=body))
    assert type(error) is VireoError
    assert "502" in error.message
    assert error.answered == 502


@pytest.mark.parametrize(
    ("header", "seconds"), [(None, None), ("2", 2.0), ("-1", 0.0), ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0), ("?", None)]
)
def test_retry_after_is_a_number_or_a_date(header: str | None, seconds: float | None) -> None:
    assert retry_after(header) == seconds


def test_an_answer_that_is_not_json() -> None:
    with pytest.raises(VireoError, match="Is it Vireo"):
        read_answer(httpx2.Response(200, content=b"<html>"))
