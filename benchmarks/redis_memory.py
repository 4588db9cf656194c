"""Redis bytes per finished job, and of 10,000 finished answers with 1000 labels each.

Jobs go through the steps that gateway and worker take, against an embedded Redis: 3, 400 and 1000 labels, and an
embedding of 1000 texts. The script also runs on commit 94f7bcc, which kept everything in Redis:
copy it and tests/redis_server.py there.
Expected before it was built: 3 KB per job, whatever its result; 10,000 jobs in 30 MB instead of 1.5 GB.
"""

from __future__ import annotations

import inspect
import json
import secrets
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis

from benchmarks.report import Row, report
from core.records import Job, new_job_id
from core.state import keys, lifecycle
from core.storage import Store
from tests.redis_server import serving_redis
from worker.jobs.book import JobBook

LIMIT = 1 << 30  # bytes, the embedded Redis's maxmemory
FINISHED = 10_000
SAMPLE = 50
DIM = 512


def main() -> bool:
    with tempfile.TemporaryDirectory(prefix="vireo-bench-") as folder, running_redis(Path(folder)) as client:
        jobs = Jobs(client, Path(folder))
        rows = [
            Row(f"Redis bytes per finished job: {name}", jobs.bytes_each(request, result), "B")
            for name, request, result in cases()
        ]
        client.flushall()
        _, request, result = cases()[2]
        answered = jobs.finish_many(request, result, FINISHED)
        used = int(client.info("memory")["used_memory"])
    return report(
        "redis_memory",
        [
            *rows,
            Row(
                f"of {FINISHED} answers with 1000 labels finished",
                answered,
                "",
                f"all {FINISHED}",
                answered == FINISHED,
            ),
            Row("Redis memory then", used / 1e6, "MB", f"below {LIMIT / 1e6:.0f}", used < LIMIT),
        ],
    )


def cases() -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
    """What is asked and what is answered, as gateway and worker write it."""
    found = []
    for count in (3, 400, 1000):
        labels = [f"a person doing thing number {number}" for number in range(count)]
        found.append((f"{count} labels", _question(labels), _answer(labels)))
    texts = [f"a person doing thing number {number}" for number in range(1000)]
    request: dict[str, Any] = {"texts": texts, "sha256": None, "model": None, "normalize": True}
    vectors = [{"object": "text", "text": text, "vector": [0.0123456789012345] * DIM} for text in texts]
    return [*found, ("1000 texts embedded", request, {"model": "clip-b16", "dim": DIM, "data": vectors})]


def _question(labels: list[str]) -> dict[str, Any]:
    question = {"model": None, "labels": [{"name": label, "prompts": None} for label in labels], "views": "1x1"}
    return {"sha256": "0" * 64, "question": question}


def _answer(labels: list[str]) -> dict[str, Any]:
    return {
        "id": "job_" + "0" * 24,
        "model": "clip-b16",
        "model_info": {"name": "clip-b16", "digest": "0" * 64, "reason": None, "note": None},
        "video": {"id": f"vid_{'0' * 64}", "duration": 10.0, "width": 340, "height": 256, "fps": 25.0, "codec": "h264"},
        "frames": [0.625, 1.875, 3.125, 4.375, 5.625, 6.875, 8.125, 9.375],
        "predictions": [{"label": label, "score": 0.001234, "similarity": 0.212345} for label in labels],
        "timings_ms": {"queue": 1.0, "decode": 81.0, "encode": 190.0, "text": 0.1, "score": 0.2, "total": 274.0},
        "cache": {"video": "miss", "classifier": "hit"},
    }


class Jobs:
    """Creates and finishes jobs like a gateway and a worker."""

    def __init__(self, client: redis.Redis, folder: Path) -> None:
        self._client = client
        self._store = Store((folder / "store").as_uri(), folder / "spool")
        self._before = "now" in inspect.signature(lifecycle.start_args).parameters  # commit 94f7bcc
        self.finish: Callable[[dict[str, Any], dict[str, Any]], bool] = (
            self._finish_before if self._before else self._finish_now
        )

    def bytes_each(self, request: dict[str, Any], result: dict[str, Any]) -> float:
        self._client.flushall()
        self.finish(request, result)
        before = int(self._client.info("memory")["used_memory"])
        self.finish_many(request, result, SAMPLE)
        return (int(self._client.info("memory")["used_memory"]) - before) / SAMPLE

    def finish_many(self, request: dict[str, Any], result: dict[str, Any], count: int) -> int:
        """How many of them were accepted and answered."""
        return sum(self.finish(request, result) for _ in range(count))

    def _finish_now(self, request: dict[str, Any], result: dict[str, Any]) -> bool:
        from core.state import steps
        from core.state.payloads import OWN, Payloads

        payloads = Payloads(self._store, 16 << 10)
        book = JobBook(self._client, keys.INFERENCE, payloads=payloads)
        job = Job(id=new_job_id(), kind="classification", request=request, created_at=time.time())
        if payloads.is_large(json.dumps(request)):
            self._client.register_script(OWN)(keys=[keys.PAYLOADS], args=[job.id])
            written = payloads.write(job.id, "request", json.dumps(request))
            job = job.model_copy(update={"request": {}, written.field: written.text})
        script_keys, args = lifecycle.create_args(job, keys.INFERENCE, 100)
        try:
            self._client.register_script(steps.CREATE)(keys=script_keys, args=args)
            attempt = book.start(job.id)
            return attempt is not None and book.succeed(attempt, result)
        except redis.ResponseError:
            return False

    def _finish_before(self, request: dict[str, Any], result: dict[str, Any]) -> bool:
        steps: Any = lifecycle
        job = Job(id=f"job_{secrets.token_hex(12)}", kind="classification", request=request, created_at=time.time())
        calls = (
            (steps.CREATE, steps.create_args(job, keys.INFERENCE, 100)),
            (steps.START, steps.start_args(job.id, keys.INFERENCE, time.time())),
            (steps.FINISH, steps.finish_args(job.id, keys.INFERENCE, time.time(), "succeeded", "result", result)),
        )
        try:
            for script, (script_keys, args) in calls:
                self._client.register_script(script)(keys=script_keys, args=args)
        except redis.ResponseError:
            return False
        return True


@contextmanager
def running_redis(folder: Path) -> Iterator[redis.Redis]:
    with serving_redis(folder) as socket:
        yield redis.Redis(unix_socket_path=str(socket), decode_responses=True)


if __name__ == "__main__":
    sys.exit(not main())
