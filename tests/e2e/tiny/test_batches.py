"""Batches on a running copy, by the client: all kinds of items, results while it runs, and a killed worker."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.stack import BIN, Stack
from tests.scenes import film
from vireo import Client, Job
from vireo.schema.videos import BatchResult

LABELS = ["a hot air balloon", "a spider web", "a traffic light"]


@pytest.fixture(scope="module")
def client(stack: Stack) -> Iterator[Client]:
    with Client(stack.url) as client:
        yield client


@pytest.fixture(scope="module")
def films(client: Client, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The ids of three films."""
    folder = tmp_path_factory.mktemp("films")
    return [
        client.videos.add(film(folder / f"{n}.mp4", [(label, 1.0)], seed=20 + n)).id for n, label in enumerate(LABELS)
    ]


def ended(job: Job[BatchResult], seconds: float = 120) -> Job[BatchResult]:
    deadline = time.monotonic() + seconds
    while not job.refresh().has_ended:
        assert time.monotonic() < deadline, job
        time.sleep(0.05)
    return job


def test_each_item_has_its_row(stack: Stack, client: Client, films: list[str], tmp_path: Path) -> None:
    items = [
        {"id": "balloon", "video_id": films[0]},
        {"video_id": f"vid_{'0' * 64}"},
        {"s3": "s3://bucket/clip.mp4"},
        {"id": "web", "video_id": films[1]},
        {"nothing": "at all"},
    ]
    found = ended(client.batches.start(items, LABELS, top_k=1))
    assert (found.result().answered, found.result().unanswered) == (2, 3), found
    rows = list(client.batches.rows(found.id))
    assert [row.error.code if row.error else None for row in rows] == [
        None,
        "unknown_video",
        "url_not_allowed",
        None,
        "invalid_request",
    ]
    alone = [client.classify(video_id=film, labels=LABELS, top_k=1).predictions for film in films]
    assert [row.predictions for row in rows if not row.error] == alone[:2]
    client.batches.save(found.id, tmp_path / "out.csv")
    table = list(csv.DictReader(io.StringIO((tmp_path / "out.csv").read_text(encoding="utf-8"), newline="")))
    assert [row["id"] for row in table] == ["balloon", "", "", "web", ""]
    assert [row["label"] for row in table] == [alone[0][0].label, "", "", alone[1][0].label, ""]
    with stack.http() as http:
        listed = http.get("/v1/jobs", params={"limit": 1000}).json()["data"]
    assert [job["id"] for job in listed if job["parent"] == found.id] == []


def test_a_batch_by_command(stack: Stack, films: list[str], tmp_path: Path) -> None:
    table = tmp_path / "out.csv"
    question = ("--labels", *LABELS, "--top-k", "1", "--save", str(table), "--json", "--url", stack.url)
    command = [str(BIN / "vireo"), "batch", "start", *films[:2], *question]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    job = json.loads(done.stdout)
    assert (job["state"], job["result"]["answered"]) == ("succeeded", 2)
    assert len(table.read_text(encoding="utf-8").splitlines()) == 3


def test_a_killed_worker_loses_no_row_and_answers_none_twice(stack: Stack, films: list[str], tmp_path: Path) -> None:
    manifest = tmp_path / "videos.csv"
    manifest.write_text("id,video_id\n" + "".join(f"{n},{films[n % 3]}\n" for n in range(200)))
    with Client(stack.url) as client:
        job = client.batches.start(manifest=manifest, labels=LABELS, top_k=1)
        deadline = time.monotonic() + 120
        while not (part := list(client.batches.rows(job.id))):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        os.kill(stack.worker("inference"), signal.SIGKILL)
        assert len(part) < 200
        answered = ended(job).result().answered
        rows = list(client.batches.rows(job.id))
        alone = [client.classify(video_id=film, labels=LABELS, top_k=1).predictions for film in films]
    assert answered == 200
    assert [row.id for row in rows] == [str(n) for n in range(200)]
    assert [row.predictions for row in rows] == [alone[n % 3] for n in range(200)]
    assert rows[: len(part)] == part
