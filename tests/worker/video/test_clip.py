from __future__ import annotations

import random
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.reformatter import VideoReformatter

from core.errors import UndecodableVideo, VideoTooLarge, VireoError
from models.frames.arrays import UInt8Array
from models.frames.sampling import Views, frame_indices
from models.frames.transforms import crop_frame, crop_picture
from models.profiles.profile import Profile, Sampling
from tests.clips import BARS, SPECS, ClipSpec, Matrix, corrupt, draw_index, read_index, render, rendered, truncate
from worker.video.clip import DecodeReport, DecodeRequest, decode_clip
from worker.video.colour import ShownFrame
from worker.video.container import VideoFile, VideoLimits

PROFILE = Profile("test", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), 48, 48, ("{}",))
LIMITS = VideoLimits()
TURNED = {"h264_rotate90": 1, "h264_rotate180": 2, "h264_rotate270": 3}  # quarter turns, counterclockwise
UNEVEN = {"h264_vfr", "h264_vfr_bframes"}
STEADY = sorted(set(SPECS) - set(TURNED) - UNEVEN)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("clips")


def decode(
    path: Path,
    frames: int = 8,
    views: str = "1x1",
    policy: Sampling = "segment_start",
    size: int = 48,
    threads: int = 1,
    limits: VideoLimits = LIMITS,
) -> tuple[UInt8Array, DecodeReport]:
    """(uint8 [V, T, S, S, 3], report)"""
    profile = replace(PROFILE, sampling=policy, size=size, short_side=size)
    request = DecodeRequest(profile, Views.parse(views), frames, limits, threads)
    out = np.zeros(request.shape, np.uint8)
    return out, decode_clip(path, request, out)


def read(frames: UInt8Array) -> list[list[int]]:
    return [[read_index(frame) for frame in view] for view in frames]


@pytest.mark.parametrize("name", STEADY)
@pytest.mark.parametrize(("views", "policy"), [("1x1", "segment_start"), ("4x1", "segment_center")])
def test_the_frames_shown_are_those_of_the_papers_rule(name: str, views: str, policy: Sampling, folder: Path) -> None:
    spec = SPECS[name]
    frames, report = decode(rendered(name, folder), views=views, policy=policy)

    expected = frame_indices(spec.frames, 8, policy, Views.parse(views).clips)
    assert read(frames) == expected.tolist()
    assert np.array(report.timestamps) == pytest.approx(expected / spec.fps, abs=0.0015)
    assert report.warnings == ()
    assert (report.info.width, report.info.height, report.info.frames) == (spec.width, spec.height, spec.frames)
    assert report.info.fps == pytest.approx(spec.fps, abs=0.01)
    assert report.info.duration == pytest.approx(spec.frames / spec.fps, abs=0.002)


@pytest.mark.parametrize("name", ["h264", "h264_bframes", "h264_mov"])
def test_no_frame_is_decoded_to_open_an_mp4(name: str, folder: Path) -> None:
    with VideoFile(rendered(name, folder), LIMITS) as file:
        assert file.stream.codec_context.pix_fmt is None
        assert (file.stream.codec_context.width, file.stream.codec_context.height) == (96, 64)


@pytest.mark.parametrize(
    "name", ["h264_bframes", "h264_long_gop", "h264_open_gop", "hevc_10bit", "vp9_webm", "av1_mp4"]
)
def test_more_threads_change_nothing(name: str, folder: Path) -> None:
    one, _ = decode(rendered(name, folder), views="4x1")
    four, _ = decode(rendered(name, folder), views="4x1", threads=4)

    assert (one == four).all()


@pytest.mark.parametrize("name", sorted(UNEVEN))
def test_at_a_variable_rate_frames_are_uniform_in_time(name: str, folder: Path) -> None:
    spec = SPECS[name]
    frames, report = decode(rendered(name, folder))

    seconds = np.array(spec.seconds)
    length = report.info.duration
    wanted = (frame_indices(spec.frames, 8, "segment_start")[0] + 0.5) * length / spec.frames
    expected = np.searchsorted(seconds, wanted, side="right") - 1
    assert read(frames) == [expected.tolist()]
    assert report.timestamps[0] == pytest.approx(seconds[expected], abs=0.001)
    assert expected.tolist() != frame_indices(spec.frames, 8, "segment_start")[0].tolist()


