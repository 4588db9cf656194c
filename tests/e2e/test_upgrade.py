"""The data directory of the release before is opened, migrated and goes on; a backup of it, made under traffic, is
restored into a new one. `tests/e2e/previous/make.py` made the directory, with the code of that release."""

from __future__ import annotations

import json
import os
import subprocess
import tarfile
import threading
import time
from pathlib import Path
from typing import Any

import httpx2
import pytest
import redis

from core.records import SCHEMA
from core.state import keys
from tests import tiny
from tests.e2e.runs import job
from tests.e2e.stack import BIN, Stack, running

LONG = "10000000000"  # seconds: the directory is old, and nothing of it is to expire
ENVIRONMENT = {"VIREO_MODEL": "tiny", "OMP_NUM_THREADS": "1", "VIREO_LEASE_SECONDS": "4"} | dict.fromkeys(
    ("VIREO_ANSWER_TTL", "VIREO_JOB_TTL", "VIREO_VIDEO_TTL"), LONG
)
PREVIOUS = Path(__file__).parent / "previous" / "data.tar.gz"


def unpacked(data: Path) -> dict[str, Any]:
    """What the release wrote about its directory."""
    tiny.place(data)
    with tarfile.open(PREVIOUS) as archive:
        archive.extractall(data, filter="data")
    about: dict[str, Any] = json.loads((data / "about.json").read_text())
    return about


def vireo(data: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(BIN / "vireo"), *arguments]
    environment = os.environ | {"VIREO_DATA_DIR": str(data)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


def redis_of(stack: Stack) -> redis.Redis:
    url = (stack.data_dir / "run" / "redis.url").read_text()
    return redis.Redis.from_url(url, decode_responses=True)


def check(stack: Stack, http: httpx2.Client, about: dict[str, Any]) -> None:
    """Everything of the release is there, and works."""
    video = http.get(f"/v1/videos/{about['video']}").json()
    assert (video["kept"], video["tags"], video["metadata"]) == (True, ["hall"], {"camera": "3"})
    answer = http.get(f"/v1/jobs/{about['answer']}").json()["result"]
    assert {each["label"]: each["score"] for each in answer["predictions"]} == about["scores"]
    assert len(http.get(f"/v1/jobs/{about['many']}").json()["result"]["predictions"]) == 400
    asked = http.post(f"/v1/videos/{about['video']}/classify", json={"labels": list(about["scores"])}).json()
    assert {each["label"]: each["score"] for each in asked["predictions"]} == pytest.approx(about["scores"], abs=1e-3)
    assert http.get("/v1/label-sets/rooms").json()["version"] == 2
    assert http.get("/v1/feedback").json()["data"][0]["label"] == "a hot air balloon"
    assert http.get(f"/v1/datasets/{about['dataset']}").status_code == 200
    question = {"labels": ["colour_bars", "counting cells"], "model": "trained@production"}
    assert http.post(f"/v1/videos/{about['video']}/classify", json=question).json()["model"] == "trained:1"
    with redis_of(stack) as client:
        assert client.get(keys.SCHEMA) == client.hget(keys.job(about["answer"]), "schema") == str(SCHEMA)


def goes_on(http: httpx2.Client, job_id: str) -> None:
    """The unfinished run is started again, and makes steps."""
    deadline = time.monotonic() + 90
    while True:
        found = job(http, job_id)
        if found["state"] == "succeeded" or (found["state"] == "running" and found["attempts"] > 1):
            return
        assert found["state"] in ("queued", "running"), found
        assert time.monotonic() < deadline, found
        time.sleep(0.2)


def test_the_previous_release_is_opened_backed_up_and_restored(tmp_path: Path) -> None:
    about = unpacked(tmp_path / "data")
    stop, answered = threading.Event(), list[str]()
    with running(tmp_path / "data", ENVIRONMENT) as stack, stack.http() as http:
        check(stack, http, about)
        goes_on(http, about["unfinished"])

        def traffic() -> None:
            with stack.http() as asking:
                while not stop.is_set():
                    question = {"labels": [f"label {len(answered)}", "another"]}
                    answer = asking.post(f"/v1/videos/{about['video']}/classify", json=question)
                    answered.append(answer.json()["id"])

        thread = threading.Thread(target=traffic)
        thread.start()
        try:
            time.sleep(1)
            before = list(answered)
            made = vireo(tmp_path / "data", "backup", str(tmp_path / "backup"), "--json")
        finally:
            stop.set()
            thread.join()
        assert made.returncode == 0, made.stderr
        assert len(answered) > len(before) > 0
        refused = vireo(tmp_path / "data", "restore", str(tmp_path / "backup"))
        assert (refused.returncode, "not empty" in refused.stderr) == (1, True), refused.stderr
    tiny.place(tmp_path / "new")
    restored = vireo(tmp_path / "new", "restore", str(tmp_path / "backup"), "--json")
    assert restored.returncode == 0, restored.stderr
    assert json.loads(restored.stdout)["files"] == json.loads(made.stdout)["files"] > 10
    with running(tmp_path / "new", ENVIRONMENT) as stack, stack.http() as http:
        check(stack, http, about)
        goes_on(http, about["unfinished"])
        states = {http.get(f"/v1/jobs/{each}").json()["state"] for each in before}
        assert states == {"succeeded"}


def test_a_newer_release_is_refused_in_words(tmp_path: Path) -> None:
    data = tmp_path / "data"
    unpacked(data)
    about = json.loads((data / "store" / "store.json").read_text())
    (data / "store" / "store.json").write_text(json.dumps(about | {"schema": SCHEMA + 1}))
    started = vireo(data, "up")
    assert started.returncode == 1
    assert f"was written by a newer Vireo (schema {SCHEMA + 1})" in " ".join(started.stderr.split()), started.stderr
