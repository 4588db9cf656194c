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

from core.storage import Store
from tests.clips import SPECS, render
from tests.core.calibration.records import published
from tests.e2e.stack import Stack

SPARES = 4
MODEL = "contract"
CLASSES = ("colour_bars", "counting cells")


@dataclass(slots=True)
class Furniture:
    """Names and ids of what is there. What is in `spare` may be deleted, by the operation that is its key."""

    dataset: str
    training: str
    evaluation: str
    calibration: str
    clips: str
    """A dataset with enough clips for a calibration. They are only listed."""

    video: str
    explanation: str
    batch: str
    feedback: str
    clip: str
    """The bytes of a short video, in base64."""

    model: str = MODEL
    label_set: str = "kept"
    spare: dict[str, list[str]] = field(default_factory=dict)

    def share(self, path: str, names: list[str]) -> None:
        """One half may be deleted as a whole, the other by its version."""
        self.spare[f"DELETE {path}"], self.spare[f"DELETE {path}/versions/{{n}}"] = names[:SPARES], names[SPARES:]

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
        video = _ok(http.post("/v1/videos", files={"video": clip}))["id"]
        scored = {"model": "tiny", "labels": list(CLASSES)}
        store = stack.data_dir / "store"
        calibrations = [
            published(Store(store.as_uri(), folder / "spool"), folder, number, model="tiny").id
            for number in range(1 + SPARES)
        ]
        made = Furniture(
            dataset=dataset,
            calibration=calibrations[0],
            clips=_copy(store / "datasets", dataset, "ds_" + "c" * 24, "dataset.json", _many_clips("ds_" + "c" * 24)),
            training=training,
            evaluation=_finished(http, http.post("/v1/evaluations", json=question))["id"],
            video=video,
            feedback=_feedback(http, video, clip),
            explanation=_ok(http.post(f"/v1/videos/{video}/explain", json=scored))["id"],
            batch=_finished(http, http.post("/v1/batches", json=scored | {"items": [{"video_id": video}, {}]}))["id"],
            clip=base64.b64encode(clip).decode(),
        )
        # bytes behind the end of a container change nothing but the id
        made.spare["DELETE /v1/videos/{id}"] = [
            _ok(http.post("/v1/videos", files={"video": clip + bytes([number])}))["id"] for number in range(SPARES)
        ]
        made.spare["DELETE /v1/feedback/{id}"] = [
            _say(http, video, start=number / 10, end=number / 10 + 0.05) for number in range(SPARES)
        ]
        label_sets = [f"spare-{number}" for number in range(2 * SPARES)]
        for name in (made.label_set, *label_sets):
            _ok(http.put(f"/v1/label-sets/{name}", json={"labels": ["a cat", "colour bars"]}))
        made.share("/v1/label-sets/{name}", label_sets)
        _ok(http.put(f"/v1/models/{made.model}/aliases/production", json={"version": 1}))
    made.spare["DELETE /v1/calibrations/{name}"] = calibrations[1:]
    _copy(store / "registry", f"{MODEL}/1", f"{MODEL}/2", "card.json", {"version": 2})  # a shadow
    made.share("/v1/models/{name}", [_copy_version(store, MODEL, f"spare-{number}") for number in range(2 * SPARES)])
    made.spare["DELETE /v1/datasets/{id}"] = [
        _copy(store / "datasets", dataset, f"ds_{number:024x}", "dataset.json") for number in range(SPARES)
    ]
    made.spare["DELETE /v1/evaluations/{id}"] = [
        _copy(store / "evaluations", made.evaluation, f"job_{number:024x}") for number in range(SPARES)
    ]
    return made


def _feedback(http: httpx2.Client, video: str, clip: bytes) -> str:
    """Feedback about the video; and about others, so that it is enough for a dataset."""
    for number in range(4):
        other = _ok(http.post("/v1/videos", files={"video": clip + bytes([100 + number])}))["id"]
        _say(http, other, label=CLASSES[number % 2])
    return _say(http, video)


def _say(http: httpx2.Client, video: str, label: str = CLASSES[1], **span: float) -> str:
    said: str = _ok(http.post("/v1/feedback", json={"video": video, "label": label} | span))["id"]
    return said


def queue(stack: Stack, made: Furniture) -> None:
    """Add training jobs to cancel, and cancelled ones to resume. Their worker is paused."""
    with stack.http() as http:
        asked = {"name": "waiting", "dataset": made.dataset, "base": "tiny"}
        jobs = [_ok(http.post("/v1/training-jobs", json=asked))["id"] for _ in range(4)]
        for job in jobs[2:]:
            _ok(http.post(f"/v1/jobs/{job}/cancel"))
    made.spare["POST /v1/training-jobs/{id}/cancel"] = jobs[:2]
    made.spare["POST /v1/training-jobs/{id}/resume"] = jobs[2:]


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


def _many_clips(dataset: str) -> dict[str, Any]:
    """What to change in the description of a dataset."""
    labels = [f"{name} {number}" for number in range(2) for name in CLASSES]
    items = [
        {
            "path": f"{number}.mp4",
            "sha256": f"{number:064x}",
            "label": labels[number % 4],
            "split": "train",
            "seconds": 1,
        }
        for number in range(20)
    ]
    return {"id": dataset, "items": items, "classes": [{"name": name, "train": 5} for name in sorted(labels)]}


def _copy_version(store: Path, model: str, name: str) -> str:
    _copy(store / "registry", f"{model}/1", f"{name}/1", "card.json", {"name": name})
    return name


def _copy(folder: Path, name: str, new: str, description: str = "", changes: dict[str, Any] | None = None) -> str:
    """description: the file that says what it is; changes: of this file, by default its id."""
    shutil.copytree(folder / name, folder / new)
    if description:
        file = folder / new / description
        file.write_text(json.dumps(json.loads(file.read_text()) | (changes or {"id": new})))
    return new
