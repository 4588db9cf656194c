"""The whole job of an import: what becomes of a checkpoint, and what is left when it fails, stops or is killed."""

from __future__ import annotations

import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from core import storage
from core.datasets import archive_key
from core.errors import Cancelled, InvalidCheckpoint, WorkerUnavailable
from core.records import Job, JobState, Progress, new_job_id
from core.registry import Registry, Version
from core.settings import Settings
from core.state import keys, lifecycle
from core.storage import Store
from core.training_requests import ImportRequest
from models.files.versions import open_version
from tests.models.conftest import CPU, Bomb
from tests.models.official import CONFIG, clip_state, fusion_state, tiny_model, under
from worker.datasets.role import Datasets
from worker.importing import importer
from worker.importing.importer import import_checkpoint
from worker.jobs.attempt import Interrupted, run_job
from worker.jobs.book import JobBook
from worker.jobs.cancellation import Cancellations, CancelToken
from worker.jobs.connection import connect
from worker.jobs.heartbeat import Heartbeat


def packed(content: Any) -> bytes:
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


def official() -> bytes:
    return packed(
        {"epoch": 30, "model_state_dict": under("module.", clip_state() | under("fusion_model.", fusion_state()))}
    )


@dataclass(slots=True)
class Counter:
    """Where checkpoints are handed in."""

    folder: Path
    store: Store
    settings: Settings
    registry: Registry
    token: CancelToken = field(default_factory=CancelToken)
    said: list[Progress] = field(default_factory=list)
    number: int = 1

    def stock(self, data: bytes, **wishes: Any) -> ImportRequest:
        """Stores a file as the gateway does."""
        key = archive_key(f"{hashlib.sha256(data).hexdigest()}-{os.urandom(6).hex()}")
        with self.store.stage() as staged:
            staged.write(data)
            self.store.publish(staged, key)
        return ImportRequest(file=key, **({"filename": "k400-f4.pt", "name": "k400", "base": "tiny"} | wishes))

    def run(self, request: ImportRequest, job: str = "job_1") -> dict[str, Any]:
        return import_checkpoint(
            request,
            job,
            store=self.store,
            registry=self.registry,
            claim=lambda: self.number,
            settings=self.settings,
            token=self.token,
            progress=self.said.append,
        )

    def files(self) -> set[str]:
        """All that lies in the store."""
        root = self.folder / "data" / "store"
        return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file() or path.suffix == ".part"}


@pytest.fixture
def counter(tmp_path: Path) -> Counter:
    settings = Settings(data_dir=tmp_path / "data")
    place = tmp_path / "data" / "weights"
    place.mkdir(parents=True)
    save_file(dict(tiny_model(seed=7).state_dict()), place / "tiny.safetensors")
    card = {"like": "clip-b16", "architecture": CONFIG, "profile": {"size": 32, "short_side": 36}}
    (place / "tiny.json").write_text(json.dumps(card))
    store = Store(settings.store_url, tmp_path / "data" / "spool")
    return Counter(tmp_path, store, settings, Registry(store))


VERSION = {f"registry/k400/1/{name}" for name in ("architecture.json", "card.json", "model.safetensors")}


def test_a_checkpoint_becomes_a_version_that_answers(counter: Counter) -> None:
    request = counter.stock(official(), classes=("abseiling", "zumba"))
    answer = counter.run(request)
    card = counter.registry.card(Version("k400", 1))
    assert answer == {
        "model": "k400:1",
        "version": 1,
        "architecture": card.architecture,
        "temporal": "transformer",
        "frames": 4,
        "text": "base",
        "note": card.note,
    }
    assert (card.origin, card.base, card.method, card.job) == ("imported", "tiny", "text4vis", "job_1")
    assert (card.classes, card.open_labels, card.text_digest) == (("abseiling", "zumba"), True, "")
    assert card.profile["templates"] == ["a video of a person {}."]
    assert card.logit_scale == pytest.approx(1 / 0.07, rel=1e-5)  # open_clip's start
    assert card.hyperparameters == {"file": "k400-f4.pt", "sha256": request.file.split("/")[1][:64]}
    assert card.packages["torch"].startswith(torch.__version__.split("+")[0])
    assert counter.files() == VERSION
    assert [progress.phase for progress in counter.said] == ["preparing", "publishing"]
    version = open_version(
        counter.registry.directory(Version("k400", 1)), data_dir=counter.settings.data_dir, progress=lambda *_: None
    )
    recognizer = version.recognizer(CPU, torch.float32)
    assert recognizer.pool(torch.randn(1, 4, 32)).shape == (1, 32)
    assert recognizer.encode_texts(["abseiling"])[0].shape == (1, 32)


