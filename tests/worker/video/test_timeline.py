from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import VideoTooLarge
from models.frames.sampling import frame_indices
from tests.clips import SPECS, rendered, truncate
from worker.video.container import VideoFile, VideoLimits
from worker.video.packets import demux_packets
from worker.video.timeline import PacketRun, Timeline, packet_reader, packet_runs, read_timeline, with_exact_pts

LIMITS = VideoLimits()


def timeline(pts: list[int], keys: set[int], end: int) -> Timeline:
    """A stream by hand: pts in decode order, ordinals of the keyframes."""
    ticks, order = np.array(pts, dtype=np.int64), np.arange(len(pts))
    key = np.isin(order, list(keys))
    return Timeline("packets", Fraction(1, 100), ticks, ticks, key, order >= 0, order, int(ticks.min()), end)


def steady(n: int, step: int, gop: int) -> Timeline:
    return timeline([i * step for i in range(n)], set(range(0, n, gop)), n * step)


@given(n=st.integers(1, 3000), frames=st.integers(1, 64), clips=st.integers(1, 4), step=st.integers(1, 5000))
def test_at_a_constant_rate_times_match_the_papers_indices(n: int, frames: int, clips: int, step: int) -> None:
    indices = frame_indices(n, frames, "segment_start", clips)
    line = steady(n, step, gop=12)

    assert (line.targets(line.times(indices)) == indices).all()


def test_golden_vector_of_text4vis() -> None:
    line = steady(300, 3, gop=250)

    targets = line.targets(line.times(frame_indices(300, 8, "segment_start")))
    assert targets.tolist() == [[0, 37, 75, 112, 150, 187, 225, 262]]


def test_at_a_variable_rate_the_steps_are_uniform_in_time() -> None:
    # one second of 10 frames, then one frame that stands for nine seconds
    line = timeline([i * 10 for i in range(11)], {0}, 1000)

    times = line.times(frame_indices(11, 10, "segment_start"))
    assert line.targets(times).tolist() == [[4, 10, 10, 10, 10, 10, 10, 10, 10, 10]]


def test_only_groups_with_a_wanted_frame_are_decoded_up_to_it() -> None:
    line = steady(100, 1, gop=10)

    wanted = np.array([[3, 7, 42, 60]])
    assert packet_runs(line, wanted) == [PacketRun(0, 7, (3, 7)), PacketRun(40, 42, (42,)), PacketRun(60, 60, (60,))]


def test_one_long_group_is_one_run() -> None:
    assert packet_runs(steady(100, 1, gop=1000), np.array([[10, 90]])) == [PacketRun(0, 90, (10, 90))]


def test_a_frame_displayed_before_its_keyframe_needs_the_previous_group() -> None:
    #        I  P  B  B | I  B  B   (the last two are shown before their I)
    line = timeline([0, 3, 1, 2, 6, 4, 5], {0, 4}, 7)

    assert packet_runs(line, np.array([[5]])) == [PacketRun(0, 5, (5,))]
    assert packet_runs(line, np.array([[4]])) == [PacketRun(4, 4, (4,))]


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("h264", "index"),
        ("h264_bframes", "index"),
        ("h264_offset", "index"),
        ("h264_fragmented", "packets"),
        ("vp9_live", "packets"),
        ("gif", "packets"),
        ("mpeg2_mpg", "packets"),
        ("h264_raw", "count"),
    ],
)
def test_where_the_times_come_from(name: str, source: str, tmp_path: Path) -> None:
    with VideoFile(rendered(name, tmp_path), LIMITS) as video:
        line = read_timeline(video)

    assert (line.source, line.frames) == (source, 40)
    assert line.seconds == pytest.approx(1.6, abs=0.002)


@pytest.mark.parametrize("name", ["h264_bframes", "h264_open_gop", "h264_vfr_bframes", "hevc_10bit"])
def test_an_index_is_refined_to_the_times_of_the_packets(name: str, tmp_path: Path) -> None:
    with VideoFile(rendered(name, tmp_path), LIMITS) as video:
        line = read_timeline(video)
        assert not line.exact
        times = line.times(frame_indices(line.frames, 8, "segment_center"))
        line = with_exact_pts(line, packet_reader(video, line), times)
        video.reopen()
        truth = [packet.pts for packet in demux_packets(video)]

    assert line.pts.tolist() == truth  # the windows of so short a clip cover it


@pytest.mark.parametrize(
    "name", ["h264_bframes", "h264_mkv", "h264_ts", "h264_avi", "mpeg2_mpg", "vp9_webm", "wmv", "gif"]
)
def test_packets_are_found_by_ordinal_in_any_order(name: str, tmp_path: Path) -> None:
    with VideoFile(rendered(name, tmp_path), LIMITS) as video:
        truth = [bytes(packet) for packet in demux_packets(video)]
        video.reopen()
        line = read_timeline(video)
        packets = packet_reader(video, line)
        for first, last in [(30, 35), (0, 4), (12, 12), (13, 20), (39, 39), (5, 6)]:
            got = [(ordinal, bytes(packet)) for ordinal, packet in packets.between(first, last)]
            assert got == list(enumerate(truth))[first : last + 1]


def test_an_index_is_cut_to_the_part_of_the_file_that_exists(tmp_path: Path) -> None:
    whole = rendered("h264_faststart", tmp_path)
    with VideoFile(truncate(whole, 0.7, tmp_path / "cut.mp4"), LIMITS) as video:
        line = read_timeline(video)

    assert line.source == "index"
    assert 15 < line.frames < 40
    assert line.seconds == pytest.approx(line.frames / 25)


def test_joined_files_with_a_restarted_clock_are_counted(tmp_path: Path) -> None:
    once = rendered("h264_ts", tmp_path).read_bytes()
    (tmp_path / "twice.ts").write_bytes(once + once)

    with VideoFile(tmp_path / "twice.ts", LIMITS) as video:
        line = read_timeline(video)

    assert (line.source, line.frames) == ("count", 80)
    assert line.seconds == pytest.approx(3.2)


def test_a_length_that_only_the_packets_show_is_limited_too(tmp_path: Path) -> None:
    live = rendered("vp9_live", tmp_path)
    with VideoFile(live, VideoLimits(max_seconds=1.0)) as video, pytest.raises(VideoTooLarge) as refused:
        read_timeline(video)

    assert refused.value.details["limit"] == 1.0
    assert SPECS["vp9_live"].frames == 40