@pytest.mark.parametrize(
    ("name", "at_most"), [("h264_intra", 8), ("mjpeg_avi", 8), ("prores_mov", 8), ("h264", 24), ("h264_bframes", 20)]
)
def test_no_more_is_decoded_than_needed(name: str, at_most: int, folder: Path) -> None:
    assert decode(rendered(name, folder))[1].decoded <= at_most


def test_only_the_wanted_groups_of_a_long_video_are_decoded(folder: Path) -> None:
    spec = replace(SPECS["h264_bframes"], frames=500, gop=20)
    frames, report = decode(render(folder / "long.mp4", spec), frames=4)

    assert read(frames) == [[0, 125, 250, 375]]
    assert report.decoded < 50


@pytest.mark.parametrize("frames", [1, 2, 5])
def test_short_videos_repeat_their_frames(frames: int, folder: Path) -> None:
    path = render(folder / f"short{frames}.mp4", replace(SPECS["h264"], frames=frames))
    got, _ = decode(path)

    assert read(got) == frame_indices(frames, 8, "segment_start").tolist()
    if frames == 5:
        assert read(got) == [[0, 0, 1, 1, 2, 3, 3, 4]]


@pytest.mark.parametrize(("name", "turns"), TURNED.items())
def test_a_rotated_video_is_shown_upright(name: str, turns: int, folder: Path) -> None:
    frames, report = decode(rendered(name, folder))

    stored = np.rot90(frames, -turns, axes=(2, 3))
    assert read(stored) == frame_indices(40, 8, "segment_start").tolist()
    assert report.info.rotation == (360 - 90 * turns) % 360
    assert (report.info.width, report.info.height) == ((64, 96) if turns % 2 else (96, 64))


def test_a_mirrored_video_is_mirrored_back(folder: Path) -> None:
    frames, _ = decode(render(folder / "mirror.mp4", replace(SPECS["h264"], mirrored=True)))

    assert read(frames[:, :, :, ::-1]) == frame_indices(40, 8, "segment_start").tolist()


def test_pixels_that_are_not_square_are_scaled(folder: Path) -> None:
    spec = replace(SPECS["h264"], width=64, height=64, aspect=Fraction(2))
    frames, report = decode(render(folder / "wide.mp4", spec))

    assert (report.info.width, report.info.height) == (128, 64)
    # the centre square now shows the middle half of each row
    picture = np.repeat(draw_index(35, 64, 64), 2, axis=1)[:, 32:96]
    assert np.abs(frames[0, 7].mean(axis=2) - np.array(av_resize(picture, 48))).mean() < 8


def av_resize(gray: UInt8Array, size: int) -> UInt8Array:
    return crop_frame(np.stack([gray] * 3, axis=2), replace(PROFILE, size=size, short_side=size))[0, ..., 0]


@pytest.mark.parametrize("tagged", [True, False])
@pytest.mark.parametrize("full_range", [True, False])
@pytest.mark.parametrize("matrix", ["bt601", "bt709"])
@pytest.mark.parametrize(
    ("codec", "pix_fmt", "bits", "options"),
    [
        ("libx264", "yuv420p", 8, (("preset", "ultrafast"), ("qp", "1"))),
        ("libx265", "yuv420p10le", 10, (("preset", "ultrafast"), ("crf", "4"), ("x265-params", "log-level=none"))),
        ("ffv1", "yuv420p", 8, ()),
    ],
)
def test_colours_are_those_of_the_source(
    codec: str,
    pix_fmt: str,
    bits: int,
    options: tuple[tuple[str, str], ...],
    matrix: Matrix,
    full_range: bool,
    tagged: bool,
    tmp_path: Path,
) -> None:
    # an untagged stream counts as standard definition below 577 lines and as high definition above
    side = 96 if tagged or matrix == "bt601" else 640
    spec = ClipSpec(
        codec=codec, options=options, pix_fmt=pix_fmt, bits=bits, matrix=matrix, full_range=full_range, tagged=tagged
    )
    spec = replace(spec, suffix=".mkv", content="bars", frames=2, width=side, height=side)
    frames, _ = decode(render(tmp_path / "bars.mkv", spec), frames=1)

    quarters = [tuple(frames[0, 0, y, x].tolist()) for y in (12, 36) for x in (12, 36)]
    assert np.abs(np.array(quarters, int) - np.array(BARS)).max() <= 4


