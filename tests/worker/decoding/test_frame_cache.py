"""A clip read through the cache equals the decoded clip, whether its entry is new, stored, damaged or missing."""

from __future__ import annotations

import logging
import os
import shutil
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from core.errors import UndecodableVideo
from models.frames.arrays import UInt8Array
from models.frames.augmentation import Augment, Draw
from models.frames.sampling import Views
from models.profiles.profile import PIXELS, Profile
from tests.clips import SPECS, read_index, render, rendered
from worker.decoding import frame_cache
from worker.decoding.frame_cache import OpenEntry, decode_through, open_frame_cache, through_cache
from worker.video.clip import DecodeReport, DecodeRequest, decode_clip
from worker.video.container import VideoLimits

PROFILE = Profile("test", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), 48, 64, ("{}",))
WHOLE = Augment(area=(1.0, 1.0), aspect=(1.0, 1.0), flip=0.0, grayscale=0.0)  # the largest square
FIXED = DecodeRequest(PROFILE, Views(), 8, VideoLimits())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("clips")


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    open_frame_cache(tmp_path / "cache")
    return tmp_path / "cache"


def drawn(seed: int, augment: Augment = WHOLE, frames: int = 8) -> DecodeRequest:
    return replace(FIXED, frames=frames, draw=Draw(seed, augment))


def read(path: Path, request: DecodeRequest, cache: Path | None = None) -> tuple[UInt8Array, DecodeReport]:
    out = np.zeros(request.shape, np.uint8)

    def decode(entry: OpenEntry | None) -> tuple[DecodeReport, bool]:
        if entry is None:
            return decode_clip(path, request, out), False
        return decode_through(entry, path, request, out)

    return out, decode(None)[0] if cache is None else through_cache(cache, path, request, decode)


def entries(cache: Path) -> list[Path]:
    return sorted(cache.iterdir())


@pytest.mark.parametrize("name", ["h264", "h264_bframes", "vp9_webm", "h264_rotate90", "h264_vfr", "ffv1_odd"])
def test_cached_frames_for_evaluation_equal_decoded_ones(name: str, folder: Path, cache: Path) -> None:
    path = rendered(name, folder)
    plain, report = read(path, FIXED)
    first, made = read(path, FIXED, cache)
    again, kept = read(path, FIXED, cache)

    assert (first == plain).all()
    assert (again == plain).all()
    assert made == report
    assert kept == replace(report, source="cache", decoded=0)
    assert len(entries(cache)) == 1


@pytest.mark.parametrize("frames", [8, 4])
@pytest.mark.parametrize("seed", range(4))
def test_a_draw_is_the_same_from_a_new_and_a_stored_entry(seed: int, frames: int, folder: Path, cache: Path) -> None:
    path = rendered("h264", folder)  # 40 frames
    request = drawn(seed, Augment(randaugment=(2, 9)), frames)
    made, report = read(path, request, cache)
    again, kept = read(path, request, cache)

    assert (made == again).all()
    assert kept == replace(report, source="cache", decoded=0)


def test_a_short_clip_is_drawn_as_without_the_cache(folder: Path, cache: Path) -> None:
    path = render(folder / "short.mp4", replace(SPECS["h264"], frames=30))  # 30 ≤ 4 · 8
    for seed in range(6):
        plain, report = read(path, drawn(seed))
        cached, kept = read(path, drawn(seed), cache)
        assert [read_index(frame) for frame in cached[0]] == [read_index(frame) for frame in plain[0]]
        assert kept.timestamps == report.timestamps
        # decoding resamples once, the cache twice
        assert np.abs(cached.astype(int) - plain).mean() < 6


def test_a_long_clip_is_drawn_from_four_frames_of_each_segment(folder: Path, cache: Path) -> None:
    path = render(folder / "long.mp4", replace(SPECS["h264"], frames=160, width=64))
    seen = np.array([[read_index(frame) for frame in read(path, drawn(seed), cache)[0][0]] for seed in range(60)])

    for segment, indices in enumerate(seen.T):  # 20 frames each, their quarters' middles 2, 7, 12, 17
        assert set(indices) == {20 * segment + k for k in (2, 7, 12, 17)}
    assert len(entries(cache)) == 1


def test_each_policy_of_sampling_has_its_own_candidates(folder: Path, cache: Path) -> None:
    path = render(folder / "odd.mp4", replace(SPECS["h264"], frames=63, width=64))
    profile = replace(PROFILE, sampling="segment_center")
    seen = [read(path, replace(drawn(seed, frames=2), profile=profile), cache)[0][0] for seed in range(30)]
    read(path, drawn(0, frames=2), cache)

    quarters = [{3, 11, 19, 27}, {34, 42, 50, 58}]  # of segments of 31 frames; those of Text4Vis begin at 0 and 31
    assert [{read_index(clip[segment]) for clip in seen} for segment in (0, 1)] == quarters
    assert len(entries(cache)) == 2


