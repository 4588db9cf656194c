"""Which requests and results are files, and what a file that is lost means."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import StorageUnavailable
from core.records import Job
from core.state.payloads import Payloads
from core.storage import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store((tmp_path / "store").as_uri(), tmp_path / "spool")


def test_bytes_decide_and_not_characters(store: Store) -> None:
    payloads = Payloads(store, 10)
    assert not payloads.is_large("x" * 10)
    assert payloads.is_large("x" * 11)
    assert payloads.is_large("é" * 6)


def test_each_attempt_has_a_result_of_its_own(store: Store) -> None:
    payloads = Payloads(store, 2)
    first, second = (payloads.write("job_1", "result", f'{{"of": "{who}"}}', who) for who in ("a", "b"))
    assert first.text != second.text
    for payload, who in ((first, "a"), (second, "b")):
        job = Job(id="job_1", kind="training", created_at=0.0, result_key=payload.text)
        assert payloads.load(job).result == {"of": who}


@pytest.mark.parametrize("damage", ["lost", "cut off"])
def test_a_file_that_is_lost_or_damaged_is_an_error_and_no_empty_request(store: Store, damage: str) -> None:
    payloads = Payloads(store, 2)
    written = payloads.write("job_1", "request", '{"labels": ["a"]}')
    store.delete(written.text) if damage == "lost" else store.write_text(written.text, '{"labels"')
    with pytest.raises(StorageUnavailable, match="The request of job_1 cannot be read"):
        payloads.load(Job(id="job_1", kind="training", created_at=0.0, request_key=written.text))
