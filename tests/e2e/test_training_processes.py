"""Training in two processes, started by torchrun, from the first step to a published version (T1)."""

from __future__ import annotations

import os
import signal
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests import tiny
from tests.clips import SPECS, Content, render
from tests.e2e.stack import Stack, command_line, copy_of, running
from tests.e2e.test_training import ENVIRONMENT, continued, finished, secured, start, training_children, weights

# label → content, width, height
CLASSES: dict[str, tuple[Content, int, int]] = {
    "colour bars": ("bars", 96, 64),
    "counting cells": ("index", 96, 64),
    "tall bars": ("bars", 64, 128),
    "wide cells": ("index", 160, 64),
}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, lite_dir: Path) -> Iterator[Stack]:
    data_dir = copy_of(lite_dir, tmp_path_factory.mktemp("processes"))
    tiny.place(data_dir)
    environment = ENVIRONMENT | {"VIREO_TRAINING_PROCESSES": "2"}
    with running(data_dir, environment) as stack:
        yield stack


@pytest.fixture
def http(stack: Stack) -> Iterator[httpx2.Client]:
    with stack.http() as client:
        yield client


@pytest.fixture(scope="module")
def dataset(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Five clips of each of four classes: enough for the probe, which trains on half of the classes."""
    folder = tmp_path_factory.mktemp("clips")
    archive = folder / "scenes.zip"
    with zipfile.ZipFile(archive, "w") as zipped:
        for label, (content, width, height) in CLASSES.items():
            for number in range(5):
                plain = replace(SPECS["h264"], content=content, matrix="bt709")
                spec = replace(plain, frames=18 + number, width=width, height=height)
                zipped.write(render(folder / f"{label}{number}.mp4", spec), f"{label}/{number}.mp4")
    with stack.http() as http:
        answer = http.post("/v1/datasets", files={"archive": ("scenes.zip", archive.read_bytes())})
        assert answer.status_code == 202, answer.text
        found: str = finished(http, answer.json()["id"])["result"]["dataset"]
    return found


def ranks(stack: Stack) -> list[int]:
    """The pids of the run's processes, in the order of their ranks."""
    found: dict[int, int] = {}
    for pid in training_children(stack):
        environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        rank = next((value[5:] for value in environment if value.startswith(b"RANK=")), None)
        if rank is not None and "torch.distributed.run" not in command_line(pid):
            found[int(rank)] = pid
    return [pid for _, pid in sorted(found.items())]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("base", ["tiny", "lite"])
def test_a_run_of_two_processes_ends_in_a_version_with_probe_and_report(
    stack: Stack, http: httpx2.Client, dataset: str, base: str
) -> None:
    options: dict[str, Any] = {"base": base, "tune": "projection", "epochs": 2, "seed": 1}
    done = finished(http, start(http, dataset, f"two-{base}", **options), seconds=240)
    assert done["attempts"] == 1
    model = done["result"]["model"]
    assert model == f"two-{base}:1"
    card = http.get(f"/v1/models/two-{base}/versions/1/files/card.json").json()
    report = http.get(f"/v1/models/two-{base}/versions/1/files/report.json").json()
    assert report["views"]["1x1"]["clips"] == 4
    assert report["base_to_novel"]["how"] == "probe"
    assert card["base_to_novel"] is not None
    assert weights(stack, model)


@pytest.mark.timeout(300)
def test_a_run_goes_on_from_its_checkpoint_after_either_process_is_killed(
    stack: Stack, http: httpx2.Client, dataset: str
) -> None:
    options = {"epochs": 30, "batch_size": 4, "temporal": "transformer", "seed": 3}
    job_id = start(http, dataset, "killed", **options)
    steps = []
    for victim in (0, 1):
        steps.append(secured(http, job_id, continuations=victim))
        pids = ranks(stack)
        assert len(pids) == 2
        os.kill(pids[victim], signal.SIGKILL)
    done = finished(http, job_id, seconds=240)
    assert done["attempts"] == 3
    assert done["result"]["model"] == "killed:1"
    first, second = continued(http, job_id)
    assert first >= steps[0]
    assert second >= steps[1]
    assert not training_children(stack)
