"""Checkpoints in the store: a run continues from its latest attempt's, whatever an earlier attempt still writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.storage import Store
from worker.training.job.checkpoints import Checkpoints

JOB = "job_0"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store((tmp_path / "store").as_uri(), tmp_path / "spool")


@pytest.fixture
def checkpoints(store: Store) -> Checkpoints:
    return Checkpoints(store)


def save(checkpoints: Checkpoints, folder: Path, attempt: int, text: str) -> None:
    (folder / "saved.pt").write_text(text)
    checkpoints.save(folder / "saved.pt", JOB, attempt)


def latest(checkpoints: Checkpoints, folder: Path) -> str | None:
    return (folder / "resume.pt").read_text() if checkpoints.fetch(JOB, folder / "resume.pt") else None


def test_an_attempt_that_was_taken_for_dead_overwrites_nothing(checkpoints: Checkpoints, tmp_path: Path) -> None:
    save(checkpoints, tmp_path, 1, "step 100")
    save(checkpoints, tmp_path, 2, "step 300")
    save(checkpoints, tmp_path, 1, "step 200, from a worker that woke up")
    assert latest(checkpoints, tmp_path) == "step 300"
    save(checkpoints, tmp_path, 2, "step 400")
    assert latest(checkpoints, tmp_path) == "step 400"


def test_earlier_attempts_are_deleted_and_at_the_end_all(
    checkpoints: Checkpoints, store: Store, tmp_path: Path
) -> None:
    for attempt in (1, 2, 10):
        save(checkpoints, tmp_path, attempt, str(attempt))
    assert store.find("runs") == [f"runs/{JOB}/10.pt"]
    assert checkpoints.jobs() == {JOB}
    checkpoints.delete(JOB)
    assert (store.find("runs"), latest(checkpoints, tmp_path)) == ([], None)


def test_a_checkpoint_of_an_earlier_version_of_vireo_is_continued(
    checkpoints: Checkpoints, store: Store, tmp_path: Path
) -> None:
    store.write_text(f"runs/{JOB}.pt", "earlier")
    assert (latest(checkpoints, tmp_path), checkpoints.jobs()) == ("earlier", {JOB})
    save(checkpoints, tmp_path, 2, "later")
    assert latest(checkpoints, tmp_path) == "later"
    assert store.find("runs") == [f"runs/{JOB}/2.pt"]