def test_frames_are_kept_with_the_short_side_and_their_aspect(folder: Path, cache: Path) -> None:
    path = render(folder / "wide.mp4", replace(SPECS["h264"], width=256, height=128))
    read(path, drawn(0), cache)
    (file,) = entries(cache)
    assert b'"shape": [64, 128, 3]' in file.read_bytes().partition(b"\n")[0]


def test_an_entry_is_found_by_everything_it_depends_on(folder: Path, cache: Path) -> None:
    path = rendered("h264", folder)
    other = rendered("h264_bframes", folder)
    copied = shutil.copy(path, folder / "copied.mp4")
    ways: list[tuple[Path, DecodeRequest]] = [
        (path, drawn(0)),
        (path, FIXED),
        (other, drawn(0)),
        (path, drawn(0, frames=4)),
        (path, replace(FIXED, frames=4)),
        (path, replace(drawn(0), profile=replace(PROFILE, short_side=50))),
        (path, replace(FIXED, profile=replace(PROFILE, short_side=50))),
        (path, replace(drawn(0), profile=replace(PROFILE, interpolation="bilinear"))),
    ]
    for number, (file, request) in enumerate(ways):
        read(file, request, cache)
        assert len(entries(cache)) == number + 1
    same = replace(PROFILE, name="other", templates=("a {}",))
    for request in (drawn(1), drawn(0, Augment()), replace(FIXED, profile=same), replace(FIXED, threads=2)):
        read(Path(copied), request, cache)
    assert len(entries(cache)) == len(ways)


@pytest.mark.parametrize("request_", [drawn(0), FIXED], ids=["drawn", "fixed"])
def test_frames_of_earlier_pixels_are_not_used(
    request_: DecodeRequest, folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read(rendered("h264", folder), request_, cache)
    for module in ("models.profiles.profile", "worker.decoding.frame_cache"):
        monkeypatch.setattr(f"{module}.PIXELS", PIXELS + 1)
    read(rendered("h264", folder), request_, cache)
    assert len(entries(cache)) == 2


def test_a_clip_that_changes_is_decoded_again(folder: Path, cache: Path, tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    shutil.copy(rendered("h264", folder), path)
    before, _ = read(path, FIXED, cache)
    render(path, replace(SPECS["h264"], frames=16))
    after, _ = read(path, FIXED, cache)

    assert read_index(after[0, -1]) == 14
    assert (before != after).any()


def test_the_clips_of_a_dataset_are_identified_by_name(folder: Path, cache: Path, tmp_path: Path) -> None:
    path = tmp_path / ("ab" * 32)
    shutil.copy(rendered("h264", folder), path)
    expected, _ = read(path, FIXED, cache)
    path.write_bytes(b"")  # the file is not read again
    assert (read(path, FIXED, cache)[0] == expected).all()


@pytest.mark.parametrize("request_", [FIXED, drawn(5)], ids=["fixed", "drawn"])
@pytest.mark.parametrize("damage", ["torn", "flipped", "empty", "nonsense", "foreign"])
def test_a_damaged_entry_is_made_again(
    request_: DecodeRequest, damage: str, folder: Path, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = rendered("h264", folder)
    expected, _ = read(path, request_, cache)
    (file,) = entries(cache)
    whole = file.read_bytes()
    header, _, pixels = whole.partition(b"\n")
    file.write_bytes(
        {
            "torn": whole[: len(header) + len(pixels) // 2],
            "flipped": header + b"\n" + bytes(len(pixels)),
            "empty": b"",
            "nonsense": os.urandom(len(whole)),
            "foreign": b'{"some": "thing else"}\n',
        }[damage]
    )
    with caplog.at_level(logging.WARNING):
        again, _ = read(path, request_, cache)

    assert (again == expected).all()
    assert "decoded again" in caplog.text
    assert file.read_bytes() == whole


def test_frames_are_decoded_even_if_no_entry_can_be_written(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = rendered("h264", folder)
    open_frame_cache(tmp_path / "full")
    monkeypatch.setattr(frame_cache, "_RESERVED_BYTES", 1 << 60)
    full, _ = read(path, drawn(3), tmp_path / "full")
    gone, _ = read(path, drawn(3), tmp_path / "absent")
    assert (full == gone).all()
    assert not entries(tmp_path / "full")


def test_an_interrupted_write_leaves_nothing(folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", full)
        expected, _ = read(rendered("h264", folder), FIXED, cache)
    assert not entries(cache)
    assert (read(rendered("h264", folder), FIXED, cache)[0] == expected).all()


def test_files_of_killed_workers_are_deleted(cache: Path) -> None:
    old, young = cache / "a-1.part", cache / "b-2.part"
    for part in (old, young):
        part.write_bytes(b"half")
    os.utime(old, (time.time() - 7200,) * 2)
    open_frame_cache(cache)
    assert entries(cache) == [young]


def test_errors_are_raised_and_leave_nothing(cache: Path, tmp_path: Path) -> None:
    (tmp_path / "words.mp4").write_text("no video " * 99)
    for request in (FIXED, drawn(0)):
        with pytest.raises(UndecodableVideo):
            read(tmp_path / "words.mp4", request, cache)
    assert not entries(cache)
