"""Everything that a copy makes of a video goes with it: Redis and every file of the data directory, logs and the
append-only file included, are searched for its id, its digest, its file name and its vectors."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import redis

from core.state import keys
from tests.e2e.runs import finished
from tests.e2e.stack import BIN, Stack
from tests.scenes import film

NAME = "birthday-of-anna-7f3a"
LABELS = ["a clock", "a hot air balloon"]


def redis_of(stack: Stack) -> redis.Redis:
    return redis.Redis.from_url((stack.data_dir / "run" / "redis.url").read_text())


def everything(stack: Stack) -> Iterator[tuple[str, bytes]]:
    """Where, and what is there."""
    with redis_of(stack) as client:
        for key in client.scan_iter("*"):
            yield f"redis {key!r}", key + (client.dump(key) or b"")
    for path in stack.data_dir.rglob("*"):
        if path.is_file():
            yield str(path.relative_to(stack.data_dir)), str(path).encode() + path.read_bytes()


def traces(stack: Stack, *needles: bytes) -> dict[str, int]:
    return {
        place: number
        for place, content in everything(stack)
        for number, needle in enumerate(needles)
        if needle in content
    }


def test_nothing_of_a_deleted_video_is_left(stack: Stack, tmp_path: Path) -> None:
    content = film(tmp_path / f"{NAME}.mp4", [("a clock", 1.0)], seed=os.getpid()).read_bytes()
    with stack.http() as http:

        def send() -> str:
            answer = http.post("/v1/videos", files={"video": (f"{NAME}.mp4", content)}, data={"tags": "hall"})
            video: str = answer.json()["id"]
            return video

        video = send()
        asked = [http.post(f"/v1/videos/{video}/classify", json={"labels": LABELS, "timeline": True})]
        asked += [http.post(f"/v1/videos/{video}/{what}", json={"labels": LABELS}) for what in ("timeline", "explain")]
        asked += [http.post(f"/v1/videos/{video}/frames", json={})]
        asked += [http.post(f"/v1/videos/{video}/classify", json={"labels": [f"label {n}" for n in range(400)]})]
        asked += [http.post("/v1/embeddings", json={"video_id": video})]
        index = http.post("/v1/search/index", json={"filter": {"videos": [video]}}).json()["id"]
        finished(http, index)
        asked += [http.post("/v1/search", json={"text": "a clock", "filter": {"videos": [video]}})]
        assert [answer.status_code for answer in asked] == [200] * len(asked), [answer.text for answer in asked]
        http.post("/v1/feedback", json={"job": asked[0].json()["id"], "confirmed": True})
        items = {"items": [{"video_id": video}], "labels": LABELS}
        batch = http.post("/v1/batches", json=items).json()["id"]
        finished(http, batch)
        sha256 = video.removeprefix("vid_").encode()
        with redis_of(stack) as client:
            vectors = [value[-64:] for value in client.hvals(keys.cached_vectors(sha256.decode()))]
        assert len(vectors) >= 2
        needles = (sha256, *vectors)
        assert {place.partition("/")[0] for place in traces(stack, *needles)} >= {"store", "redis"}
        assert http.delete(f"/v1/videos/{video}").status_code == 204
        for answer in asked:
            assert http.get(f"/v1/jobs/{answer.json()['id']}").status_code == 404
        environment = os.environ | {"VIREO_DATA_DIR": str(stack.data_dir)}
        cleared = [str(BIN / "vireo"), "gc", "--json"]
        done = subprocess.run(cleared, env=environment, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        until = time.monotonic() + 10
        while (left := traces(stack, *needles, NAME.encode())) and time.monotonic() < until:
            time.sleep(0.2)  # Redis writes its file anew in the background
        assert left == {}
        (row,) = http.get(f"/v1/batches/{batch}/results").text.splitlines()
        assert json.loads(row)["error"]["code"] == "unknown_video"
        assert send() == video
        again = http.post(f"/v1/videos/{video}/classify", json={"labels": LABELS}).json()
        assert again["cache"]["video"] == "miss"  # no worker has it in its memory either
        http.delete(f"/v1/videos/{video}")
