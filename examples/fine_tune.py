"""`python examples/fine_tune.py FOLDER [NAME]`: the whole way from clips to a model that answers, over HTTP.

FOLDER has one folder of videos per class; one that does not exist is drawn. The model is called NAME (default: balls).
It starts from the model that BASE in the environment names (default: the server's).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import httpx2

URL = os.environ.get("VIREO_URL", "http://127.0.0.1:8000")


def finished(http: httpx2.Client, response: httpx2.Response) -> dict[str, Any]:
    """The job that the response names, once it has ended. Prints what it says about itself."""
    if response.is_error:
        sys.exit(f"{response.status_code}: {response.json()['error']['message']}")
    job = response.json()
    with http.stream("GET", job["links"]["events"], timeout=None) as events:
        for line in events.iter_lines():
            if line.startswith('data: {"message"'):
                print(json.loads(line.removeprefix("data: "))["message"])
    ended: dict[str, Any] = http.get(job["links"]["self"]).json()
    if ended["state"] != "succeeded":
        sys.exit(f"{ended['kind']} {ended['state']}: {(ended['error'] or {}).get('message', '')}")
    return ended


def main() -> None:
    if len(sys.argv) not in (2, 3):
        sys.exit("usage: python examples/fine_tune.py FOLDER [NAME]")
    folder, name = Path(sys.argv[1]), sys.argv[2] if len(sys.argv) == 3 else "balls"
    if not folder.exists():
        subprocess.run([sys.executable, Path(__file__).with_name("draw_clips.py"), folder], check=True)

    with httpx2.Client(base_url=URL, timeout=300) as http, tempfile.TemporaryDirectory() as temporary:
        archive = Path(shutil.make_archive(f"{temporary}/clips", "zip", folder)).read_bytes()
        dataset = finished(http, http.post("/v1/datasets", files={"archive": (f"{name}.zip", archive)}))["result"]
        print(f"{dataset['dataset']}: {dataset['clips']} clips, {dataset['classes']} classes")

        base = {"base": os.environ["BASE"]} if "BASE" in os.environ else {}
        request = {"name": name, "dataset": dataset["dataset"]} | base
        result = finished(http, http.post("/v1/training-jobs", json=request))["result"]
        print(f"{result['model']}: {result['headline']['sentence']}")

        clip = min(folder.rglob("*.mp4"))
        for labels in ({}, {"labels": json.dumps(["a ball", "a box", "a cat"])}):  # its own classes; then other labels
            files = {"video": (clip.name, clip.read_bytes())}
            answer = http.post("/v1/classify", files=files, data={"model": result["model"]} | labels)
            best = answer.raise_for_status().json()["predictions"][0]
            print(f"{clip.relative_to(folder)}: {best['label']} {best['score']:.0%}")


if __name__ == "__main__":
    main()
