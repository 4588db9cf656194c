"""Random frames and crops for training: what a decode child makes of a file, a profile and a seed."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.frames.arrays import UInt8Array
from models.frames.augmentation import Augment, Draw
from models.frames.sampling import Views, train_indices
from models.profiles.profile import Profile
from tests.clips import BARS, SPECS, read_index, render, truncate
from worker.video.clip import DecodeReport, DecodeRequest, decode_clip
from worker.video.container import VideoLimits

PROFILE = Profile("test", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), 48, 64, ("{}",))
WHOLE = Augment(area=(1.0, 1.0), aspect=(1.0, 1.0), flip=0.0, grayscale=0.0)  # the whole of a square frame
ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("clips")


@pytest.fixture(scope="module")
def square(folder: Path) -> Path:
    return render(folder / "square.mp4", replace(SPECS["h264_bframes"], width=64, frames=100))


def decode_drawn(path: Path, seed: int, augment: Augment, frames: int = 8) -> tuple[UInt8Array, DecodeReport]:
    """(uint8 [T, S, S, 3], report)"""
    request = DecodeRequest(PROFILE, Views(), frames, VideoLimits(), draw=Draw(seed, augment))
    out = np.zeros(request.shape, np.uint8)
    report = decode_clip(path, request, out)
    return out[0], report


@pytest.mark.parametrize("seed", range(5))
def test_the_frames_are_those_that_the_seed_draws(seed: int, square: Path) -> None:
    frames, report = decode_drawn(square, seed, WHOLE)
    expected = train_indices(100, 8, Draw(seed, WHOLE).for_frames())
    assert [read_index(frame) for frame in frames] == expected.tolist()
    assert report.timestamps[0] == pytest.approx(expected / 25, abs=0.0015)
    assert report.warnings == ()


@pytest.mark.parametrize("seed", range(3))
def test_the_profile_says_how_frames_are_drawn(seed: int, square: Path) -> None:
    request = DecodeRequest(
        replace(PROFILE, sampling="segment_center"), Views(), 8, VideoLimits(), draw=Draw(seed, WHOLE)
    )
    out = np.zeros(request.shape, np.uint8)
    decode_clip(square, request, out)
    drawn = Draw(seed, WHOLE).for_frames()
    assert [read_index(frame) for frame in out[0]] == train_indices(100, 8, drawn, "segment_center").tolist()


def test_a_short_video_shows_every_frame_and_some_twice(folder: Path) -> None:
    path = render(folder / "tiny.mp4", replace(SPECS["h264"], width=64, frames=5))
    for seed in range(5):
        shown = [read_index(frame) for frame in decode_drawn(path, seed, WHOLE)[0]]
        assert set(shown) == set(range(5))
        assert shown == sorted(shown)


def test_all_frames_of_a_clip_are_cropped_flipped_and_greyed_alike(folder: Path) -> None:
    """All frames of a still clip stay equal, whatever is drawn."""
    path = render(folder / "still.mkv", replace(SPECS["ffv1_mkv"], content="bars", matrix="bt601", frames=20))
    greys = 0
    for seed in range(20):
        frames, _ = decode_drawn(path, seed, Augment())
        assert (frames == frames[0]).all()
        greys += bool((frames == frames[..., :1]).all())
    assert 0 < greys < 12


def test_a_flip_mirrors_the_picture(folder: Path) -> None:
    path = render(folder / "bars.mkv", replace(SPECS["ffv1_mkv"], content="bars", width=64, matrix="bt601", frames=4))
    plain, _ = decode_drawn(path, 0, WHOLE)
    turned, _ = decode_drawn(path, 0, replace(WHOLE, flip=1.0))
    assert (turned == plain[:, :, ::-1]).all()
    assert plain[0, 5, 5] == pytest.approx(BARS[0], abs=4)


def test_randaugment_draws_afresh_for_each_frame_also_a_repeated_one(folder: Path) -> None:
    path = render(folder / "one.mp4", replace(SPECS["h264"], frames=1))
    frames, _ = decode_drawn(path, 1, replace(WHOLE, randaugment=(2, 9)))
    assert len({frame.tobytes() for frame in frames}) > 3
    assert (frames == decode_drawn(path, 1, replace(WHOLE, randaugment=(2, 9)))[0]).all()


def test_randaugment_gets_whole_frames_of_the_short_side(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []

    def spy(image: Image.Image, count: int, magnitude: int, rng: np.random.Generator) -> Image.Image:
        sizes.append((*image.size, count, magnitude))
        return image

    monkeypatch.setattr("models.frames.augmentation.rand_augment", spy)
    path = render(folder / "wide.mp4", replace(SPECS["h264"], width=256, height=128))
    decode_drawn(path, 0, replace(WHOLE, randaugment=(2, 9)))
    assert sizes == [(128, 64, 2, 9)] * 8


def test_another_process_draws_the_same(square: Path) -> None:
    code = (
        "import hashlib, sys\n"
        "from pathlib import Path\n"
        "from models.frames.augmentation import Augment\n"
        "from tests.worker.video.test_clip_draw import decode_drawn\n"
        "frames, _ = decode_drawn(Path(sys.argv[1]), 11, Augment(randaugment=(2, 9)))\n"
        "print(hashlib.sha256(frames.tobytes()).hexdigest())"
    )
    run = [subprocess.check_output([sys.executable, "-c", code, str(square)], cwd=ROOT) for _ in range(2)]
    assert run[0] == run[1]


def test_damage_costs_frames_and_not_the_clip(square: Path, tmp_path: Path) -> None:
    cut = truncate(render(tmp_path / "cut.mkv", replace(SPECS["h264_mkv"], width=64, frames=100)), 0.5, tmp_path / "c")
    frames, report = decode_drawn(cut, 2, WHOLE)
    shown = [read_index(frame) for frame in frames]
    assert shown == sorted(shown)
    assert max(shown) < 60
    assert any("incomplete" in warning for warning in report.warnings)


def test_a_draw_is_one_view() -> None:
    with pytest.raises(ValueError, match="one view"):
        DecodeRequest(PROFILE, Views(2, 1), 8, VideoLimits(), draw=Draw(0, WHOLE))
