from __future__ import annotations

import hashlib
import os
import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from core.errors import StorageUnavailable, WorkerUnavailable
from models.frames.augmentation import Augment
from models.frames.sampling import Views, frame_indices
from models.profiles.profile import Profile
from tests.clips import SPECS, read_index, render, render_slow, rendered
from tests.waiting import wait_until
from tests.worker.decoding.segments import open_segments
from worker.decoding.dataset_clips import Batch, ClipReader, Sample
from worker.decoding.frame_cache import MAX_ENTRY_BYTES
from worker.decoding.pool import DecodePool

PROFILE = Profile("test", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), 48, 56, ("{}",))
NAMES = ("h264", "vp9_webm", "mpeg4_avi", "h264_bframes", "gif")
ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("clips")


@pytest.fixture
def pool() -> Iterator[DecodePool]:
    with start() as children:
        yield children


def start(processes: int = 2, deadline_s: float = 30.0) -> DecodePool:
    return DecodePool(processes, deadline_s, 1 << 30, 4096 * 2304, 600.0, MAX_ENTRY_BYTES)


def plan_of(folder: Path, batches: int = 3, size: int = 4) -> list[list[Sample]]:
    numbers = np.arange(batches * size).reshape(batches, size)
    return [[Sample(rendered(NAMES[n % len(NAMES)], folder), int(n), seed=int(n)) for n in row] for row in numbers]


def read_all(pool: DecodePool, plan: list[list[Sample]], ahead: int = 5) -> str:
    """sha256 of every batch."""
    return digest_of(ClipReader(pool, PROFILE, 8, augment=Augment(), ahead=ahead).batches(plan))


def digest_of(batches: Iterable[Batch]) -> str:
    state = hashlib.sha256()
    for batch in batches:
        state.update(batch.frames.tobytes() + batch.labels.tobytes() + batch.positions.tobytes())
    return state.hexdigest()


def test_batches_come_in_order_and_whole(pool: DecodePool, folder: Path) -> None:
    plan = [*plan_of(folder), [], plan_of(folder)[0][:1]]
    batches = list(ClipReader(pool, PROFILE, 8, augment=Augment(), ahead=3).batches(iter(plan)))

    assert [batch.labels.tolist() for batch in batches] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11], [], [0]]
    assert [batch.frames.shape for batch in batches] == [(len(b.labels), 8, 48, 48, 3) for b in batches]
    assert all(batch.skipped == () for batch in batches)
    assert (batches[0].frames[0] == batches[4].frames[0]).all()  # the same sample gives the same frames
    assert batches[0].frames.dtype == np.uint8
    assert batches[0].labels.dtype == np.int64


def test_without_augmentation_batches_have_the_frames_of_evaluation(pool: DecodePool, folder: Path) -> None:
    plan = plan_of(folder, batches=1)
    (batch,) = ClipReader(pool, PROFILE, 8).batches(plan)

    for sample, frames in zip(plan[0], batch.frames, strict=True):
        fixed = pool.submit(sample.path, profile=PROFILE, views=Views(), frames=8).result().frames
        assert (frames == fixed[0]).all()
        assert [read_index(frame) for frame in frames] == frame_indices(40, 8, "segment_start")[0].tolist()


def test_batches_depend_on_the_seed_only(folder: Path) -> None:
    plan = plan_of(folder)
    with start(processes=1) as one, start(processes=3) as three:
        alone, together = read_all(one, plan, ahead=1), read_all(three, plan, ahead=12)
        moved = read_all(one, [[replace(sample, seed=sample.seed + 1) for sample in group] for group in plan])

    assert alone == together
    assert alone != moved


def test_with_a_cache_the_second_epoch_decodes_nothing(pool: DecodePool, folder: Path, tmp_path: Path) -> None:
    plan = plan_of(folder, batches=2)
    paths = {sample.path for group in plan for sample in group}
    cache = tmp_path / "cache"
    training = ClipReader(pool, PROFILE, 8, augment=Augment(), cache=cache)
    fixed = ClipReader(pool, PROFILE, 8, cache=cache)
    first = digest_of(training.batches(plan)), digest_of(fixed.batches(plan))
    assert len(list(cache.iterdir())) == 2 * len(paths)
    written = {file: file.stat().st_mtime_ns for file in cache.iterdir()}

    assert (digest_of(training.batches(plan)), digest_of(fixed.batches(plan))) == first
    assert first[1] == digest_of(ClipReader(pool, PROFILE, 8).batches(plan))
    assert dict(training.views(plan[0], Views(2, 1)))  # several views do not use the cache
    assert {file: file.stat().st_mtime_ns for file in cache.iterdir()} == written


