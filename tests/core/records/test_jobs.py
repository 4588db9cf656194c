"""Records of a newer version stay readable: fields that this version does not know are ignored."""

from __future__ import annotations

from typing import Any

import pytest

from core.datasets import Dataset
from core.questions import ClassifyRequest
from core.records import Job, JobState, LabelSet, Record, StoredVideo, VideoFacts, WorkerInfo, subject_of
from core.registry import Card
from tests.service.library import card

NEWER: list[tuple[type[Any], dict[str, Any]]] = [
    (Job, {"id": "job_1", "kind": "classification", "created_at": 1.0}),
    (WorkerInfo, {"id": "w", "queue": "q", "state": "ready", "detail": "d", "started_at": 1.0, "seen_at": 2.0}),
    (VideoFacts, {"duration": 1.0, "width": 4, "height": 2, "codec": "h264"}),
    (StoredVideo, {"sha256": "00", "bytes": 1, "kept": True, "created_at": 1.0}),
    (LabelSet, {"name": "n", "version": 1, "labels": [{"name": "a"}], "created_at": 1.0}),
    (Card, card("gym", 1).model_dump(mode="json")),
    (
        Dataset,
        {
            "id": "ds_1", "digest": "1", "name": "gym", "created_at": 1.0, "classes": [], "splits": {}, "seconds": 1.0,
            "split_source": "given", "bytes": 1, "report": [], "items": [],
        },
    ),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "fields"), NEWER, ids=[kind.__name__ for kind, _ in NEWER])
def test_readers_ignore_fields_of_a_newer_version(kind: type[Record], fields: dict[str, Any]) -> None:
    newer = kind.model_validate(fields | {"of_a_newer_version": {"x": 1}})
    assert newer == kind.model_validate(fields)


def test_a_worker_reads_a_request_of_a_newer_gateway() -> None:
    question = {"labels": [{"name": "a", "weight": 2}], "zoom": 3}
    request = ClassifyRequest.model_validate({"sha256": "0", "question": question, "more": 1}, extra="ignore")
    assert [label.name for label in request.question.labels] == ["a"]


def test_the_kinds_of_earlier_versions_are_understood() -> None:
    assert Job.model_validate({"id": "job_1", "kind": "classify", "created_at": 1.0}).kind == "classification"
    assert Job.model_validate({"id": "job_1", "kind": "embed", "created_at": 1.0}).kind == "embedding"


def test_a_job_of_an_earlier_version_belongs_to_the_default_project() -> None:
    assert Job.model_validate({"id": "job_1", "kind": "training", "created_at": 1.0}).project == "default"


def test_three_states_are_final() -> None:
    assert {state for state in JobState if state.final} == {JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED}


def test_the_wait_of_a_job_ends_with_its_last_start() -> None:
    job = Job(id="job_1", kind="training", created_at=100.0)
    assert job.waited == 0.0
    assert job.model_copy(update={"started_at": 107.5}).waited == 7.5


@pytest.mark.parametrize(
    ("request_", "subject"),
    [
        ({"name": "gym", "dataset": "ds_1", "base": "lite"}, "gym"),
        ({"model": "gym:1", "dataset": "ds_1"}, "gym:1"),
        ({"question": {"model": "gym:2"}, "sha256": "0"}, "gym:2"),
        ({"dataset": "ds_1", "model": None}, "ds_1"),
        ({"question": {"model": None}}, None),
        ({"texts": ["a"]}, None),
    ],
)
def test_the_subject_of_a_job_is_what_it_makes_before_what_it_uses(
    request_: dict[str, Any], subject: str | None
) -> None:
    assert subject_of(request_) == subject