def test_ten_bits_span_black_to_white(tmp_path: Path) -> None:
    spec = replace(SPECS["hevc_10bit"], content="ramp", frames=2, width=96, height=96, bframes=0)
    frames, _ = decode(render(tmp_path / "ramp.mp4", spec), frames=1, size=96)

    row = frames[0, 0, 48, :, 1].astype(int)
    assert row[0] <= 4
    assert row[-1] >= 251
    assert (np.diff(row) >= -1).all()


def test_views_are_crop_major(folder: Path) -> None:
    spec = replace(SPECS["rawvideo_avi"], width=160, height=64)
    path = render(folder / "views.avi", spec)
    got, _ = decode(path, views="2x3")

    profile = replace(PROFILE, sampling="segment_start")
    with av.open(str(path)) as container:
        pictures = [ShownFrame(frame, VideoReformatter()) for frame in container.decode(video=0)]
    for clip, row in enumerate(frame_indices(40, 8, "segment_start", 2)):
        for slot, index in enumerate(row):
            crops = crop_picture(pictures[index], profile, 3)  # [3, S, S, 3]
            for crop in range(3):
                assert (got[crop * 2 + clip, slot] == crops[crop]).all()
    assert (got[0] != got[2]).any()  # left and right differ


def test_the_size_may_change_in_mid_stream(folder: Path) -> None:
    small = rendered("h264_raw", folder).read_bytes()
    large = render(folder / "large.h264", replace(SPECS["h264_raw"], width=160, height=128)).read_bytes()
    (folder / "changing.h264").write_bytes(small + large)

    frames, report = decode(folder / "changing.h264")
    assert read(frames) == [[0, 10, 20, 30, 0, 10, 20, 30]]
    assert report.info.frames == 80

    with pytest.raises(VideoTooLarge):
        decode(folder / "changing.h264", limits=VideoLimits(max_pixels=160 * 128 - 1))


def test_joined_files_are_read_whole(folder: Path) -> None:
    once = rendered("h264_ts", folder).read_bytes()
    (folder / "twice.ts").write_bytes(once * 2)

    assert read(decode(folder / "twice.ts")[0]) == [[0, 10, 20, 30, 0, 10, 20, 30]]


def test_frames_that_an_edit_list_removes_are_not_used(tmp_path: Path) -> None:
    # the first 15 frames lie before time 0
    spec = replace(SPECS["h264"], offset=Fraction(-15, 25), muxer=(("avoid_negative_ts", "disabled"),))
    frames, report = decode(render(tmp_path / "cut.mp4", spec), frames=5)

    assert read(frames) == [[15, 20, 25, 30, 35]]
    assert report.timestamps == ((0.0, 0.2, 0.4, 0.6, 0.8),)
    assert report.info.frames == 25


@pytest.mark.parametrize("name", ["h264_faststart", "h264_mkv", "vp9_webm", "av1_webm", "hevc_mkv", "h264_flv"])
def test_a_truncated_file_yields_the_frames_it_has(name: str, folder: Path, tmp_path: Path) -> None:
    cut = truncate(rendered(name, folder), 0.6, tmp_path / "cut")
    frames, report = decode(cut)

    shown = read(frames)[0]
    assert shown == sorted(shown)
    assert 0 < shown[-1] < 35
    assert any("incomplete" in warning for warning in report.warnings)


