"""Files over HTTP: parts of them, and `Range` headers that cannot be used."""

from __future__ import annotations

import httpx2
import pytest

from tests.service.library import WEIGHTS, Library
from tests.service.sites import error

PATH = "/v1/models/gym/versions/1/files/model.safetensors"


@pytest.fixture(autouse=True)
def _published(library: Library) -> None:
    library.version("gym", 1)


def test_a_part_of_a_file(http: httpx2.Client) -> None:
    answer = http.get(PATH, headers={"Range": "bytes=2-5"})
    assert (answer.status_code, answer.content) == (206, WEIGHTS[2:6])
    assert answer.headers["content-range"] == f"bytes 2-5/{len(WEIGHTS)}"


@pytest.mark.parametrize("header", ["", "lines=1-2", "bytes=b-a", "bytes=5-2", "bytes"])
def test_a_malformed_range_is_ignored(http: httpx2.Client, header: str) -> None:
    answer = http.get(PATH, headers={"Range": header})
    assert (answer.status_code, answer.content) == (200, WEIGHTS)


def test_a_range_beyond_the_end_is_an_error_in_the_envelope(http: httpx2.Client) -> None:
    answer = http.get(PATH, headers={"Range": f"bytes={len(WEIGHTS)}-"})
    assert error(answer, 416, "range_not_satisfiable")["details"] == {"size": len(WEIGHTS)}
