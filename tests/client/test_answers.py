from __future__ import annotations

import httpx2
import pytest

from vireo.answers import read_answer
from vireo.errors import QueueFull, VireoError


def test_an_error_of_the_server_is_raised() -> None:
    body = {"error": {"code": "queue_full", "message": "Full.", "hint": None, "request_id": "r", "details": {"n": 1}}}
    with pytest.raises(QueueFull, match="Full") as raised:
        read_answer(httpx2.Response(429, json=body))
    assert (raised.value.request_id, raised.value.details) == ("r", {"n": 1})


@pytest.mark.parametrize("body", [b"<html>", b'"text"', b'{"error": "Bad Gateway"}', b"{}", b""])
def test_an_error_that_does_not_come_from_vireo_names_its_status(body: bytes) -> None:
    with pytest.raises(VireoError, match="502") as raised:
        read_answer(httpx2.Response(502, content=body))
    assert type(raised.value) is VireoError


def test_an_answer_that_is_not_json() -> None:
    with pytest.raises(VireoError, match="Is it Vireo"):
        read_answer(httpx2.Response(200, content=b"<html>"))
