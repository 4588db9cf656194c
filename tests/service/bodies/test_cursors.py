from __future__ import annotations

import pytest

from core.errors import InvalidRequest
from service.bodies.cursors import AFTER_ALL, read_cursor, write_cursor


@pytest.mark.parametrize("entry", [(1.5, "job_1"), (1763766000.123456, "a:b"), (0.0, "")])
def test_a_cursor_reads_back_as_it_was_written(entry: tuple[float, str]) -> None:
    assert read_cursor(write_cursor(entry)) == entry


def test_no_cursor_means_the_first_page() -> None:
    assert read_cursor(None) == AFTER_ALL


@pytest.mark.parametrize("cursor", ["", "x", "x:job_1", "inf:job_1", "-inf:a", "nan:a", ":job_1"])
def test_a_malformed_cursor_is_refused(cursor: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        read_cursor(cursor)
    assert refused.value.details["field"] == "cursor"
