"""Training as its user meets it: a dataset over HTTP, a run that is watched, cancelled, killed, resumed; a version."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
import torch

from tests.e2e.runs import (
    CLASSES,
    LONG,
    at_step,
    classify,
    continued,
    finished,
    secured,
    start,
    train,
    training_children,
    weights,
)
from tests.e2e.stack import Stack


def check_predictions(
    http: httpx2.Client, archive: Path, files: str, model: str, labels: Sequence[str] | None
) -> list[tuple[str, str]]:
    """Ask about every clip of a report, in its views: the answer must be what the report says. → (clip, view)."""
    lines = [json.loads(line) for line in http.get(f"{files}/predictions.jsonl").text.splitlines()]
    for line in lines:
        answer = classify(http, archive, model, labels, line["clip"], line["view"])
        best = answer.json()["predictions"][0]
        assert best["label"] == line["given"], line
        # The rows of W may have been made in another batch of texts, which rounds otherwise.
        assert best["score"] == pytest.approx(line["score"], abs=2e-6), line
    return [(line["clip"], line["view"]) for line in lines]


def test_a_dataset_is_described_before_any_training(http: httpx2.Client, dataset: str) -> None:
    found = http.get(f"/v1/datasets/{dataset}").json()
    assert [counted["name"] for counted in found["classes"]] == list(CLASSES)
    assert found["splits"] == {"train": 10, "val": 2, "test": 0}
    codes = {finding["code"]: finding for finding in found["report"]}
    assert codes["undecodable"]["paths"] == [f"scenes/{CLASSES[0]}/notes.mp4"]
    assert "no_split" in codes


@dataclass(frozen=True)
class Rolling:
    """A model with two versions; the second has rows of W without words."""

    events: list[str]  # names, of the first version's job
    result: dict[str, Any]  # of that job
    at_once: httpx2.Response  # what the model said about its own classes as soon as that job's last event had come
    closed: dict[str, Any]  # the result of the second version's job


@pytest.fixture(scope="module")
def rolling(stack: Stack, dataset: str, archive: Path) -> Rolling:
    with stack.http() as http:
        job_id = start(http, dataset, "rolling", epochs=4, learning_rate=1e-3, temporal="transformer", views="2x3")
        with http.stream("GET", f"/v1/jobs/{job_id}/events") as events:
            names = [line.removeprefix("event: ") for line in events.iter_lines() if line.startswith("event: ")]
        at_once = classify(http, archive, "rolling", None)
        result = finished(http, job_id)["result"]
        closed = train(http, dataset, "rolling", epochs=1, classifier="lda")
    return Rolling(names, result, at_once, closed)


def test_a_new_version_answers_at_once(http: httpx2.Client, rolling: Rolling, dataset: str) -> None:
    assert {"progress", "metric", "checkpoint", "state"} <= set(rolling.events)
    assert rolling.at_once.status_code == 200, rolling.at_once.text
    assert rolling.at_once.json()["model"] == rolling.result["model"] == "rolling:1"
    assert {row["label"] for row in rolling.at_once.json()["predictions"]} == set(CLASSES)
    page = http.get(rolling.result["report"])
    assert page.status_code == 200
    assert "rolling:1" in page.text
    card = http.get("/v1/models/rolling/versions/1/files/card.json").json()
    assert card["base"] == "tiny"
    assert card["dataset"]["id"] == dataset
    assert card["classes"] == list(CLASSES)


@pytest.mark.usefixtures("rolling")
def test_a_version_answers_over_http_what_its_report_says(http: httpx2.Client, archive: Path) -> None:
    judged = check_predictions(http, archive, "/v1/models/rolling/versions/1/files", "rolling:1", None)
    assert sorted(view for _, view in judged) == ["1x1", "1x1", "2x3", "2x3"]


@pytest.mark.usefixtures("rolling")
def test_a_version_answers_labels_that_it_was_never_trained_on(http: httpx2.Client, archive: Path) -> None:
    labels = ["a cat", "a waterfall", "colour bars"]
    answer = classify(http, archive, "rolling:1", labels)
    assert sorted(row["label"] for row in answer.json()["predictions"]) == labels


@pytest.mark.usefixtures("rolling")
def test_aliases_move_and_old_versions_stay(http: httpx2.Client, archive: Path) -> None:
    for version in (1, 2, 1):
        moved = http.put("/v1/models/rolling/aliases/production", json={"version": version})
        assert moved.status_code == 200, moved.text
        answer = classify(http, archive, "rolling@production", None)
        assert answer.json()["model"] == f"rolling:{version}"
    assert classify(http, archive, "rolling", None).json()["model"] == "rolling:2"


def scored(http: httpx2.Client, shadow: str, outcomes: int) -> dict[str, Any]:
    """What was counted of a shadow, once so many questions are."""
    deadline = time.monotonic() + 60
    while True:
        counts: dict[str, Any] = http.get(shadow).json()["counts"]
        if counts["seen"] + counts["skipped"] + counts["failed"] >= outcomes:
            return counts
        assert time.monotonic() < deadline, counts
        time.sleep(0.05)


@pytest.mark.usefixtures("rolling")
def test_a_shadow_scores_questions_that_another_version_answers(http: httpx2.Client, archive: Path) -> None:
    alias = "/v1/models/rolling/aliases/tried"
    http.put(alias, json={"version": 1}).raise_for_status()
    alone = classify(http, archive, "rolling@tried", list(CLASSES)).json()
    http.put(f"{alias}/shadow", json={"version": 2, "share": 1.0}).raise_for_status()
    beside = classify(http, archive, "rolling@tried", list(CLASSES)).json()
    assert (beside["model"], beside["predictions"]) == ("rolling:1", alone["predictions"])
    counts = scored(http, f"{alias}/shadow", 1)
    own = classify(http, archive, "rolling:2", list(CLASSES)).json()["predictions"]
    assert (counts["seen"], counts["agreed"]) == (1, int(own[0]["label"] == beside["predictions"][0]["label"]))
    margins = [found[0]["score"] - found[1]["score"] for found in (beside["predictions"], own)]
    assert [counts["margin"], counts["shadow_margin"]] == pytest.approx(margins, abs=2e-5)
    # Its rows are without words, so it cannot score a label that it was not trained on.
    assert classify(http, archive, "rolling@tried", ["a cat", "a dog"]).status_code == 200
    failed = scored(http, f"{alias}/shadow", 2)
    assert (failed["seen"], failed["failed"]) == (1, 1)
    assert "knows only the classes" in failed["last_error"]
    metrics = http.get("/metrics").text
    assert 'vireo_shadow_questions_total{alias="tried",model="rolling",outcome="failed"} 1.0' in metrics


@pytest.mark.usefixtures("rolling")
def test_any_model_is_compared_with_that_of_an_alias(http: httpx2.Client) -> None:
    """From a report, or by a job that the request waits for."""
    alias = "/v1/models/rolling/aliases/compared"
    http.put(alias, json={"version": 1}).raise_for_status()
    for candidate in ("rolling:2", "tiny", "official"):
        found = http.post(f"{alias}/compare", json={"model": candidate}, headers={"prefer": "wait=100"})
        assert found.status_code == 200, found.text
        assert (found.json()["candidate"], found.json()["standing"]) == (candidate, "rolling:1")
        assert found.json()["clips"] == 2
    kinds = [each["kind"] for each in http.get("/v1/jobs", params={"kind": "comparison"}).json()["data"]]
    assert kinds == ["comparison"]


def test_a_run_that_is_cancelled_and_killed_ends_with_the_weights_of_one_that_was_not(
    stack: Stack, http: httpx2.Client, dataset: str
) -> None:
    whole = train(http, dataset, "whole", **LONG)
    job_id = start(http, dataset, "parts", **LONG)
    at_step(http, job_id, 10)
    assert http.post(f"/v1/training-jobs/{job_id}/cancel").status_code == 202
    stopped = finished(http, job_id, "cancelled")
    assert not training_children(stack)
    assert "resume" in stopped["error"]["hint"]
    checkpoints = stack.data_dir / "store" / "runs" / job_id
    assert [path.name for path in checkpoints.iterdir()] == ["1.pt"]

    assert http.post(f"/v1/training-jobs/{job_id}/resume").status_code == 202
    first = secured(http, job_id, continuations=1)
    os.kill(training_children(stack)[0], signal.SIGKILL)
    done = finished(http, job_id, seconds=150)

    begins = continued(http, job_id)
    assert len(begins) == 2
    assert begins[0] >= 10
    assert begins[1] >= first
    assert done["result"]["model"] == "parts:1"
    assert http.get("/v1/models/parts").json()["versions"] == [1]
    assert not training_children(stack)
    assert list(checkpoints.iterdir()) == []
    for name, tensor in weights(stack, whole["model"]).items():
        torch.testing.assert_close(weights(stack, "parts:1")[name], tensor, rtol=0, atol=1e-6)


def test_rows_without_words_answer_only_what_they_were_trained_on(
    http: httpx2.Client, rolling: Rolling, archive: Path
) -> None:
    assert rolling.closed["open_labels"] is False
    assert classify(http, archive, "rolling:2", None).status_code == 200
    refused = classify(http, archive, "rolling:2", ["a cat"])
    assert refused.status_code == 422
    assert refused.json()["error"]["code"] == "invalid_labels"


def test_an_evaluation_on_demand_reports_what_questions_are_answered(
    http: httpx2.Client, dataset: str, archive: Path
) -> None:
    asked = http.post("/v1/evaluations", json={"model": "tiny", "dataset": dataset, "split": "all", "views": "2x3"})
    assert asked.status_code == 202, asked.text
    result = finished(http, asked.json()["id"])["result"]
    assert result["views"].keys() == {"1x1", "2x3"}
    assert result["metrics"]["clips"] == 12
    assert http.get(result["report"]).status_code == 200
    files = f"/v1/evaluations/{result['evaluation']}/files"
    assert len(check_predictions(http, archive, files, "tiny", CLASSES)) == 24


@pytest.mark.parametrize(
    ("options", "field"),
    [({"shots": 50}, "shots"), ({"novel": ["a cat", "a dog"]}, "novel")],
)
def test_what_cannot_be_trained_is_refused_in_words(
    http: httpx2.Client, dataset: str, options: dict[str, Any], field: str
) -> None:
    answer = http.post("/v1/training-jobs", json={"name": "none", "dataset": dataset, "base": "tiny"} | options)
    error = (
        answer.json()["error"] if answer.status_code == 422 else finished(http, answer.json()["id"], "failed")["error"]
    )
    assert error["details"]["field"] == field
    assert error["message"]
