from __future__ import annotations

import pytest
from starlette.datastructures import Headers

from core.errors import InvalidRequest
from service.http.preferences import Wishes, read


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([], Wishes()),
        ([("prefer", "respond-async")], Wishes(detached=True)),
        ([("prefer", "handling=lenient, Respond-Async; wait=10")], Wishes(detached=True, wait=10)),
        ([("prefer", "wait=5"), ("prefer", "wait=3")], Wishes(wait=3)),
        ([("prefer", "wait=soon")], Wishes()),
        ([("idempotency-key", "a-1")], Wishes(key="a-1")),
    ],
)
def test_headers(headers: list[tuple[str, str]], expected: Wishes) -> None:
    assert read(Headers(raw=[(name.encode(), value.encode()) for name, value in headers])) == expected


@pytest.mark.parametrize("key", ["", "x" * 256, "é", "a\tb"])
def test_keys_that_are_none(key: str) -> None:
    with pytest.raises(InvalidRequest):
        read(Headers({"idempotency-key": key}))
