"""400 labels: the classifier from the text tower, from Redis, and from memory. ViT-B/16's text tower, random weights.

Expected before it was built: 400 labels of about ten tokens take the text tower 1 to 3 s, Redis a few ms, memory none.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path

import redis

from benchmarks.random_weights import write_random_b16
from benchmarks.report import Row, report
from core.questions import Label
from models.files.loader import load_model
from models.recognition.recognizer import Recognizer
from tests.redis_server import serving_redis
from worker.inference.caches.classifiers import ClassifierCache
from worker.inference.caches.remote import RemoteCache

LABELS, ROUNDS = 400, 5


def main() -> bool:
    with tempfile.TemporaryDirectory(prefix="vireo-bench-") as folder:
        write_random_b16(Path(folder))
        recognizer = load_model("clip-b16", data_dir=Path(folder), progress=lambda *_: None)
        with serving_redis(Path(folder)) as socket:
            times = [_round(recognizer, redis.Redis(unix_socket_path=str(socket)), i) for i in range(ROUNDS)]
    uncached, remote, memory = (statistics.median(column) for column in zip(*times, strict=True))
    return report(
        "classifier_cache",
        [
            Row(f"{LABELS} labels, text tower", uncached * 1000, "ms"),
            Row(f"{LABELS} labels, rows from Redis", remote * 1000, "ms"),
            Row(f"{LABELS} labels, matrix from memory", memory * 1000, "ms"),
            Row("uncached / Redis", uncached / remote, "×", "at least 50", uncached / remote >= 50),
            Row("uncached / memory", uncached / memory, "×", "at least 50", uncached / memory >= 50),
        ],
    )


def _round(recognizer: Recognizer, client: redis.Redis, index: int) -> tuple[float, float, float]:
    labels = [Label(name=f"a person doing activity {index}-{i}") for i in range(LABELS)]
    first = ClassifierCache(RemoteCache(client, 3600))
    second = ClassifierCache(RemoteCache(client, 3600))  # another worker: nothing in its memory, everything in Redis
    return _time(first, recognizer, labels), _time(second, recognizer, labels), _time(second, recognizer, labels)


def _time(cache: ClassifierCache, recognizer: Recognizer, labels: list[Label]) -> float:
    start = time.perf_counter()
    cache.classifier(recognizer, labels, recognizer.profile.templates, normalise=False)
    return time.perf_counter() - start


if __name__ == "__main__":
    sys.exit(not main())
