"""Training runs over HTTP: a dataset that anybody can tell apart, and what a user does with a run."""

from __future__ import annotations

import json
import re
import time
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import torch
from safetensors.torch import load_file

from tests.clips import SPECS, render
from tests.e2e.stack import Stack, command_line, parent_of

CLASSES = ("colour_bars", "counting cells")
# Long enough to be interrupted: a checkpoint follows each epoch of these small models.
LONG = {"epochs": 40, "batch_size": 4, "recipe": "default", "temporal": "transformer", "seed": 3}
CONTINUED = re.compile(r"continues from step (\d+)")


def zip_of_scenes(folder: Path) -> Path:
    """Twelve clips of two classes that anybody can tell apart, and a file that is no video."""
    path = folder / "scenes.zip"
    with zipfile.ZipFile(path, "w") as zipped:
        for number in range(12):
            label, content = CLASSES[number % 2], ("bars", "index")[number % 2]
            spec = replace(SPECS["h264"], frames=20 + number, content=content, matrix="bt709")  # type: ignore[arg-type]
            zipped.write(render(folder / f"{number}.mp4", spec), f"scenes/{label}/{number}.mp4")
        zipped.writestr(f"scenes/{CLASSES[0]}/notes.mp4", b"this is no video")
    return path


def upload(http: httpx2.Client, archive: Path) -> str:
    """The id of the dataset."""
    answer = http.post("/v1/datasets", files={"archive": (archive.name, archive.read_bytes())})
    assert answer.status_code == 202, answer.text
    dataset = finished(http, answer.json()["id"])["result"]["dataset"]
    assert isinstance(dataset, str)
    return dataset


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
    """Of one process each, or what torchrun makes of it; without their fork server."""
    family = stack.family()
    servers = {pid for pid in family if "worker.training.process.fork_server" in command_line(pid)}
    forked = {pid for pid in servers if parent_of(pid) in servers}
    return [pid for pid in family if pid in forked or "worker.training.process.training_child" in command_line(pid)]


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