@pytest.mark.parametrize(
    ("content", "wishes", "words"),
    [
        (b"not weights", {}, "k400-f4.pt is not a state dict"),
        (packed({"visual.proj": torch.ones(1).expand(1 << 22, 1 << 22)}), {}, "no plain weights"),
        (official(), {"classes": ("a", "b", "a")}, "classes[2] stands there twice"),
        (official(), {"classes": ("a", " ")}, "classes[1] is empty"),
    ],
    ids=["text", "bomb", "twice", "blank"],
)
def test_what_cannot_be_imported_is_told_and_goes(
    counter: Counter, content: bytes, wishes: dict[str, Any], words: str
) -> None:
    with pytest.raises(InvalidCheckpoint) as caught:
        counter.run(counter.stock(content, **wishes))
    assert words in caught.value.message
    assert counter.files() == set()


def test_a_pickle_with_code_runs_nothing(counter: Counter) -> None:
    data = packed({"model_state_dict": clip_state(), "extra": Bomb(counter.folder / "boom")})
    with pytest.raises(InvalidCheckpoint, match="can be loaded safely") as caught:
        counter.run(counter.stock(data))
    assert "it asks for posix.mkdir" in (caught.value.hint or "")
    assert not (counter.folder / "boom").exists()
    assert counter.files() == set()


def test_doing_it_again_changes_nothing(counter: Counter) -> None:
    """The worker died after publishing: before and after the file was deleted."""
    data = official()
    request = counter.stock(data)
    first = counter.run(request)
    card = (counter.folder / "data/store/registry/k400/1/card.json").read_bytes()
    assert counter.run(request) == first
    with counter.store.stage() as staged:
        staged.write(data)
        counter.store.publish(staged, request.file)
    assert counter.run(request) == first
    assert (counter.folder / "data/store/registry/k400/1/card.json").read_bytes() == card
    assert counter.files() == VERSION
    with pytest.raises(InvalidCheckpoint, match="not stored"):
        counter.run(request, job="job_2")


