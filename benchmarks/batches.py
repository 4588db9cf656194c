"""What a batch costs beside the same questions one by one, and what it costs a question that somebody asks meanwhile.

A running copy of the product over HTTP; ViT-B/16 with random weights, 8 frames, 2-s clips of 320×240. Expected before
it was measured: about new videos a batch takes as long as eight clients that ask at once, because encoding takes all
of it; about videos that were asked before it takes up to twice as long, because its questions are jobs that it makes,
reads and deletes.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.random_weights import write_random_b16
from benchmarks.report import Row, report
from tests.e2e.stack import running
from tests.scenes import film
from vireo import Client

NEW, SEEN, MEANWHILE = 16, 400, 20
ROUNDS = 2  # of all ways, one after another
LABELS = ["a hot air balloon", "a spider web", "a traffic light"]


def main() -> bool:
    with tempfile.TemporaryDirectory(prefix="vireo-bench-") as folder:
        data = Path(folder) / "data"
        write_random_b16(data)
        with running(data, {"VIREO_MODEL": "clip-b16"}) as stack, Client(stack.url) as client:
            videos = _videos(client, Path(folder))
            client.classify(video_id=next(videos), labels=LABELS)
            rows = list(_compared(client, "new", lambda: [next(videos) for _ in range(NEW)]))
            known = [next(videos) for _ in range(NEW)]
            _at_once(client, known)
            again = [known[number % NEW] for number in range(SEEN)]
            rows += _compared(client, "seen", lambda: again)
            rows += _meanwhile(client, known[0], [next(videos) for _ in range(2 * NEW)])
    return report("batches", rows)


def _videos(client: Client, folder: Path) -> Iterator[str]:
    """The ids of stored videos. Bytes behind the end of a container change nothing but the id."""
    content = film(folder / "film.mp4", [(label, 0.7) for label in LABELS], seed=1).read_bytes()
    for number in range(1000):
        path = folder / f"{number}.mp4"
        path.write_bytes(content + str(number).encode())
        yield client.videos.add(path).id


def _compared(client: Client, what: str, videos: Callable[[], Sequence[str]]) -> Iterator[Row]:
    ways = {"one by one": _one_by_one, "eight at once": _at_once, "as a batch": _as_a_batch}
    spent: dict[str, list[float]] = {how: [] for how in ways}
    for _ in range(ROUNDS):
        for how, ask in ways.items():
            asked = videos()
            start = time.perf_counter()
            ask(client, asked)
            spent[how].append((time.perf_counter() - start) * 1000 / len(asked))
    for how, times in spent.items():
        yield Row(f"{what} videos, {how}", statistics.mean(times), "ms per video")


def _one_by_one(client: Client, videos: Sequence[str]) -> None:
    for video in videos:
        client.classify(video_id=video, labels=LABELS)


def _at_once(client: Client, videos: Sequence[str]) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda video: client.classify(video_id=video, labels=LABELS), videos))


def _as_a_batch(client: Client, videos: Sequence[str]) -> None:
    job = client.batches.start(videos, LABELS)
    while not job.refresh().has_ended:
        time.sleep(0.02)
    assert job.result().answered == len(videos), job


def _meanwhile(client: Client, video: str, others: Sequence[str]) -> Iterator[Row]:
    """A question about a video that was asked before, alone and while a batch of new videos runs."""
    yield Row("a question, nothing else runs, median", _median(client, video), "ms")
    job = client.batches.start(others, LABELS)
    yield Row("a question while a batch of new videos runs, median", _median(client, video), "ms")
    assert job.refresh().state == "running"
    job.cancel()


def _median(client: Client, video: str) -> float:
    spent = []
    for _ in range(MEANWHILE):
        start = time.perf_counter()
        client.classify(video_id=video, labels=LABELS)
        spent.append(time.perf_counter() - start)
    return statistics.median(spent) * 1000


if __name__ == "__main__":
    sys.exit(not main())
