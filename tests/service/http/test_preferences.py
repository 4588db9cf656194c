from __future__ import annotations

import httpx2
import pytest

from service.http.preferences import Preferences, read_preferences
from tests.service.sites import Site, error


@pytest.mark.parametrize(
    ("prefer", "expected"),
    [
        ([], Preferences()),
        (["respond-async"], Preferences(respond_async=True)),
        (["handling=lenient, Respond-Async; wait=10"], Preferences(respond_async=True, wait=10)),
        (["wait=5", "wait=3"], Preferences(wait=3)),
        (["wait=soon"], Preferences()),
    ],
)
def test_preferences(prefer: list[str], expected: Preferences) -> None:
    assert read_preferences(prefer, None) == expected


@pytest.mark.parametrize("key", ["", "x" * 256, "é", "a\tb"])
def test_malformed_idempotency_keys_are_refused(http: httpx2.Client, site: Site, key: str) -> None:
    answer = http.post("/v1/classify", json={}, headers={b"Idempotency-Key": key.encode("latin-1")})
    assert error(answer, 422, "invalid_request")["details"]["field"] == "Idempotency-Key"