@contextmanager
def meanwhile(do: Callable[[subprocess.Popen[str]], object], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Something befalls the child as soon as it is there."""

    class Befallen(subprocess.Popen[str]):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            do(self)

    monkeypatch.setattr(subprocess, "Popen", Befallen)
    yield
    monkeypatch.undo()


def test_kill_9_of_the_child_and_the_job_is_done_again(counter: Counter, monkeypatch: pytest.MonkeyPatch) -> None:
    request = counter.stock(official())
    with meanwhile(lambda child: child.kill(), monkeypatch), pytest.raises(Interrupted):
        counter.run(request)
    assert counter.files() == {request.file}
    assert counter.run(request)["model"] == "k400:1"


def test_a_crash_is_the_files_fault(counter: Counter, monkeypatch: pytest.MonkeyPatch) -> None:
    request = counter.stock(official())
    crash = meanwhile(lambda child: child.send_signal(signal.SIGSEGV), monkeypatch)
    with crash, pytest.raises(InvalidCheckpoint, match="crashed"):
        counter.run(request)
    assert counter.files() == set()


def test_cancelling_stops_at_once_and_leaves_nothing(counter: Counter, monkeypatch: pytest.MonkeyPatch) -> None:
    request = counter.stock(official())
    began = time.monotonic()
    with meanwhile(lambda _: threading.Timer(0.1, counter.token.trip).start(), monkeypatch), pytest.raises(Cancelled):
        counter.run(request)
    assert time.monotonic() - began < 3
    assert counter.files() == set()


def test_a_worker_that_leaves_keeps_the_file(counter: Counter, monkeypatch: pytest.MonkeyPatch) -> None:
    request = counter.stock(official())
    leave = threading.Timer(0.1, lambda: counter.token.trip(leaving=True))
    with meanwhile(lambda _: leave.start(), monkeypatch), pytest.raises(Cancelled):
        counter.run(request)
    assert counter.files() == {request.file}


def test_what_takes_too_long_is_stopped(counter: Counter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importer, "_PATIENCE", 0.05)
    monkeypatch.setattr(importer, "_SLOWEST", 1 << 40)
    with pytest.raises(InvalidCheckpoint, match="too long"):
        counter.run(counter.stock(official()))


def test_a_worker_without_torch_does_not_blame_the_file(counter: Counter, monkeypatch: pytest.MonkeyPatch) -> None:
    request = counter.stock(official())
    (counter.folder / "torch.py").write_text("raise ImportError")
    path = f"{counter.folder}:{importer._CHILD_ENVIRONMENT['PYTHONPATH']}"
    monkeypatch.setitem(importer._CHILD_ENVIRONMENT, "PYTHONPATH", path)
    with pytest.raises(WorkerUnavailable):
        counter.run(request)
    assert counter.files() == {request.file}


def test_the_child_gets_no_secrets(counter: Counter, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, str] = {}
    monkeypatch.setenv("VIREO_REDIS_URL", "redis://:secret@host")

    def look(child: subprocess.Popen[str]) -> None:
        seen.update(_environment(child))
        child.terminate()

    with meanwhile(look, monkeypatch), pytest.raises(InvalidCheckpoint):
        counter.run(counter.stock(official()))
    assert seen
    assert not [name for name, value in seen.items() if "secret" in value]


def _environment(child: subprocess.Popen[str]) -> dict[str, str]:
    if sys.platform != "linux":
        pytest.skip("looks into /proc")
    entries: list[str] = []
    while "PYTHONSAFEPATH=1" not in entries:  # until the child has become itself
        entries = Path(f"/proc/{child.pid}/environ").read_text().split("\0")
    return dict(entry.split("=", 1) for entry in entries if "=" in entry)


def test_a_member_that_promises_too_much_meets_the_limit(counter: Counter) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/version", "3")
        archive.writestr("archive/data.pkl", bytes(1 << 20))
        archive.filelist[-1].file_size = 1 << 40
    with pytest.raises(InvalidCheckpoint):
        counter.run(counter.stock(file.getvalue()))
    assert counter.files() == set()


def test_the_role_does_the_job(counter: Counter, redis_url: str) -> None:
    settings = Settings(data_dir=counter.settings.data_dir, redis_url=redis_url, decode_processes=1)
    client = connect(redis_url, decode=True)
    book, running = JobBook(client, keys.DATASETS), Cancellations()
    role = Datasets(settings, Heartbeat(client, book, running))
    try:
        job = queued(client, counter.stock(official()))
        assert not run_job(role.handlers, book, running, job.id)
        done = book.get(job.id)
        assert done is not None
        assert done.state is JobState.SUCCEEDED, done.error
        assert (done.result or {})["model"] == "k400:1"
        refused = queued(client, counter.stock(official(), classes=("a", "a")))
        run_job(role.handlers, book, running, refused.id)
        failed = book.get(refused.id)
        assert failed is not None
        assert (failed.error or {})["code"] == "invalid_checkpoint"
    finally:
        role.close()
    assert counter.registry.versions("k400") == [1]


def queued(client: Any, request: ImportRequest) -> Job:
    job = Job(id=new_job_id(), kind="import", request=request.model_dump(mode="json"), created_at=time.time())
    script_keys, args = lifecycle.create_args(job, keys.DATASETS, 100)
    client.register_script(lifecycle.CREATE)(keys=script_keys, args=args)
    return job


def test_nothing_half_written_outlives_a_dead_worker(counter: Counter, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed with the child's files staged: the sweep takes them, the next attempt publishes."""
    request = counter.stock(official())

    def die(*_: object) -> None:
        raise KeyboardInterrupt  # nothing below catches it, as nothing catches SIGKILL

    monkeypatch.setattr(counter.registry, "publish", die)
    with pytest.raises(KeyboardInterrupt):
        counter.run(request)
    monkeypatch.undo()
    monkeypatch.setattr(storage, "STALE_AFTER", -1.0)
    counter.store.sweep()
    assert counter.files() == {request.file}
    assert counter.run(request)["version"] == 1
