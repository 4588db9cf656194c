"""A whole import job: what a checkpoint becomes, and what is left if the job fails, stops or is killed."""

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

from core.datasets import archive_key
from core.errors import Cancelled, InvalidCheckpoint, WorkerUnavailable
from core.records import Job, JobState, Progress, new_job_id
from core.registry import Registry, Version
from core.settings import Settings
from core.state import keys, lifecycle, steps
from core.storage import Store
from core.training_requests import ImportRequest
from models.files.versions import open_version
from tests.models.conftest import CPU, Bomb
from tests.models.official import CONFIG, clip_state, fusion_state, tiny_model, under
from worker.children.environment import child_environment
from worker.importing import import_child, importer
from worker.importing.importer import run_import
from worker.importing.role import ImportingRole
from worker.jobs.attempt import Interrupted, run_job
from worker.jobs.book import JobBook
from worker.jobs.cancellation import CancelToken, RunningJobs, StopReason
from worker.jobs.connection import connect


def packed(content: Any) -> bytes:
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


def official() -> bytes:
    return packed(
        {"epoch": 30, "model_state_dict": under("module.", clip_state() | under("fusion_model.", fusion_state()))}
    )


@dataclass(slots=True)
class ImportBench:
    """Stores checkpoints as the gateway does and runs import jobs."""

    folder: Path
    store: Store
    settings: Settings
    registry: Registry
    token: CancelToken = field(default_factory=CancelToken)
    reported: list[Progress] = field(default_factory=list)
    number: int = 1

    def stock(self, data: bytes, **options: Any) -> ImportRequest:
        """Stores a file as the gateway does."""
        key = archive_key(f"{hashlib.sha256(data).hexdigest()}-{os.urandom(6).hex()}")
        with self.store.stage() as staged:
            staged.write(data)
            self.store.publish(staged, key)
        return ImportRequest(file=key, **({"filename": "k400-f4.pt", "name": "k400", "base": "tiny"} | options))

    def run(self, request: ImportRequest, job: str = "job_1") -> dict[str, Any]:
        return run_import(
            request,
            job,
            store=self.store,
            registry=self.registry,
            claim=lambda: self.number,
            settings=self.settings,
            token=self.token,
            report_progress=self.reported.append,
        )

    def files(self) -> set[str]:
        """The names of all files in the store, but its locks."""
        root = self.folder / "data" / "store"
        files = {path for path in root.rglob("*") if path.is_file() or path.suffix == ".part"}
        locks = {root / "partial" / "lock", *(root / "partial").glob("*.writer")}
        return {str(path.relative_to(root)) for path in files - locks}


