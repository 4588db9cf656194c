from __future__ import annotations

import gc
import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import Context
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from core.errors import Cancelled, InvalidRequest, UndecodableVideo, VideoTooLarge, VireoError, WorkerUnavailable
from core.logs.belonging import belong_to
from core.logs.lines import TextLines
from models.frames.sampling import Views, frame_indices
from models.profiles.profile import Profile
from tests.clips import SPECS, corrupt, read_index, render, rendered
from tests.worker.decoding.segments import open_segments
from worker.decoding import pool as decoding
from worker.decoding.pool import DecodedClip, DecodePool, DecodeTask
from worker.jobs.turns import ASKER
from worker.video.clip import DecodeRequest, decode_clip
from worker.video.container import VideoLimits

PROFILE = Profile("test", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), 48, 48, ("{}",))
LIMITS = VideoLimits(max_pixels=4096 * 2304, max_seconds=600)


@pytest.fixture
def pool() -> Iterator[DecodePool]:
    with start() as children:
        yield children


def start(deadline_s: float = 30.0, processes: int = 2, memory_bytes: int = 1 << 30) -> DecodePool:
    return DecodePool(processes, deadline_s, memory_bytes, LIMITS.max_pixels, LIMITS.max_seconds)


def submit(pool: DecodePool, path: Path, frames: int = 8, views: str = "1x1") -> DecodeTask:
    return pool.submit(path, profile=PROFILE, views=Views.parse(views), frames=frames)


def shown(clip: DecodedClip) -> list[int]:
    return [read_index(frame) for frame in clip.frames[0]]


def busy(pool: DecodePool) -> int:
    """The decode child that burns most CPU, once one does. The pool may not have noticed yet that one was killed."""
    for _ in range(600):
        ticks = {pid: cpu_ticks(pid) for pid in pool.children if alive(pid)}
        if ticks and max(ticks.values()) >= 20:
            return max(ticks, key=ticks.__getitem__)
        time.sleep(0.05)
    raise TimeoutError("no child is decoding")


def cpu_ticks(pid: int) -> int:
    with suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])  # utime, stime
    return 0


def alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def wait_until_gone(pids: set[int], seconds: float = 60.0) -> float:
    begin = time.monotonic()
    while any(map(alive, pids)):
        assert time.monotonic() - begin < seconds, f"still there: {pids}"
        time.sleep(0.01)
    return time.monotonic() - begin


def test_frames_arrive_as_decoded_in_process(pool: DecodePool, folder: Path) -> None:
    path = render(folder / "wide.mkv", replace(SPECS["h264_mkv"], width=128))
    clip = submit(pool, path, views="4x3").result()

    request = DecodeRequest(PROFILE, Views(4, 3), 8, LIMITS)
    expected = np.zeros(request.shape, np.uint8)
    report = decode_clip(path, request, expected)
    assert (clip.frames == expected).all()
    assert clip.report == report


def test_many_threads_share_the_pool(pool: DecodePool, folder: Path) -> None:
    names = ["h264", "vp9_webm", "hevc", "gif", "mpeg4_avi", "av1_mp4"] * 6
    paths = [rendered(name, folder) for name in names]
    with ThreadPoolExecutor(8) as threads:
        clips = list(threads.map(lambda path: submit(pool, path).result(), paths))

    assert all(shown(clip) == frame_indices(40, 8, "segment_start")[0].tolist() for clip in clips)


def test_frames_outlive_the_pool(folder: Path) -> None:
    with start() as pool:
        clip = submit(pool, rendered("h264", folder)).result()
    gc.collect()
    assert shown(clip)[-1] == 35


def test_errors_keep_their_type_across_processes(pool: DecodePool, tmp_path: Path, folder: Path) -> None:
    (tmp_path / "words").write_text("no video at all " * 100)
    with pytest.raises(UndecodableVideo) as refused:
        submit(pool, tmp_path / "words").result()
    assert refused.value.details["reason"] == "not_a_video"

    large = render(tmp_path / "large.mp4", replace(SPECS["h264"], width=4112, height=2320, frames=2))
    with pytest.raises(VideoTooLarge) as too_large:
        submit(pool, large).result()
    assert too_large.value.details["limit"] == LIMITS.max_pixels

    with pytest.raises(InvalidRequest, match="memory"):
        pool.submit(
            rendered("h264", folder),
            profile=replace(PROFILE, size=512, short_side=512),
            views=Views(10, 3),
            frames=1024,
        )


def test_the_video_of_a_killed_child_is_decoded_once_more_and_no_other_is_lost(
    pool: DecodePool, slow: Path, folder: Path
) -> None:
    doomed = submit(pool, slow)
    beside = submit(pool, rendered("h264", folder))
    victims: list[int] = []
    for _ in range(2):
        victims.append(busy(pool))
        os.kill(victims[-1], signal.SIGKILL)
        wait_until_gone({victims[-1]})

    assert len(set(victims)) == 2
    with pytest.raises(UndecodableVideo) as crashed:
        doomed.result()
    assert crashed.value.details["reason"] == "decoder_crashed"
    assert shown(beside.result())[-1] == 35
    assert shown(submit(pool, rendered("h264", folder)).result())[-1] == 35


def test_children_killed_while_idle_are_replaced(pool: DecodePool, folder: Path) -> None:
    submit(pool, rendered("h264", folder)).result()
    for pid in pool.children:
        os.kill(pid, signal.SIGKILL)

    assert shown(submit(pool, rendered("h264", folder)).result())[-1] == 35


def test_the_deadline_ends_one_video(slow: Path, folder: Path) -> None:
    with start(deadline_s=0.5) as pool:
        late, beside = submit(pool, slow), submit(pool, rendered("h264", folder))
        assert shown(beside.result())[-1] == 35
        with pytest.raises(UndecodableVideo) as passed:
            late.result()

        assert passed.value.details["reason"] == "deadline"
        assert shown(submit(pool, rendered("h264", folder)).result())[-1] == 35


