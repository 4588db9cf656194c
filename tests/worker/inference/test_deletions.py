"""A worker forgets a deleted video, also one whose deletion it could not hear of."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import redis
import torch

from core.records import VideoFacts
from core.state import keys
from tests.waiting import wait_until
from worker.inference.caches.features import VectorKey, VideoVectors
from worker.inference.caches.windows import Windows
from worker.inference.deletions import Deletions
from worker.inference.runtime import Runtime

FACTS = VideoFacts(duration=1.0, width=2, height=2, codec="h264")
VECTORS = VideoVectors(torch.ones(1, 2, 3), (0.0, 0.5), FACTS, ())
ROWS = np.ones((2, 3), np.float32)


@pytest.fixture
def deletions(runtime: Runtime, records: redis.Redis) -> Iterator[Deletions]:
    """Two videos are in the worker's memory, of which `gone` has no record."""
    found = Deletions(records, runtime.book, runtime.videos, runtime.indexes)
    for sha256 in ("stored", "gone"):
        records.hset(keys.video(sha256), "sha256", sha256)
        runtime.videos.put(VectorKey(sha256, "k"), VECTORS)
        runtime.indexes.of("index").add(sha256, Windows(ROWS, (0.0, 0.5), (0.5, 1.0)))
    records.delete(keys.video("gone"))
    yield found
    found.stop()


def of(*names: str) -> set[tuple[str, str]]:
    return {("default", name) for name in names}


def test_what_was_deleted_before_the_connection_is_forgotten(runtime: Runtime, deletions: Deletions) -> None:
    deletions.start()
    wait_until(lambda: runtime.videos.remembered() == of("stored"))
    assert "gone" not in runtime.indexes.of("index")


def test_a_message_makes_the_worker_forget(runtime: Runtime, deletions: Deletions, records: redis.Redis) -> None:
    deletions.start()
    wait_until(lambda: runtime.videos.remembered() == of("stored"))
    index = runtime.indexes.of("index")
    for sha256 in ("stored", "other"):
        index.add(sha256, Windows(ROWS, (0.0, 0.5), (0.5, 1.0)))
    runtime.videos.of("acme").put(VectorKey("stored", "k"), VECTORS)
    wait_until(lambda: records.publish(keys.DELETED_CHANNEL, "stored") == 1)
    wait_until(lambda: "stored" not in index)
    assert runtime.videos.remembered() == set()  # nobody has stored it in the other project
    assert index._matrix[:4].tolist() == [[0.0] * 3] * 2 + [[1.0] * 3] * 2
    assert index.search(ROWS[0], 5, ["stored", "other"]).windows == 2