@pytest.fixture
def bench(tmp_path: Path) -> ImportBench:
    settings = Settings(data_dir=tmp_path / "data")
    weights = tmp_path / "data" / "weights"
    weights.mkdir(parents=True)
    save_file(dict(tiny_model(seed=7).state_dict()), weights / "tiny.safetensors")
    card = {"like": "clip-b16", "architecture": CONFIG, "profile": {"size": 32, "short_side": 36}}
    (weights / "tiny.json").write_text(json.dumps(card))
    store = Store(settings.store_url, tmp_path / "data" / "spool")
    return ImportBench(tmp_path, store, settings, Registry(store))


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are read in this process, for tests of what follows from a file. A child takes seconds to import torch."""
    monkeypatch.setattr(importer, "_read", lambda spec, _: import_child.read(spec))


VERSION = {f"registry/k400/1/{name}" for name in ("architecture.json", "card.json", "model.safetensors")}


def test_a_checkpoint_becomes_a_version_that_answers(bench: ImportBench) -> None:
    request = bench.stock(official(), classes=("abseiling", "zumba"))
    answer = bench.run(request)
    card = bench.registry.card(Version("k400", 1))
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
    assert bench.files() == VERSION
    assert [progress.phase for progress in bench.reported] == ["preparing", "publishing"]
    with bench.registry.directory(Version("k400", 1)) as files:
        version = open_version(files, data_dir=bench.settings.data_dir, progress=lambda *_: None)
    recognizer = version.recognizer(CPU, torch.float32)
    assert recognizer.pool(torch.randn(1, 4, 32)).shape == (1, 32)
    assert recognizer.encode_texts(["abseiling"])[0].shape == (1, 32)


@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize(
    ("content", "options", "words"),
    [
        (b"not weights", {}, "k400-f4.pt is not a state dict"),
        (packed({"visual.proj": torch.ones(1).expand(1 << 22, 1 << 22)}), {}, "not plain weights"),
        (official(), {"classes": ("a", "b", "a")}, "classes[2] is listed twice"),
        (official(), {"classes": ("a", " ")}, "classes[1] is empty"),
    ],
    ids=["text", "bomb", "twice", "blank"],
)
def test_a_file_that_cannot_be_imported_is_explained_and_deleted(
    bench: ImportBench, content: bytes, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(InvalidCheckpoint) as caught:
        bench.run(bench.stock(content, **options))
    assert words in caught.value.message
    assert bench.files() == set()


def test_a_pickle_with_code_runs_nothing(bench: ImportBench) -> None:
    data = packed({"model_state_dict": clip_state(), "extra": Bomb(bench.folder / "boom")})
    with pytest.raises(InvalidCheckpoint, match="can be loaded safely") as caught:
        bench.run(bench.stock(data))
    assert "it asks for posix.mkdir" in (caught.value.hint or "")
    assert not (bench.folder / "boom").exists()
    assert bench.files() == set()


@pytest.mark.usefixtures("in_process")
def test_repeating_a_job_changes_nothing(bench: ImportBench) -> None:
    """The worker died after it had published the version: before or after it deleted the file."""
    data = official()
    request = bench.stock(data)
    first = bench.run(request)
    card = (bench.folder / "data/store/registry/k400/1/card.json").read_bytes()
    assert bench.run(request) == first
    with bench.store.stage() as staged:
        staged.write(data)
        bench.store.publish(staged, request.file)
    assert bench.run(request) == first
    assert (bench.folder / "data/store/registry/k400/1/card.json").read_bytes() == card
    assert bench.files() == VERSION
    with pytest.raises(InvalidCheckpoint, match="no longer stored"):
        bench.run(request, job="job_2")


@contextmanager
def when_started(do: Callable[[subprocess.Popen[str]], object], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Do something to the child process as soon as it has started."""

    class Child(subprocess.Popen[str]):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            do(self)

    monkeypatch.setattr(subprocess, "Popen", Child)
    yield
    monkeypatch.undo()


def test_a_killed_child_makes_the_job_run_again(bench: ImportBench, monkeypatch: pytest.MonkeyPatch) -> None:
    request = bench.stock(official())
    with when_started(lambda child: child.kill(), monkeypatch), pytest.raises(Interrupted):
        bench.run(request)
    assert bench.files() == {request.file}
    monkeypatch.setattr(importer, "_read", lambda spec, _: import_child.read(spec))
    assert bench.run(request)["model"] == "k400:1"


def test_a_crash_of_the_child_refuses_the_file(bench: ImportBench, monkeypatch: pytest.MonkeyPatch) -> None:
    request = bench.stock(official())
    crash = when_started(lambda child: child.send_signal(signal.SIGSEGV), monkeypatch)
    with crash, pytest.raises(InvalidCheckpoint, match="crashed"):
        bench.run(request)
    assert bench.files() == set()


def test_cancelling_kills_the_child_and_leaves_nothing(bench: ImportBench, monkeypatch: pytest.MonkeyPatch) -> None:
    request = bench.stock(official())
    cancel = threading.Timer(0.1, bench.token.cancel)

    def stop(child: subprocess.Popen[str]) -> None:
        child.send_signal(signal.SIGSTOP)  # it would never end by itself
        cancel.start()

    with when_started(stop, monkeypatch), pytest.raises(Cancelled):
        bench.run(request)
    assert bench.files() == set()


def test_a_worker_that_stops_keeps_the_file(bench: ImportBench, monkeypatch: pytest.MonkeyPatch) -> None:
    request = bench.stock(official())
    stop = threading.Timer(0.1, lambda: bench.token.cancel(StopReason.WORKER_STOPS))
    with when_started(lambda _: stop.start(), monkeypatch), pytest.raises(Cancelled):
        bench.run(request)
    assert bench.files() == {request.file}


