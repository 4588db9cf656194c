"""`vireo calibrate` against everything that is real, and what questions are answered afterwards."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.clips import SPECS, render
from tests.e2e.stack import BIN, Stack

CLASSES = ("colour bars", "counting cells", "long bars", "many cells")


def vireo(stack: Stack, *arguments: str) -> str:
    done = subprocess.run(
        [str(BIN / "vireo"), *arguments, "--url", stack.url], capture_output=True, text=True, timeout=150, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty clips of four classes."""
    root = tmp_path_factory.mktemp("clips") / "calibration"
    for number in range(20):
        (root / CLASSES[number % 4]).mkdir(parents=True, exist_ok=True)
        spec = replace(SPECS["h264"], frames=4 + number, content=("bars", "index")[number % 2], matrix="bt709")
        render(root / CLASSES[number % 4] / f"{number}.mp4", spec)
    return root


@pytest.fixture(scope="module")
def made(stack: Stack, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """The calibration of `tiny`. It is deleted afterwards: other tests ask the model as it is."""
    picture = tmp_path_factory.mktemp("made") / "reliability.png"
    found: dict[str, Any] = json.loads(
        vireo(stack, "calibrate", "tiny", "--dataset", str(folder), "--diagram", str(picture), "--json")
    )
    yield found | {"picture": picture}
    with stack.http() as http:
        http.delete(found["links"]["self"])


def test_the_command_makes_a_calibration_with_its_picture(made: dict[str, Any], http: httpx2.Client) -> None:
    assert (made["model"], made["version"], made["clips"], made["classes"]) == ("tiny", 1, 20, 4)
    assert made["measures"][0]["questions"] > 0
    assert made["picture"].read_bytes().startswith(b"\x89PNG")
    assert http.get("/v1/calibrations/tiny").json()["id"] == made["id"]
    job = http.get(f"/v1/jobs/{made['id'].replace('cal_', 'job_')}").json()
    assert (job["kind"], job["result"]["id"]) == ("calibration", made["id"])


def test_questions_are_answered_with_confidence_at_once(
    made: dict[str, Any], folder: Path, stack: Stack, http: httpx2.Client
) -> None:
    clip = next((folder / CLASSES[0]).glob("*.mp4"))
    asked = {"labels": json.dumps([*CLASSES, "a cat"]), "model": "tiny", "mode": "multi", "threshold": "0"}
    answer = http.post("/v1/classify", data=asked, files={"video": clip.read_bytes()}).json()
    assert (answer["calibrated"], answer["calibration"]["id"]) == (True, made["id"])
    assert all(each["present"] and 0 < each["confidence"] < 1 for each in answer["predictions"])
    shown = vireo(stack, "classify", "--model", "tiny", str(clip), "--labels", "a cat,a dog", "--threshold", "1")
    assert "confidence" in shown
