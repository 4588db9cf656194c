"""The number of the version that a job publishes."""

from __future__ import annotations

from core.registry import Registry, Version
from core.state.lifecycle import Attempt
from worker.jobs.book import JobBook


def claim_number(book: JobBook, registry: Registry, attempt: Attempt, name: str) -> int:
    """The same number on every attempt, unless a job of another Redis has published it: two Redis that share one store
    do not know of each other's numbers. Raises: Superseded, StorageUnavailable."""
    versions = registry.versions(name)
    highest = max(versions, default=0)
    number = book.claim_version(attempt, name, highest, project=registry.project)
    if number in versions and registry.card(Version(name, number)).job != attempt.job_id:
        return book.claim_version(attempt, name, highest, taken=number, project=registry.project)
    return number
