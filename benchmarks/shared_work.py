"""Eight equal questions at once, with new labels or a bad video, and a cache Redis that never answers.

Counts of what one worker does, and the time that a cache adds to a question. It takes about ten seconds.
"""

from __future__ import annotations

import hashlib
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch

from benchmarks.report import Row, report
from core.errors import UndecodableVideo
from core.records import Job
from core.settings import Settings
from core.storage import blob_key
from models.text import clip_encoder
from tests.clips import rendered
from tests.redis_server import serving_redis
from tests.tiny import place
from worker.decoding.pool import DecodePool
from worker.inference.handlers import answer_classify
from worker.inference.runtime import Runtime
from worker.jobs.cancellation import CancelToken

TOGETHER, LABELS, REPEATS = 8, 60, 3


def main() -> bool:
    with tempfile.TemporaryDirectory(prefix="vireo-bench-") as folder, _redis(Path(folder)) as url:
        data_dir = Path(folder)
        place(data_dir)
        with _runtime(data_dir, url, url) as runtime:
            good = _keep(runtime, rendered("h264", data_dir).read_bytes())
            bad = _keep(runtime, b"this is no video" * 100)
            _answer(runtime, good, "warm")
            texts = _count_texts(lambda: _at_once(runtime, good))
            decodes = _count_decodes(lambda: _at_once(runtime, bad))
            cached = sum(_seconds(lambda i=i: _answer(runtime, good, f"cached {i}")) for i in range(REPEATS)) / REPEATS
        with _silent() as away, _runtime(data_dir, url, away) as runtime:
            costs = [_seconds(lambda i=i: _answer(runtime, good, f"away {i}")) for i in range(REPEATS)]
        return report(
            "shared_work",
            [
                Row("texts encoded for 8 × 60 equal new labels", texts, "", "60", texts == LABELS),
                Row("decodes for 8 questions about one bad video", decodes, "", "1", decodes == 1),
                Row("one question, cache Redis there", cached * 1000, "ms"),
                Row("first question, cache Redis silent", costs[0] * 1000, "ms"),
                Row("third question, cache Redis silent", costs[2] * 1000, "ms", "< 250", costs[2] < 0.25),
            ],
        )


def _keep(runtime: Runtime, data: bytes) -> str:
    sha256 = hashlib.sha256(data).hexdigest()
    with tempfile.NamedTemporaryFile(delete=False) as file:
        file.write(data)
    runtime.store.publish_file(Path(file.name), blob_key(sha256))
    return sha256


def _answer(runtime: Runtime, sha256: str, *labels: str) -> None:
    question = {"labels": [{"name": name} for name in labels], "model": "tiny"}
    request = {"sha256": sha256, "question": question}
    job = Job(id="job_1", kind="classification", request=request, created_at=time.time())
    try:
        answer_classify(runtime, job, CancelToken())
    except UndecodableVideo:
        return


def _at_once(runtime: Runtime, sha256: str) -> None:
    labels = [f"label {index}" for index in range(LABELS)]
    with ThreadPoolExecutor(TOGETHER) as pool:
        list(pool.map(lambda _: _answer(runtime, sha256, *labels), range(TOGETHER)))


def _count_texts(run: Any) -> int:
    counted: list[int] = []
    encode = clip_encoder.encode_trimmed

    def counting(model: Any, tokens: torch.Tensor) -> torch.Tensor:
        counted.append(len(tokens))
        return encode(model, tokens)

    with patch.object(clip_encoder, "encode_trimmed", counting):
        run()
    return sum(counted)


def _count_decodes(run: Any) -> int:
    counted: list[Path] = []
    submit = DecodePool.submit

    def counting(self: DecodePool, path: Path, **options: Any) -> Any:
        counted.append(path)
        return submit(self, path, **options)

    with patch.object(DecodePool, "submit", counting):
        run()
    return len(counted)


def _seconds(run: Any) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


@contextmanager
def _runtime(data_dir: Path, url: str, cache_url: str) -> Iterator[Runtime]:
    settings = Settings(data_dir=data_dir, model="tiny", redis_url=url, redis_cache_url=cache_url)
    runtime = Runtime.open(settings, lambda _: None)
    try:
        yield runtime
    finally:
        runtime.close()


@contextmanager
def _redis(folder: Path) -> Iterator[str]:
    with serving_redis(folder) as path:
        yield f"unix://{path}"


@contextmanager
def _silent() -> Iterator[str]:
    """The URL of a listener that accepts connections and never answers."""
    held: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            while True:
                try:
                    held.append(listener.accept()[0])
                except OSError:
                    return

        threading.Thread(target=accept, daemon=True).start()
        yield f"redis://127.0.0.1:{listener.getsockname()[1]}/0"
        listener.shutdown(socket.SHUT_RDWR)
    for connection in held:
        connection.close()


if __name__ == "__main__":
    sys.exit(not main())
