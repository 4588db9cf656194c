"""The index of windows: what it finds is what a plain loop over all vectors finds, whatever came and went before."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from models.frames.arrays import FloatArray
from worker.inference.caches.windows import MODELS, Hit, WindowIndex, WindowIndexes, Windows

DIM = 6


def windows(rng: np.random.Generator, count: int) -> Windows:
    vectors = rng.normal(size=(count, DIM)).astype(np.float32)
    starts = tuple(float(second) for second in range(count))
    return Windows(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), starts, tuple(s + 2 for s in starts))


def by_loop(videos: dict[str, Windows], query: FloatArray, most: int) -> list[Hit]:
    hits = []
    for name, each in videos.items():
        products = [float(vector @ query) for vector in each.vectors]
        at = int(np.argmax(products))
        hits.append(Hit(name, each.starts[at], each.ends[at], products[at]))
    return sorted(hits, key=lambda hit: -hit.similarity)[:most]


@pytest.mark.parametrize("seed", range(5))
def test_it_finds_what_a_loop_finds(seed: int) -> None:
    rng = np.random.default_rng(seed)
    index, videos = WindowIndex(10**6), dict[str, Windows]()
    for step in range(60):
        name = f"video {step}"
        videos[name] = windows(rng, int(rng.integers(1, 90)))
        assert index.add(name, videos[name])
        if step % 7 == 6:  # some are deleted, so that rows between the others belong to nobody
            gone = set(rng.choice(list(videos), len(videos) // 2, replace=False).tolist())
            videos = {name: each for name, each in videos.items() if name not in gone}
            index.keep_only(videos.keys())
        query = rng.normal(size=DIM).astype(np.float32)
        among = {name for name in videos if rng.random() < 0.7}
        expected = by_loop({name: videos[name] for name in videos if name in among}, query, 5)
        found = index.search(query, 5, among)
        assert [(hit.sha256, hit.start, hit.end) for hit in found.best] == [
            (hit.sha256, hit.start, hit.end) for hit in expected
        ]
        assert [hit.similarity for hit in found.best] == pytest.approx([hit.similarity for hit in expected], abs=1e-5)
        assert found.windows == sum(len(videos[name].starts) for name in among)
        assert len(index) == sum(len(each.starts) for each in videos.values())


def test_memory_of_deleted_videos_is_used_again() -> None:
    rng = np.random.default_rng(0)
    index = WindowIndex(10**6)
    for step in range(300):
        index.add(f"video {step}", windows(rng, 50))
        index.keep_only({f"video {step}"})
    assert len(index) == 50
    assert len(index._matrix) <= 4096


def test_a_video_that_does_not_fit_is_left_out() -> None:
    rng = np.random.default_rng(0)
    index = WindowIndex(100)
    assert index.add("a", windows(rng, 60))
    assert not index.add("b", windows(rng, 41))
    assert index.add("c", windows(rng, 40))
    assert ("a" in index, "b" in index, "c" in index) == (True, False, True)
    index.keep_only({"c"})
    assert index.add("b", windows(rng, 41))


def test_nothing_is_found_among_nothing() -> None:
    index = WindowIndex(10)
    assert index.search(np.ones(DIM, np.float32), 5, {"a"}).best == []
    index.add("a", windows(np.random.default_rng(0), 3))
    assert index.search(np.ones(DIM, np.float32), 5, set()).best == []


def test_a_search_is_right_while_videos_come_and_go() -> None:
    rng = np.random.default_rng(0)
    index = WindowIndex(10**6)
    kept = {f"kept {number}": windows(rng, 20) for number in range(10)}
    for name, each in kept.items():
        index.add(name, each)
    passing = [windows(rng, 50) for _ in range(100)]
    query = rng.normal(size=DIM).astype(np.float32)
    expected = [hit.sha256 for hit in by_loop(kept, query, 10)]
    done = threading.Event()

    def churn() -> None:
        for number, each in enumerate(passing):
            index.add(f"passing {number}", each)
            if number % 5 == 4:
                index.keep_only(kept.keys())
        done.set()

    with ThreadPoolExecutor(1) as pool:
        churning = pool.submit(churn)
        looks = 0
        while not done.is_set() or looks < 10:
            assert [hit.sha256 for hit in index.search(query, 10, kept.keys()).best] == expected
            looks += 1
        churning.result()


def test_only_the_models_that_were_searched_last_are_kept() -> None:
    indexes, rng = WindowIndexes(100), np.random.default_rng(0)
    first = indexes.of("first")
    first.add("a", windows(rng, 100))
    for number in range(MODELS - 1):
        indexes.of(f"other {number}").add("a", windows(rng, 100))
    assert indexes.of("first") is first
    for number in range(MODELS):
        indexes.of(f"another {number}").add("a", windows(rng, 100))
    assert len(indexes.of("first")) == 0


def test_small_indexes_of_many_projects_stay() -> None:
    indexes, rng = WindowIndexes(100), np.random.default_rng(0)
    for number in range(20):
        indexes.of(f"project {number}").add("a", windows(rng, 5))
    assert all(len(indexes.of(f"project {number}")) == 5 for number in range(20))
