from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from launcher import sample_clip


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sample") / "clip.mp4"
    sample_clip.write_sample(path)
    return path


def test_the_same_frames_every_time_in_a_small_file(clip: Path) -> None:
    """Not the same bytes: the encoder does not promise them."""
    twice = zip(sample_clip.draw_frames(), sample_clip.draw_frames(), strict=True)
    assert all((one == other).all() for one, other in twice)
    assert clip.stat().st_size < 200_000


def test_the_balloon_rises_and_drifts_to_the_right(clip: Path) -> None:
    with av.open(str(clip)) as container:
        frames = [frame.to_ndarray(format="rgb24").astype(int) for frame in container.decode(video=0)]
        assert container.streams.video[0].average_rate == sample_clip.FPS
    assert len(frames) == sample_clip.FPS * sample_clip.SECONDS
    assert frames[0].shape == (sample_clip.HEIGHT, sample_clip.WIDTH, 3)
    rows, columns = zip(*(np.nonzero(frame[..., 0] - frame[..., 2] > 60) for frame in frames), strict=True)  # red
    centres = np.array([(row.mean(), column.mean()) for row, column in zip(rows, columns, strict=True)])  # [T, 2]
    assert centres[-1, 0] < centres[0, 0] - 15
    assert centres[-1, 1] > centres[0, 1] + 80
    assert (np.diff(centres[:, 1]) > 0).all()