def test_views_are_those_of_evaluation(pool: DecodePool, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "words.mp4").write_text("no video " * 99)
    paths = [rendered("h264", folder), tmp_path / "words.mp4", rendered("gif", folder)]
    reader = ClipReader(pool, PROFILE, 8, augment=Augment(), ahead=2)
    seen = dict(reader.views([Sample(path, 0) for path in paths], Views(4, 3)))

    assert list(seen) == [0, 2]
    assert reader.skipped == {paths[1]: "not_a_video"}
    for place, frames in seen.items():
        expected = pool.submit(paths[place], profile=PROFILE, views=Views(4, 3), frames=8).result().frames
        assert (frames == expected).all()


def test_a_damaged_clip_is_left_out_and_listed(pool: DecodePool, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "words.mp4").write_text("no video " * 99)
    bad = Sample(tmp_path / "words.mp4", 7, seed=7)
    good = plan_of(folder, batches=2)
    reader = ClipReader(pool, PROFILE, 8, augment=Augment(), ahead=3)
    first, none, second = reader.batches([[*good[0][:2], bad, *good[0][2:]], [bad], good[1]])

    assert first.labels.tolist() == [0, 1, 2, 3]
    assert first.positions.tolist() == [0, 1, 3, 4]
    assert first.skipped == none.skipped == ((bad.path, "not_a_video"),)
    assert none.frames.shape == (0, 8, 48, 48, 3)
    assert second.labels.tolist() == [4, 5, 6, 7]
    expected = list(ClipReader(pool, PROFILE, 8, augment=Augment()).batches(good))
    assert (first.frames == expected[0].frames).all()
    assert (second.frames == expected[1].frames).all()


def test_an_error_that_no_clip_caused_ends_the_reading(pool: DecodePool, folder: Path) -> None:
    with pytest.raises(StorageUnavailable):
        list(ClipReader(pool, PROFILE, 8).batches([[Sample(folder / "gone.mp4", 0)]]))

    pool.close()
    with pytest.raises(WorkerUnavailable):
        list(ClipReader(pool, PROFILE, 8).batches(plan_of(folder)))


@pytest.mark.parametrize("cached", [False, True])
def test_killed_children_change_nothing(cached: bool, folder: Path, tmp_path: Path) -> None:
    """kill -9 of one decode child after another: the clips that they were decoding are decoded again."""
    path = render(folder / "large.mp4", replace(SPECS["h264_long_gop"], width=640, height=480, frames=100))
    plan = [[Sample(path, i, seed=i) for i in range(4)] for _ in range(5)]
    others = open_segments()
    with start(deadline_s=3.0) as pool:
        reader = ClipReader(pool, PROFILE, 8, augment=Augment(), cache=tmp_path if cached else None, ahead=5)
        batches, killed = [], 0
        for batch in reader.batches(plan):
            batches.append(batch)
            time.sleep(0.02)  # into the middle of a clip
            killed += kill_one(pool)
        (expected,) = reader.batches(plan[:1])

    assert killed >= 3
    assert reader.skipped == {}
    assert all((batch.frames == expected.frames).all() for batch in batches)
    assert not list(tmp_path.glob("*.part"))
    assert open_segments() <= others  # before any garbage collection


def kill_one(pool: DecodePool) -> int:
    for pid in pool.children[:1]:
        os.kill(pid, signal.SIGKILL)
        return 1
    return 0


def test_a_clip_that_takes_too_long_is_left_out(folder: Path) -> None:
    slow = render_slow(folder / "slow.webm")
    with start(deadline_s=0.4) as pool:
        (batch,) = ClipReader(pool, PROFILE, 8).batches([[Sample(slow, 0), Sample(rendered("h264", folder), 1)]])

    assert batch.skipped == ((slow, "deadline"),)
    assert batch.labels.tolist() == [1]


def test_no_more_is_decoded_ahead_than_allowed(pool: DecodePool, folder: Path) -> None:
    read: list[int] = []

    def plan() -> Iterator[list[Sample]]:
        for number, group in enumerate(plan_of(folder, batches=20, size=1)):
            read.append(number)
            yield group

    with closing(ClipReader(pool, PROFILE, 8, augment=Augment(), ahead=3).batches(plan())) as reading:
        next(reading)
        assert len(read) == 4  # the batch that was returned, and three ahead


def test_deleting_the_generator_cancels_its_tasks(folder: Path) -> None:
    slow = render_slow(folder / "slow.webm")
    others = open_segments()
    with start() as pool:
        plan = [plan_of(folder)[0], [Sample(slow, 0)] * 6]
        reading = ClipReader(pool, PROFILE, 8, augment=Augment(), ahead=6).batches(iter(plan))
        next(reading)
        at_work = pool.children
        wait_until(lambda: any(cpu_ticks(pid) > 20 for pid in at_work), seconds=30)  # the slow clip
        del reading
        wait_until(lambda: not set(at_work) & set(pool.children), seconds=10)
        assert read_all(pool, plan_of(folder))  # the pool still works
        wait_until(lambda: open_segments() <= others, seconds=5)  # a slot lets go just after it has answered


def cpu_ticks(pid: int) -> int:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return int(fields[11]) + int(fields[12])  # utime, stime
