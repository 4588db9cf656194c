"""Training as its user meets it: a dataset over HTTP, a run that is watched, cancelled, killed, resumed; a version."""

from __future__ import annotations

import json
import os
import re
import signal
import time
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx2
import pytest
import torch
from safetensors.torch import load_file

from tests import tiny
from tests.clips import SPECS, render
from tests.e2e.stack import Stack, command_line, running

CLASSES = ("colour_bars", "counting cells")
# Long enough to be interrupted: a checkpoint follows each epoch of these small models.
LONG = {"epochs": 40, "batch_size": 4, "recipe": "default", "temporal": "transformer", "seed": 3}
CONTINUED = re.compile(r"continues from step (\d+)")
ENVIRONMENT = {"VIREO_MODEL": "tiny", "OMP_NUM_THREADS": "1", "VIREO_LEASE_SECONDS": "4"}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    data_dir = tmp_path_factory.mktemp("training") / "data"
    tiny.place(data_dir)
    with running(data_dir, ENVIRONMENT) as stack:
        yield stack


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve clips of two classes that anybody can tell apart, and a file that is no video."""
    folder = tmp_path_factory.mktemp("clips")
    path = folder / "scenes.zip"
    with zipfile.ZipFile(path, "w") as zipped:
        for number in range(12):
            label, content = CLASSES[number % 2], ("bars", "index")[number % 2]
            spec = replace(SPECS["h264"], frames=20 + number, content=content, matrix="bt709")  # type: ignore[arg-type]
            zipped.write(render(folder / f"{number}.mp4", spec), f"scenes/{label}/{number}.mp4")
        zipped.writestr(f"scenes/{CLASSES[0]}/notes.mp4", b"this is no video")
    return path


@pytest.fixture(scope="module")
def dataset(stack: Stack, archive: Path) -> str:
    with stack.http() as http:
        answer = http.post("/v1/datasets", files={"archive": ("scenes.zip", archive.read_bytes())})
        assert answer.status_code == 202, answer.text
        result = finished(http, answer.json()["id"])["result"]
    assert isinstance(result["dataset"], str)
    return result["dataset"]


@pytest.fixture
def http(stack: Stack) -> Iterator[httpx2.Client]:
    with stack.http() as client:
        yield client


def start(http: httpx2.Client, dataset: str, name: str, **options: Any) -> str:
    answer = http.post("/v1/training-jobs", json={"name": name, "dataset": dataset, "base": "tiny"} | options)
    assert answer.status_code == 202, answer.text
    job: str = answer.json()["id"]
    return job


def job(http: httpx2.Client, job_id: str) -> dict[str, Any]:
    found: dict[str, Any] = http.get(f"/v1/jobs/{job_id}").json()
    return found


def finished(http: httpx2.Client, job_id: str, state: str = "succeeded", seconds: float = 120) -> dict[str, Any]:
    deadline = time.monotonic() + seconds
    while (found := job(http, job_id))["state"] in ("queued", "running"):
        assert time.monotonic() < deadline, found
        time.sleep(0.1)
    assert found["state"] == state, found
    return found


def train(http: httpx2.Client, dataset: str, name: str, **options: Any) -> dict[str, Any]:
    result: dict[str, Any] = finished(http, start(http, dataset, name, **options))["result"]
    return result


def at_step(http: httpx2.Client, job_id: str, step: int, seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while ((found := job(http, job_id))["progress"] or {}).get("step", 0) < step:
        assert found["state"] in ("queued", "running"), found
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


def secured(http: httpx2.Client, job_id: str, continuations: int = 0) -> int:
    """Wait for a checkpoint past the first step, by a run that has been continued so often. Returns its step."""
    seen, name = 0, ""
    with http.stream("GET", f"/v1/jobs/{job_id}/events") as events:
        for line in events.iter_lines():
            name = line.removeprefix("event: ") if line.startswith("event: ") else name
            seen += CONTINUED.search(line) is not None
            if name == "checkpoint" and line.startswith("data: ") and seen == continuations:
                step: int = json.loads(line.removeprefix("data: "))["step"]
                if step:
                    return step
    raise AssertionError(f"the run ended without a checkpoint after {seen} continuations")


def continued(http: httpx2.Client, job_id: str) -> list[int]:
    """The steps from which an ended run went on."""
    with http.stream("GET", f"/v1/jobs/{job_id}/events") as events:
        return [int(step) for step in CONTINUED.findall("\n".join(events.iter_lines()))]


def training_children(stack: Stack) -> list[int]:
    return [pid for pid in stack.family() if "worker.training.process.training_child" in command_line(pid)]


def weights(stack: Stack, model: str) -> dict[str, torch.Tensor]:
    name, version = model.split(":")
    return load_file(stack.data_dir / "store" / "registry" / name / version / "model.safetensors")


def classify(
    http: httpx2.Client,
    archive: Path,
    model: str,
    labels: Sequence[str] | None,
    clip: str = f"scenes/{CLASSES[0]}/0.mp4",
    views: str = "1x1",
) -> httpx2.Response:
    with zipfile.ZipFile(archive) as zipped:
        video = zipped.read(clip)
    fields = {"model": model, "views": views} | ({} if labels is None else {"labels": json.dumps(labels)})
    return http.post("/v1/classify", data=fields, files={"video": ("clip.mp4", video)})


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
    """A model with two versions."""

    events: list[str]  # names, of the first version's job
    result: dict[str, Any]  # of that job
    at_once: httpx2.Response  # what the model said about its own classes as soon as that job's last event had come


@pytest.fixture(scope="module")
def rolling(stack: Stack, dataset: str, archive: Path) -> Rolling:
    with stack.http() as http:
        job_id = start(http, dataset, "rolling", epochs=4, learning_rate=1e-3, temporal="transformer", views="2x3")
        with http.stream("GET", f"/v1/jobs/{job_id}/events") as events:
            names = [line.removeprefix("event: ") for line in events.iter_lines() if line.startswith("event: ")]
        at_once = classify(http, archive, "rolling", None)
        result = finished(http, job_id)["result"]
        train(http, dataset, "rolling", epochs=1, temporal="mean")
    return Rolling(names, result, at_once)


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


@pytest.mark.timeout(300)
def test_a_run_that_is_cancelled_and_killed_twice_ends_with_the_weights_of_one_that_was_not(
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
    second = secured(http, job_id, continuations=2)
    os.kill(stack.children("--queue training")[0], signal.SIGKILL)
    done = finished(http, job_id, seconds=150)

    begins = continued(http, job_id)
    assert len(begins) == 3
    assert begins[0] >= 10
    assert begins[1] >= first
    assert begins[2] >= second
    assert done["result"]["model"] == "parts:1"
    assert http.get("/v1/models/parts").json()["versions"] == [1]
    assert not training_children(stack)
    assert list(checkpoints.iterdir()) == []
    for name, tensor in weights(stack, whole["model"]).items():
        torch.testing.assert_close(weights(stack, "parts:1")[name], tensor, rtol=0, atol=1e-6)


def test_rows_without_words_answer_only_what_they_were_trained_on(
    http: httpx2.Client, dataset: str, archive: Path
) -> None:
    assert train(http, dataset, "closed", classifier="lda", epochs=1)["open_labels"] is False
    assert classify(http, archive, "closed", None).status_code == 200
    refused = classify(http, archive, "closed", ["a cat"])
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


@pytest.mark.timeout(300)
def test_a_run_outlives_the_whole_service(tmp_path: Path, archive: Path) -> None:
    """Ctrl-C in the middle of a run, and `vireo up` again: it goes on."""
    data_dir = tmp_path / "data"
    tiny.place(data_dir)
    with running(data_dir, ENVIRONMENT) as first:
        with first.http() as http:
            answer = http.post("/v1/datasets", files={"archive": ("scenes.zip", archive.read_bytes())})
            dataset = finished(http, answer.json()["id"])["result"]["dataset"]
            job_id = start(http, dataset, "lasting", **LONG)
            at_step(http, job_id, 30)
        assert first.stop(signal.SIGINT) == 0
    with running(data_dir, ENVIRONMENT) as second, second.http() as http:
        assert finished(http, job_id)["result"]["model"] == "lasting:1"
        assert continued(http, job_id)[-1] >= 30