def test_a_child_that_takes_too_long_is_killed(bench: ImportBench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importer, "_BASE_SECONDS", 0.05)
    monkeypatch.setattr(importer, "_MIN_BYTES_PER_SECOND", 1 << 40)
    with pytest.raises(InvalidCheckpoint, match="too long"):
        bench.run(bench.stock(official()))


def test_a_worker_without_torch_does_not_blame_the_file(bench: ImportBench, monkeypatch: pytest.MonkeyPatch) -> None:
    request = bench.stock(official())
    (bench.folder / "torch.py").write_text("raise ImportError")
    path = f"{bench.folder}:{child_environment()['PYTHONPATH']}"
    monkeypatch.setitem(importer._CHILD_ENVIRONMENT, "PYTHONPATH", path)
    with pytest.raises(WorkerUnavailable):
        bench.run(request)
    assert bench.files() == {request.file}


def test_the_child_gets_no_secrets(bench: ImportBench, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, str] = {}
    monkeypatch.setenv("VIREO_REDIS_URL", "redis://:secret@host")

    def look(child: subprocess.Popen[str]) -> None:
        seen.update(_environment(child))
        child.terminate()

    with when_started(look, monkeypatch), pytest.raises(InvalidCheckpoint):
        bench.run(bench.stock(official()))
    assert seen
    assert not [name for name, value in seen.items() if "secret" in value]


def _environment(child: subprocess.Popen[str]) -> dict[str, str]:
    if sys.platform != "linux":
        pytest.skip("looks into /proc")
    entries: list[str] = []
    while "PYTHONSAFEPATH=1" not in entries:  # until the child has replaced the environment of its parent
        entries = Path(f"/proc/{child.pid}/environ").read_text().split("\0")
    return dict(entry.split("=", 1) for entry in entries if "=" in entry)


def test_a_zip_member_that_claims_a_huge_size_is_refused(bench: ImportBench) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/version", "3")
        archive.writestr("archive/data.pkl", bytes(1 << 20))
        archive.filelist[-1].file_size = 1 << 40
    with pytest.raises(InvalidCheckpoint):
        bench.run(bench.stock(file.getvalue()))
    assert bench.files() == set()


def test_the_role_runs_import_jobs(bench: ImportBench, redis_url: str) -> None:
    settings = Settings(data_dir=bench.settings.data_dir, redis_url=redis_url, decode_processes=1)
    client = connect(redis_url, decode=True)
    book, running = JobBook(client, keys.DATASETS), RunningJobs()
    role = ImportingRole(settings)
    try:
        job = queued(client, bench.stock(official()))
        assert run_job(role.handlers, book, running, job.id) is None
        done = book.get(job.id)
        assert done is not None
        assert done.state is JobState.SUCCEEDED, done.error
        assert (done.result or {})["model"] == "k400:1"
        refused = queued(client, bench.stock(official(), classes=("a", "a")))
        run_job(role.handlers, book, running, refused.id)
        failed = book.get(refused.id)
        assert failed is not None
        assert (failed.error or {})["code"] == "invalid_checkpoint"
    finally:
        role.close()
    assert bench.registry.versions("k400") == [1]


def queued(client: Any, request: ImportRequest) -> Job:
    job = Job(id=new_job_id(), kind="import", request=request.model_dump(mode="json"), created_at=time.time())
    script_keys, args = lifecycle.create_args(job, keys.DATASETS, 100)
    client.register_script(steps.CREATE)(keys=script_keys, args=args)
    return job


@pytest.mark.usefixtures("in_process")
def test_staged_files_do_not_outlive_a_dead_worker(bench: ImportBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker was killed with staged files: the sweep deletes them, and the next attempt publishes."""
    request = bench.stock(official())

    def die(*_: object) -> None:
        raise KeyboardInterrupt  # nothing below catches it, as nothing catches SIGKILL

    with monkeypatch.context() as dying:
        dying.setattr(bench.registry, "publish", die)
        with pytest.raises(KeyboardInterrupt):
            bench.run(request)
    bench.store.sweep()
    assert bench.files() == {request.file}
    assert bench.run(request)["version"] == 1
