from __future__ import annotations

import pytest
from starlette.datastructures import Headers

from core.errors import InvalidRequest
from service.http.preferences import Preferences, parse_preferences


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([], Preferences()),
        ([("prefer", "respond-async")], Preferences(respond_async=True)),
        ([("prefer", "handling=lenient, Respond-Async; wait=10")], Preferences(respond_async=True, wait=10)),
        ([("prefer", "wait=5"), ("prefer", "wait=3")], Preferences(wait=3)),
        ([("prefer", "wait=soon")], Preferences()),
        ([("idempotency-key", "a-1")], Preferences(idempotency_key="a-1")),
    ],
)
def test_headers(headers: list[tuple[str, str]], expected: Preferences) -> None:
    assert parse_preferences(Headers(raw=[(name.encode(), value.encode()) for name, value in headers])) == expected


@pytest.mark.parametrize("key", ["", "x" * 256, "é", "a\tb"])
def test_malformed_idempotency_keys(key: str) -> None:
    with pytest.raises(InvalidRequest):
        parse_preferences(Headers({"idempotency-key": key}))