def test_a_damaged_group_is_replaced_by_its_neighbours(folder: Path, tmp_path: Path) -> None:
    whole = rendered("h264_faststart", folder)
    with av.open(str(whole)) as container:
        entries = list(container.streams.video[0].index_entries)
        start, end = entries[10].pos, entries[20].pos  # the second group of pictures
    data = bytearray(whole.read_bytes())
    data[start:end] = bytes(end - start)
    (tmp_path / "holed.mp4").write_bytes(data)

    frames, report = decode(tmp_path / "holed.mp4")
    assert read(frames) == [[0, 5, 5, 20, 20, 25, 30, 35]]
    assert report.timestamps == ((0.0, 0.2, 0.2, 0.8, 0.8, 1.0, 1.2, 1.4),)
    assert "2 of 8 selected frames could not be decoded; the nearest decodable ones were used" in report.warnings


def test_frames_that_the_decoder_marks_as_damaged_are_counted(folder: Path, tmp_path: Path) -> None:
    _, report = decode(corrupt(rendered("h264", folder), 3, 20, tmp_path / "damaged.mp4"))
    damaged = [warning for warning in report.warnings if warning.endswith("of the 8 frames used are damaged")]
    assert len(damaged) == 1
    assert 1 <= int(damaged[0].split()[0]) <= 8


def test_a_stream_without_decodable_frames_is_named(folder: Path, tmp_path: Path) -> None:
    data = rendered("h264_faststart", folder).read_bytes()
    head = data.index(b"mdat") + 4
    (tmp_path / "hollow.mp4").write_bytes(data[:head] + bytes(len(data) - head))

    with pytest.raises(
        UndecodableVideo, match=r"^Video stream 0 \(h264\) cannot be decoded: none of its 40 frames"
    ) as refused:
        decode(tmp_path / "hollow.mp4")
    assert refused.value.details == {"reason": "no_decodable_frame", "stream": 0, "codec": "h264"}


@pytest.mark.parametrize("name", sorted(SPECS))
def test_random_damage_yields_frames_or_a_reason(name: str, folder: Path, tmp_path: Path) -> None:
    for seed in range(4):
        broken = corrupt(rendered(name, folder), seed, 5, tmp_path / "broken")
        answer = attempt(broken)
        if isinstance(answer, VireoError):
            assert answer.details["reason"], answer.message
            assert str(tmp_path) not in answer.message
        else:
            assert all(0 <= stamp <= answer.info.duration for stamp in answer.timestamps[0])


def attempt(path: Path) -> DecodeReport | VireoError:
    try:
        return decode(path, frames=4)[1]
    except VireoError as error:
        return error


def test_the_decoder_needs_no_torch() -> None:
    check = "import sys, worker.decoding.decode_child; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0


def test_real_footage_decodes_to_the_frames_of_plain_counting(real_clips: Path) -> None:
    files = sorted(real_clips.rglob("*.mp4"))
    for path in random.Random(0).sample(files, min(len(files), 12)):
        _, report = decode(path)
        with av.open(str(path)) as container:
            seconds = [frame.time for frame in container.decode(video=0) if frame.time is not None]
        indices = frame_indices(len(seconds), 8, "segment_start")[0]
        assert report.timestamps[0] == pytest.approx([seconds[i] - seconds[0] for i in indices], abs=0.001)
        assert report.warnings == ()


@pytest.mark.parametrize("name", ["h264", "h264_bframes", "vp9_webm", "h264_ts", "h264_raw", "gif", "h264_offset"])
def test_frames_can_be_asked_for_by_time(name: str, folder: Path) -> None:
    if name not in SPECS:
        pytest.fail(f"no spec {name}")
    times = (0.0, 0.41, 0.42, 1.57, 99.0)
    request = DecodeRequest(PROFILE, Views(), len(times), LIMITS, times=times)
    out = np.zeros(request.shape, np.uint8)
    report = decode_clip(rendered(name, folder), request, out)
    assert read(out) == [[0, 10, 10, 39, 39]]
    assert report.timestamps[0] == pytest.approx([0, 0.4, 0.4, 1.56, 1.56], abs=0.02)


def test_times_are_as_many_as_frames_of_one_view() -> None:
    for views, frames in (("1x1", 3), ("2x1", 2)):
        with pytest.raises(ValueError, match="times"):
            DecodeRequest(PROFILE, Views.parse(views), frames, LIMITS, times=(0.0, 1.0))