def test_the_deadline_does_not_count_the_wait_for_a_child(slow: Path, folder: Path) -> None:
    with start(deadline_s=1.0, processes=1) as pool:
        first = submit(pool, slow)
        queued = [submit(pool, rendered("h264", folder)) for _ in range(3)]
        assert all(shown(decoding.result())[-1] == 35 for decoding in queued)
        with pytest.raises(UndecodableVideo):
            first.result()


def test_cancelling_kills_the_child(pool: DecodePool, slow: Path, folder: Path) -> None:
    decoding = submit(pool, slow)
    victim = busy(pool)
    threading.Timer(0.1, decoding.cancel).start()

    with pytest.raises(Cancelled):
        decoding.result()
    wait_until_gone({victim})
    assert shown(submit(pool, rendered("h264", folder)).result())[-1] == 35


def test_a_task_cancelled_while_it_waits_never_runs(slow: Path, folder: Path) -> None:
    with start(processes=1, deadline_s=1.0) as pool:
        first, queued = submit(pool, slow), submit(pool, rendered("h264", folder))
        queued.cancel()
        with pytest.raises(Cancelled):
            queued.result()
        with pytest.raises(UndecodableVideo):
            first.result()
        assert shown(submit(pool, rendered("h264", folder)).result())[-1] == 35


def test_those_who_ask_are_served_in_turns(slow: Path, folder: Path) -> None:
    order: list[str] = []

    def ask(pool: DecodePool, asker: str, path: Path) -> DecodeTask:
        ASKER.set(asker)
        task = submit(pool, path)
        task._answer.add_done_callback(lambda _: order.append(asker))
        return task

    with start(processes=1, deadline_s=1.0) as pool:
        first = Context().run(ask, pool, "much", slow)
        busy(pool)
        rest = [Context().run(ask, pool, asker, rendered("h264", folder)) for asker in ["much"] * 5 + ["little"]]
        with pytest.raises(UndecodableVideo):
            first.result()
        for task in rest:
            task.result()
    assert order.index("little") <= 2


def test_memory_is_limited(slow: Path, folder: Path) -> None:
    with start(memory_bytes=24 << 20) as pool:  # three frames of 4K are 37 MB
        with pytest.raises(UndecodableVideo):
            submit(pool, slow).result()
        assert shown(submit(pool, rendered("h264", folder)).result())[-1] == 35


def test_random_damage_never_takes_the_pool_down(pool: DecodePool, folder: Path, tmp_path: Path) -> None:
    waiting = []
    for number, name in enumerate(sorted(SPECS)):
        for seed in range(3):
            broken = corrupt(rendered(name, folder), 100 * seed + number, 20, tmp_path / f"{name}-{seed}")
            waiting.append(submit(pool, broken, frames=4))
    reasons = [reason_of(decoding) for decoding in waiting]

    assert "internal_error" not in reasons
    assert reasons.count("frames") > len(reasons) / 4
    assert shown(submit(pool, rendered("h264", folder)).result())[-1] == 35


def reason_of(decoding: DecodeTask) -> str:
    try:
        decoding.result()
    except VireoError as error:
        return str(error.details.get("reason", error.code))
    return "frames"


def test_a_killed_fork_server_is_replaced(pool: DecodePool, folder: Path) -> None:
    assert shown(submit(pool, rendered("h264", folder)).result())[-1] == 35
    family = {*pool.children, pool._starter.server_pid or 0}
    os.kill(pool._starter.server_pid or 0, signal.SIGKILL)
    wait_until_gone(family)
    assert shown(submit(pool, rendered("h264", folder)).result())[-1] == 35


def test_closing_the_pool_wakes_waiting_threads(slow: Path) -> None:
    pool = start()
    decoding = submit(pool, slow)
    busy(pool)
    threading.Timer(0.1, pool.close).start()
    with pytest.raises(VireoError):
        decoding.result()
    pool.close()
    with pytest.raises(WorkerUnavailable):
        submit(pool, slow)


def test_nothing_is_left_in_shared_memory_or_open(folder: Path) -> None:
    gc.collect()  # what other tests have left
    files, others = len(names("/proc/self/fd")), open_segments()
    with start() as pool:
        for _ in range(20):
            submit(pool, rendered("h264", folder)).result()
        submit(pool, rendered("h264", folder)).cancel()
        time.sleep(0.3)
        left = open_segments() - others  # before any garbage collection
    gc.collect()

    assert not left
    assert len(names("/proc/self/fd")) <= files + 8  # the fork server's and the tracker's pipes stay


def names(directory: str) -> set[str]:
    return {entry.name for entry in Path(directory).iterdir()}


def test_a_pool_that_closes_while_its_children_start_is_silent(caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        start().close()
    assert not caplog.messages


def test_log_lines_of_a_decoding_belong_to_the_job_that_asked(
    folder: Path, pool: DecodePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[str] = []
    monkeypatch.setattr(decoding._Slot, "_decode_in_living_child", lambda *_: 1 / 0)
    monkeypatch.setattr(decoding.log, "handle", lambda record: lines.append(TextLines().format(record)))

    def asked(job_id: str) -> DecodeTask:
        belong_to(job_id, "req_1")
        return submit(pool, rendered("h264_mov", folder))

    for job_id in ("job_1", "job_2"):
        with pytest.raises(VireoError):
            Context().run(asked, job_id).result()
    assert ["[req_1 job_1]" in lines[0], "[req_1 job_2]" in lines[1]] == [True, True]
    assert "ZeroDivisionError" in lines[0]
