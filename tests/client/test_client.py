"""The client against a real gateway with test doubles as workers."""

from __future__ import annotations

import io
import threading
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save

from core import errors
from core.records import Job
from core.state import keys
from tests.core.calibration.records import PICTURE, published
from tests.service.doubles import answering
from tests.service.library import DATASET, Library
from tests.service.sites import SHA, VIDEO, Site, serving
from tests.waiting import wait_until
from vireo import Client, ConnectionFailed
from vireo.errors import (
    InvalidDataset,
    InvalidRequest,
    NotFound,
    TrainingFailed,
    UnknownJob,
    UnknownModel,
    UnknownVideo,
)
from vireo.export import Stripped
from vireo.synchronous import jobs


def folder(root: Path) -> Path:
    for name in ("boxing", "running"):
        (root / name).mkdir(parents=True)
        (root / name / "clip.mp4").write_bytes(name.encode() * 1000)
    return root


def prepared(site: Site, seen: list[list[str]]) -> Any:
    """A datasets worker that only lists the names in the archive."""

    def prepare(job: Job) -> dict[str, Any]:
        data = (site.store / job.request["archive"]).read_bytes()
        seen.append(zipfile.ZipFile(io.BytesIO(data)).namelist())
        return {"dataset": DATASET, "name": job.request["name"], "classes": 2, "clips": 2, "report": []}

    return prepare


def test_a_folder_or_an_archive_becomes_a_dataset(client: Client, site: Site, redis_url: str, tmp_path: Path) -> None:
    seen: list[list[str]] = []
    moved: list[tuple[int, int]] = []
    directory = folder(tmp_path / "My Gym")
    with answering(redis_url, prepared(site, seen), keys.DATASETS):
        made = client.datasets.add(directory, progress=lambda done, size: moved.append((done, size))).result()
        assert (made.dataset, made.name) == (DATASET, "My Gym")
        archive = tmp_path / "gym.zip"
        with zipfile.ZipFile(archive, "w") as packed:
            packed.write(directory / "boxing" / "clip.mp4", "boxing/clip.mp4")
        assert client.datasets.add(archive, split_seed=7).result().name == "gym"
    assert seen == [["boxing/clip.mp4", "running/clip.mp4"], ["boxing/clip.mp4"]]
    assert moved[-1] == (13_000, 13_000)
    asked = [job.refresh().view.request for job in client.jobs.list(kind="dataset")]
    assert [request and request["split_seed"] for request in asked] == [7, 0]


def test_a_dataset_that_is_too_large_or_missing_is_not_sent(redis_url: str, tmp_path: Path) -> None:
    with serving(redis_url, tmp_path / "data", max_archive_bytes=1000) as site, Client(site.url) as client:
        with pytest.raises(InvalidRequest, match="13000 bytes"):
            client.datasets.add(folder(tmp_path / "gym"))
        with pytest.raises(InvalidRequest, match="no file or directory"):
            client.datasets.add(tmp_path / "nothing")
        assert list(client.jobs.list()) == []


def test_a_refused_dataset_carries_its_findings(client: Client, redis_url: str, tmp_path: Path) -> None:
    report = [{"severity": "error", "code": "thin_class", "message": "m"}]
    error = errors.InvalidDataset("Nothing to train on.", report=report)
    with answering(redis_url, lambda _: error, keys.DATASETS), pytest.raises(InvalidDataset) as raised:
        client.datasets.add(folder(tmp_path / "gym")).result()
    assert raised.value.details["report"] == report


def test_train_follow_cancel_resume(client: Client, library: Library, redis_url: str) -> None:
    library.dataset()
    with answering(redis_url, lambda _: None, keys.TRAINING) as worker:
        job = client.train("gym", DATASET, epochs=2, shots=None)
        wait_until(lambda: worker.job(job.id).attempts == 1)
        worker.report(job.id, "metric", {"epoch": 1, "split": "train", "loss": 1.0})
        assert job.cancel().state == "running"
        worker.finish(job.id, errors.TrainingFailed("It stopped.", step=3))
        assert [event.event for event in job.follow()] == ["state", "metric", "state"]
        with pytest.raises(TrainingFailed) as raised:
            job.result()
        assert (raised.value.job, job.has_ended) == (job.id, True)
        assert job.resume().state in ("queued", "running")
        wait_until(lambda: worker.job(job.id).attempts == 2)
        threading.Timer(0.2, lambda: worker.finish(job.id, {"model": "gym:1"})).start()
        result = job.result()
        assert (result.model, result.raw) == ("gym:1", {"model": "gym:1"})
        last = [event.id for event in job.follow()][-1]
        assert list(job.follow(after=last)) == []
        assert client.jobs.get(job.id).state == "succeeded"
    with pytest.raises(UnknownJob):
        client.jobs.get("job_1")


def test_events_continue_after_a_broken_connection(
    redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "POLL_SECONDS", 0.01)
    with serving(redis_url, tmp_path / "data") as site, answering(redis_url, lambda _: None, keys.TRAINING) as worker:
        Library(site.gateway.store).dataset()
        with Client(site.url) as client:
            job = client.train("gym", DATASET)
            wait_until(lambda: worker.job(job.id).attempts == 1)
            stream = job.follow()
            assert next(stream).state == "running"
            site.loop.call_soon_threadsafe(site.gateway.stopping.set)  # every stream ends, as when a gateway stops
            wait_until(lambda: site.gateway.events.readers == 0)
            worker.report(job.id, "log", {"message": "meanwhile"})
            site.loop.call_soon_threadsafe(site.gateway.stopping.clear)
            assert next(stream).raw == {"message": "meanwhile"}
            worker.finish(job.id, {"model": "gym:1"})
            assert [event.state for event in stream] == ["succeeded"]


