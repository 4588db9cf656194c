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
from tests.e2e.runs import continued, finished, secured, start, training_children, upload, weights
from tests.e2e.stack import Stack, command_line, copy_of, running
from tests.e2e.tiny.conftest import ENVIRONMENT

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
        return upload(http, archive)


def ranks(stack: Stack) -> list[int]:
    """The pids of the run's processes, in the order of their ranks."""
    found: dict[int, int] = {}
    for pid in training_children(stack):
        environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        rank = next((value[5:] for value in environment if value.startswith(b"RANK=")), None)
        if rank is not None and "torch.distributed.run" not in command_line(pid):
            found[int(rank)] = pid
    return [pid for _, pid in sorted(found.items())]


@pytest.mark.parametrize(
    ("base", "victims", "options"),
    [
        ("tiny", (0, 1), {"epochs": 30, "batch_size": 4, "tune": "projection"}),
        ("lite", (1,), {"epochs": 12, "batch_size": 4, "tune": "projection", "frames": 2}),
    ],
)
def test_a_run_of_two_processes_that_are_killed_ends_in_a_version_with_probe_and_report(
    stack: Stack, http: httpx2.Client, dataset: str, base: str, victims: tuple[int, ...], options: dict[str, Any]
) -> None:
    """victims: the ranks that are killed one after the other, each once a checkpoint was written since the last."""
    job_id = start(http, dataset, f"two-{base}", base=base, seed=3, **options)
    steps = []
    for kills, victim in enumerate(victims):
        steps.append(secured(http, job_id, continuations=kills))
        pids = ranks(stack)
        assert len(pids) == 2
        os.kill(pids[victim], signal.SIGKILL)
    done = finished(http, job_id, seconds=300)
    assert done["attempts"] == len(victims) + 1
    assert done["result"]["model"] == f"two-{base}:1"
    for begin, step in zip(continued(http, job_id), steps, strict=True):
        assert begin >= step
    assert not training_children(stack)
    files = f"/v1/models/two-{base}/versions/1/files"
    report = http.get(f"{files}/report.json").json()
    assert report["views"]["1x1"]["clips"] == 4
    assert report["base_to_novel"]["how"] == "probe"
    assert http.get(f"{files}/card.json").json()["base_to_novel"] is not None
    assert weights(stack, done["result"]["model"])
