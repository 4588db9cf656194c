"""The number of a job's version: its own, whatever another installation has published under the same name."""

from __future__ import annotations

from pathlib import Path

import redis

from core.registry import Registry, Version
from core.state import keys
from core.storage import Store
from tests.service.library import Library
from tests.worker.jobs.conftest import QueueJob
from worker.jobs.book import JobBook
from worker.jobs.version_number import claim_number


def test_a_number_that_another_redis_gave_away_is_not_used(
    client: redis.Redis, queue_job: QueueJob, tmp_path: Path
) -> None:
    store = Store((tmp_path / "store").as_uri(), tmp_path / "spool")
    registry, book = Registry(store), JobBook(client, keys.TRAINING)
    attempt = book.start(queue_job("training").id)
    assert attempt
    assert claim_number(book, registry, attempt, "gym") == 1
    Library(store).version("gym", 1, job="job_of_another_redis")
    assert claim_number(book, registry, attempt, "gym") == 2
    assert claim_number(book, registry, attempt, "gym") == 2
    assert book.claimed_version(attempt.job_id) == 2
    Library(store).version("gym", 2, job=attempt.job_id)  # its own, by an attempt that died just afterwards
    assert claim_number(book, registry, attempt, "gym") == 2
    assert registry.card(Version("gym", 1)).job == "job_of_another_redis"


def test_each_project_counts_its_own_versions(client: redis.Redis, queue_job: QueueJob, tmp_path: Path) -> None:
    store = Store((tmp_path / "store").as_uri(), tmp_path / "spool")
    book = JobBook(client, keys.TRAINING)
    for project in ("default", "acme", "other"):
        attempt = book.start(queue_job("training").id)
        assert attempt
        assert claim_number(book, Registry(store.of(project)), attempt, "gym") == 1
