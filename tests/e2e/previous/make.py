"""Makes `data.tar.gz` here: the data directory of the release before schema 2, written by its own code.

    git worktree add /tmp/release a7a7708
    PYTHONPATH=/tmp/release:/tmp/release/client python tests/e2e/previous/make.py a7a7708

It starts that release with the tiny model, asks it for one of everything that is stored, and stops it with a question
and a training run in hand. Logs, sockets and the weights, which the tests make anew, are left out.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx2

from tests import tiny
from tests.e2e.runs import start, train, upload, zip_of_scenes
from tests.scenes import film

HERE = Path(__file__).parent
KEPT = ("redis", "store")
LABELS = ["a clock", "a hot air balloon"]
UP = "import sys; from vireo.cli.app import main; sys.argv = ['vireo', 'up']; main()"


def fill(http: httpx2.Client, folder: Path) -> dict[str, Any]:
    """One of everything. Returns what the tests ask for."""
    content = film(folder / "clip.mp4", [("a clock", 1.0)], seed=5).read_bytes()
    video = http.post("/v1/videos", files={"video": content}, data={"tags": "hall", "metadata": '{"camera":"3"}'})
    name = video.json()["id"]
    answer = http.post(f"/v1/videos/{name}/classify", json={"labels": LABELS}).json()
    many = http.post(f"/v1/videos/{name}/classify", json={"labels": [f"label {n}" for n in range(400)]}).json()
    http.put("/v1/label-sets/rooms", json={"labels": LABELS})
    http.put("/v1/label-sets/rooms", json={"labels": [*LABELS, "a spider web"]})
    http.post("/v1/feedback", json={"job": answer["id"], "label": "a hot air balloon"})
    dataset = upload(http, zip_of_scenes(folder))
    run = {"epochs": 1, "batch_size": 4, "frames": 2}
    train(http, dataset, "trained", method="vl_prompt", **run)
    http.put("/v1/models/trained/aliases/production", json={"version": 1})
    unfinished = start(http, dataset, "unfinished", epochs=40, batch_size=4, seed=3, method="vl_prompt", frames=2)
    while not (http.get(f"/v1/jobs/{unfinished}").json()["progress"] or {}).get("step"):
        time.sleep(0.1)
    return {
        "video": name,
        "scores": {each["label"]: each["score"] for each in answer["predictions"]},
        "answer": answer["id"],
        "many": many["id"],
        "dataset": dataset,
        "unfinished": unfinished,
    }


def main(commit: str) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as temporary:
        folder, data = Path(temporary), Path(temporary) / "data"
        tiny.place(data)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = str(probe.getsockname()[1])
        settings = {"VIREO_PORT": port, "VIREO_DATA_DIR": str(data), "VIREO_MODEL": "tiny", "OMP_NUM_THREADS": "1"}
        times = {"VIREO_VIDEO_TTL": "10000000000", "VIREO_ANSWER_TTL": "10000000000", "VIREO_JOB_TTL": "10000000000"}
        process = subprocess.Popen([sys.executable, "-c", UP], env=os.environ | settings | times)
        try:
            with httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=120, trust_env=False) as http:
                _wait(http)
                about = fill(http, folder)
        finally:
            process.terminate()
            process.wait(60)
        (data / "about.json").write_text(json.dumps(about | {"commit": commit}, indent=1) + "\n")
        with tarfile.open(HERE / "data.tar.gz", "w:gz") as archive:
            for name in (*KEPT, "about.json"):
                archive.add(data / name, name)


def _wait(http: httpx2.Client) -> None:
    for _ in range(600):
        try:
            if http.get("/readyz").status_code == 200:
                return
        except httpx2.HTTPError:
            pass
        time.sleep(0.2)
    raise TimeoutError("the release did not get ready")


if __name__ == "__main__":
    main(sys.argv[1])
