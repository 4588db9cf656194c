"""A worker whose device fails gives its jobs back and ends, and the next worker answers them. Real processes."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import redis

from core.records import Job, JobState, new_job_id
from core.settings import Settings
from core.state import keys, lifecycle, steps
from core.state.queues import send_job
from core.storage import Store, blob_key
from tests.clips import rendered
from tests.tiny import place
from worker.consumer import EXIT_DEVICE_FAILED
from worker.jobs.book import JobBook

START_SECONDS = 120.0

BROKEN = """
import sys, torch
from models.recognition.recognizer import Recognizer

def encode_frames(*_):
    raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")

if __name__ == "__main__":  # the decode children import this file as well
    Recognizer.encode_frames = encode_frames
    from worker.consumer import main
    sys.argv = ["vireo-worker", "--queue", "inference"]
    main()
"""
"""A worker on a device with which every forward pass fails from now on."""


@pytest.fixture
def settings(tmp_path: Path, redis_url: str) -> Settings:
    place(tmp_path)
    return Settings(data_dir=tmp_path, redis_url=redis_url, model="tiny", decode_processes=1)


def worker(settings: Settings, log: Path, *command: str) -> subprocess.Popen[bytes]:
    environment = {
        "VIREO_DATA_DIR": str(settings.data_dir),
        "VIREO_REDIS_URL": str(settings.redis_url),
        "VIREO_MODEL": settings.model,
        "VIREO_DECODE_PROCESSES": "1",
        "OMP_NUM_THREADS": "1",
    }
    with log.open("wb") as output:
        return subprocess.Popen([sys.executable, *command], env=os.environ | environment, stdout=output, stderr=output)


def queue(settings: Settings, records: redis.Redis, sha256: str) -> Job:
    request = {"sha256": sha256, "question": {"labels": [{"name": "a"}, {"name": "b"}]}}
    job = Job(id=new_job_id(), kind="classification", request=request, created_at=time.time())
    script_keys, args = lifecycle.create_args(job, keys.INFERENCE, 100)
    assert records.register_script(steps.CREATE)(keys=script_keys, args=args)[0] == "created"
    send_job(records, job.id, keys.INFERENCE)
    return job


def wait_for_state(book: JobBook, job: Job, state: JobState, log: Path) -> Job:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        found = book.get(job.id)
        if found and found.state == state:
            return found
        time.sleep(0.1)
    raise AssertionError(f"{job.id} is not {state}: {book.get(job.id)}\n{log.read_text()[-3000:]}")


def test_a_worker_with_a_broken_device_gives_its_jobs_back_and_ends(
    settings: Settings, records: redis.Redis, tmp_path: Path
) -> None:
    clip = rendered("h264", tmp_path)
    sha256 = hashlib.sha256(clip.read_bytes()).hexdigest()
    Store.from_settings(settings).publish_file(clip, blob_key(sha256))
    book, log = JobBook(records, keys.INFERENCE), tmp_path / "worker.log"
    jobs = [queue(settings, records, sha256) for _ in range(3)]
    script = tmp_path / "broken.py"
    script.write_text(BROKEN)
    assert worker(settings, log, str(script)).wait(START_SECONDS) == EXIT_DEVICE_FAILED, log.read_text()[-3000:]
    for job in jobs:
        found = book.get(job.id)
        assert found
        assert (found.state, found.error) == (JobState.QUEUED, None)
    assert records.llen(keys.INFERENCE) == len(jobs)  # and so are their messages
    process = worker(settings, log, "-P", str(Path(sys.executable).with_name("vireo-worker")), "--queue", "inference")
    try:
        for job in jobs:
            result = wait_for_state(book, job, JobState.SUCCEEDED, log).result
            assert result
    finally:
        process.terminate()
        process.wait(60)