def test_a_server_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "RECONNECT_SECONDS", 0.1)
    monkeypatch.setattr(jobs, "POLL_SECONDS", 0.05)
    with Client("http://127.0.0.1:9", retries=0) as client:
        job = jobs.Job[Any](client._connection, {"id": "job_1"})
        for call in (client.info, lambda: list(client.models.list()), lambda: list(job.follow())):
            with pytest.raises(ConnectionFailed, match=r"Nothing answers at http://127\.0\.0\.1:9"):
                call()
    with pytest.raises(InvalidRequest, match="no address"), Client("nowhere") as client:
        client.info()


def test_models_aliases_and_imports(client: Client, library: Library, site: Site, tmp_path: Path) -> None:
    library.version("gym", 1)
    library.version("gym", 2)
    assert client.models.set_alias("gym", "production", 1).aliases == {"production": 1}
    assert [(model.name, model.versions) for model in client.models.list()] == [("gym", [1, 2])]
    assert client.models.set_shadow("gym", "production", 2, share=0.5).share == 0.5
    assert client.models.shadow("gym", "production").counts.seen == 0
    client.models.delete_shadow("gym", "production")
    with pytest.raises(NotFound, match="has no shadow"):
        client.models.delete_shadow("gym", "production")
    (tmp_path / "k400.pt").write_bytes(b"weights")
    job = client.models.add_checkpoint(tmp_path / "k400.pt", "k400", frames=8, classes=["a", "b"], base=None)
    asked = job.view.request
    assert asked is not None
    assert (job.kind, asked["name"], asked["frames"], asked["classes"]) == ("import", "k400", 8, ["a", "b"])
    assert asked["filename"] == "k400.pt"


def test_exporting_a_version(
    client: Client, library: Library, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = {"visual.proj": np.ones((2, 2), np.float32), "temporal.w": np.zeros(3, np.float32)}
    monkeypatch.setattr("tests.service.library.WEIGHTS", save(weights))
    library.version("gym", 1, architecture="ViT-B-16-quickgelu")
    done = client.models.export("gym", tmp_path / "plain.safetensors")
    assert (done.card.version, done.stripped) == (1, Stripped(1, ("temporal",), False))
    assert (load_file(tmp_path / "plain.safetensors")["visual.proj"] == 1).all()
    assert [path.name for path in tmp_path.glob("*.safetensors")] == ["plain.safetensors"]
    with pytest.raises(UnknownModel):
        client.models.export("gym:2", tmp_path / "none.safetensors")
    library.version("small", 1, architecture="lite")
    with pytest.raises(InvalidRequest, match="no architecture of open_clip"):
        client.models.export("small", tmp_path / "none.safetensors")
    assert not (tmp_path / "none.safetensors").exists()


@pytest.mark.parametrize("url", ["https://example.org/a.mp4", "http://example.org/a.mp4"])
def test_a_url_is_sent_as_a_url_and_an_id_as_an_id(client: Client, redis_url: str, url: str) -> None:
    with answering(redis_url) as worker:
        client.classify(video_url=url, labels=["a", "b"], top_k=1, model=None)
        with pytest.raises(UnknownVideo):
            client.classify(video_id="vid_" + "0" * 64, labels=["a"])
        (asked,) = [worker.job(job_id).request for job_id in worker.seen]
    assert asked["url"] == url
    assert [label["name"] for label in asked["question"]["labels"]] == ["a", "b"]
    assert (asked["question"]["top_k"], asked["question"]["model"]) == (1, None)


def test_calibrations_are_listed_read_and_deleted(client: Client, library: Library, tmp_path: Path) -> None:
    first, second = (published(library.store, tmp_path / "new", number) for number in (1, 2))
    assert [each.id for each in client.calibrations.list()] == [second.id, first.id]
    found = client.calibrations.get(first.id)
    client.calibrations.save_diagram(first.id, tmp_path / "diagram.png")
    assert (found.version, (tmp_path / "diagram.png").read_bytes()) == (1, PICTURE)
    client.calibrations.delete(first.id)
    with pytest.raises(NotFound):
        client.calibrations.delete(first.id)
    with pytest.raises(InvalidRequest, match="clips"):
        client.calibrations.start(library.dataset().id)


def test_clips_of_a_dataset_are_written(client: Client, library: Library, site: Site, tmp_path: Path) -> None:
    library.dataset()
    clips = site.store / "datasets" / DATASET / "clips"
    clips.mkdir(parents=True, exist_ok=True)
    (clips / SHA).write_bytes(VIDEO)
    client.datasets.save_clip(DATASET, SHA, tmp_path / "clip.mp4")
    assert (tmp_path / "clip.mp4").read_bytes() == VIDEO
    with pytest.raises(NotFound):
        client.datasets.save_clip(DATASET, "0" * 64, tmp_path / "none.mp4")
    assert not (tmp_path / "none.mp4").exists()
