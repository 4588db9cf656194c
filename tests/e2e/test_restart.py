"""What was accepted outlives a killed Redis and the whole service; no process outlives the supervisor."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import httpx2

from tests import tiny
from tests.clips import rendered
from tests.e2e.runs import LONG, at_step, continued, finished, start, upload
from tests.e2e.stack import alive, running
from tests.e2e.tiny.conftest import ENVIRONMENT


def classified(http: httpx2.Client, video: str) -> bool:
    return http.post(f"/v1/videos/{video}/classify", json={"label_set": "kept"}).status_code == 200


def until_gone(pids: set[int]) -> None:
    deadline = time.monotonic() + 30
    while alive(pids):
        assert time.monotonic() < deadline, alive(pids)
        time.sleep(0.05)


def test_accepted_work_outlives_a_killed_redis_and_a_restart_in_the_middle_of_a_run(
    tmp_path: Path, archive: Path
) -> None:
    """Redis is killed, then comes Ctrl-C, then `vireo up` again. At the end the supervisor itself is killed."""
    data_dir = tmp_path / "data"
    tiny.place(data_dir)
    with running(data_dir, ENVIRONMENT) as first:
        with first.http() as http:
            http.put("/v1/label-sets/kept", json={"labels": ["a", "b"]}).raise_for_status()
            video = http.post("/v1/videos", files={"video": rendered("h264", tmp_path).read_bytes()}).json()["id"]
            dataset = upload(http, archive)
            os.kill(first.children("redis-server")[0], signal.SIGKILL)
            deadline = time.monotonic() + 60
            while not classified(http, video):
                assert time.monotonic() < deadline
                time.sleep(0.05)
            job = start(http, dataset, "lasting", **LONG)
            at_step(http, job, 30)
        family = first.family()
        assert first.stop(signal.SIGINT) == 0
        assert alive(family) == set()
    with running(data_dir, ENVIRONMENT) as second, second.http() as http:
        assert http.get("/v1/label-sets/kept").json()["version"] == 1
        assert classified(http, video)
        assert finished(http, job)["result"]["model"] == "lasting:1"
        assert continued(http, job)[-1] >= 30
        family = second.family()
        second.process.kill()
        second.process.wait()
        until_gone(family)
