"""What the contract test finds in the service: something real behind every path, and spares for what is deleted."""

from __future__ import annotations

import base64
import json
import shutil
import time
import zipfile
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx2

from tests.clips import SPECS, render
from tests.e2e.stack import Stack

SPARES = 6
MODEL = "contract"
CLASSES = ("colour_bars", "counting cells")


@dataclass(slots=True)
class Furniture:
    """Names and ids by kind. What is in `spare` may be deleted."""

    dataset: str
    training: str
    evaluation: str
    video: str
    clip: str
    """The bytes of a short video, in base64."""

    model: str = MODEL
    label_set: str = "kept"
    spare: dict[str, list[str]] = field(default_factory=dict)

    def write(self, path: Path) -> Path:
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")
        return path


def furnish(stack: Stack, folder: Path) -> Furniture:
    """Make one of everything and the spares; `folder` is for files on the way."""
    clips = _clips(folder)
    clip = clips[0].read_bytes()
    with stack.http() as http:
        sent = http.post("/v1/datasets", params={"name": "scenes"}, files={"archive": _archive(folder, clips)})
        dataset = _finished(http, sent)["result"]["dataset"]
        asked = {"name": MODEL, "dataset": dataset, "base": "tiny", "epochs": 1, "temporal": "mean"}
        training = _finished(http, http.post("/v1/training-jobs", json=asked))["id"]
        question = {"model": MODEL, "dataset": dataset}
        made = Furniture(
            dataset=dataset,
            training=training,
            evaluation=_finished(http, http.post("/v1/evaluations", json=question))["id"],
            video=_ok(http.post("/v1/videos", files={"video": clip}))["id"],
            clip=base64.b64encode(clip).decode(),
        )
        # bytes behind the end of a container change nothing but the id
        made.spare["videos"] = [
            _ok(http.post("/v1/videos", files={"video": clip + bytes([number])}))["id"] for number in range(SPARES)
        ]
        made.spare["label-sets"] = [f"spare-{number}" for number in range(SPARES)]
        for name in (made.label_set, *made.spare["label-sets"]):
            _ok(http.put(f"/v1/label-sets/{name}", json={"labels": ["a cat", "colour bars"]}))
        _ok(http.put(f"/v1/models/{made.model}/aliases/production", json={"version": 1}))
    store = stack.data_dir / "store"
    made.spare["models"] = [_copy_version(store, made.model, f"spare-{number}") for number in range(SPARES)]
    made.spare["datasets"] = [_copy_dataset(store, made.dataset, f"ds_{number:024x}") for number in range(SPARES)]
    made.spare["evaluations"] = [_copy_report(store, made.evaluation, f"job_{number:024x}") for number in range(SPARES)]
    return made


def _clips(folder: Path) -> list[Path]:
    specs = [
        replace(SPECS["h264"], frames=20 + number, content=("bars", "index")[number % 2], matrix="bt709")
        for number in range(8)
    ]
    return [render(folder / f"{number}.mp4", spec) for number, spec in enumerate(specs)]


def _archive(folder: Path, clips: list[Path]) -> bytes:
    archive = folder / "scenes.zip"
    with zipfile.ZipFile(archive, "w") as zipped:
        for number, clip in enumerate(clips):
            zipped.write(clip, f"scenes/{CLASSES[number % 2]}/{number}.mp4")
    return archive.read_bytes()


def _ok(answer: httpx2.Response) -> Any:
    assert answer.is_success, answer.text
    return answer.json()


def _finished(http: httpx2.Client, answer: httpx2.Response) -> Any:
    """The job that the request made, once it has succeeded."""
    job = _ok(answer)
    deadline = time.monotonic() + 150
    while (found := _ok(http.get(f"/v1/jobs/{job['id']}")))["state"] in ("queued", "running"):
        assert time.monotonic() < deadline, found
        time.sleep(0.1)
    assert found["state"] == "succeeded", found
    return found


def _copy_version(store: Path, model: str, name: str) -> str:
    target = store / "registry" / name / "1"
    shutil.copytree(store / "registry" / model / "1", target)
    card = target / "card.json"
    card.write_text(json.dumps(json.loads(card.read_text()) | {"name": name}))
    return name


def _copy_dataset(store: Path, dataset: str, name: str) -> str:
    target = store / "datasets" / name
    shutil.copytree(store / "datasets" / dataset, target)
    description = target / "dataset.json"
    description.write_text(json.dumps(json.loads(description.read_text()) | {"id": name}))
    return name


def _copy_report(store: Path, evaluation: str, name: str) -> str:
    shutil.copytree(store / "evaluations" / evaluation, store / "evaluations" / name)
    return name
