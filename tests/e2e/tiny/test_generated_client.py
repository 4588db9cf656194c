"""A client that a stock generator makes from /openapi.json works against the running service."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.clips import SPECS, render
from tests.e2e.stack import Stack

PROGRAM = Path(__file__).with_name("generated_client.py")
CLASSES = ("colour_bars", "counting cells")


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("clips")
    specs = [
        replace(SPECS["h264"], frames=20 + number, content=("bars", "index")[number % 2], matrix="bt709")
        for number in range(8)
    ]
    return [render(folder / f"{number}.mp4", spec) for number, spec in enumerate(specs)]


@pytest.fixture(scope="module")
def made(stack: Stack, clips: list[Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a program with a generated client made: a dataset, a trained version, an answer."""
    folder = tmp_path_factory.mktemp("generated")
    document = folder / "openapi.json"
    with stack.http() as http:
        document.write_text(http.get("/openapi.json").text)
    options = ["-g", "python", "--package-name", "vireo_generated", "-i", str(document), "-o", str(folder)]
    _run([sys.executable, "-c", "import openapi_generator_cli; openapi_generator_cli.cli()", "generate", *options])
    archive = folder / "scenes.zip"
    with zipfile.ZipFile(archive, "w") as zipped:
        for number, clip in enumerate(clips):
            zipped.write(clip, f"scenes/{CLASSES[number % 2]}/{number}.mp4")
    program = [sys.executable, "-P", str(PROGRAM), stack.url, str(archive), str(clips[0])]
    found: dict[str, Any] = json.loads(_run(program, {"PYTHONPATH": str(folder)}))
    return found


def test_a_generated_client_uploads_a_dataset_trains_and_reads_the_report(made: dict[str, Any]) -> None:
    assert made["clips"] == 8
    assert made["model"] == "contract:1"
    assert made["report"].startswith("<!doctype html>")
    assert made["answer"]["model"] == "contract:1"
    assert sorted(made["answer"]["labels"]) == ["a cat", "colour bars"]
    assert made["missing"] == "unknown_job"


def _run(command: list[str], environment: dict[str, str] | None = None, directory: Path | None = None) -> str:
    """What the command prints."""
    done = subprocess.run(
        command, env=os.environ | (environment or {}), cwd=directory, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-5000:]
    return done.stdout
