from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.profile import Sampling
from models.sampling import Views, frame_indices

POLICIES = st.sampled_from(["segment_start", "segment_center"])


@pytest.mark.parametrize(
    ("n", "policy", "clips", "row", "expected"),
    [  # method §1
        (300, "segment_start", 1, 0, [0, 37, 75, 112, 150, 187, 225, 262]),
        (300, "segment_start", 4, 0, [0, 37, 75, 112, 150, 187, 225, 262]),
        (300, "segment_start", 4, 1, [12, 49, 87, 124, 162, 199, 237, 274]),
        (300, "segment_start", 4, 3, [36, 73, 111, 148, 186, 223, 261, 298]),
        (300, "segment_center", 1, 0, [18, 56, 93, 131, 168, 206, 243, 281]),
        (5, "segment_start", 1, 0, [0, 0, 1, 1, 2, 3, 3, 4]),
        (5, "segment_start", 4, 3, [0, 0, 1, 1, 2, 3, 3, 4]),  # the original wraps here and starts with frame 4
        (1, "segment_center", 1, 0, [0] * 8),
    ],
)
def test_golden_vectors(n: int, policy: Sampling, clips: int, row: int, expected: list[int]) -> None:
    assert frame_indices(n, 8, policy, clips)[row].tolist() == expected


@given(n=st.integers(1, 100_000), frames=st.integers(1, 64), clips=st.integers(1, 10), policy=POLICIES)
def test_indices_are_sorted_in_range_and_repeatable(n: int, frames: int, clips: int, policy: Sampling) -> None:
    indices = frame_indices(n, frames, policy, clips)
    assert indices.shape == (clips, frames)
    assert indices.min() >= 0
    assert indices.max() < n
    assert (np.diff(indices, axis=1) >= 0).all()
    assert (np.diff(indices, axis=0) >= 0).all()  # later clips never look earlier
    assert (indices == frame_indices(n, frames, policy, clips)).all()


@given(n=st.integers(1, 64), frames=st.integers(1, 64), clips=st.integers(1, 10), policy=POLICIES)
def test_short_videos_never_start_at_their_end(n: int, frames: int, clips: int, policy: Sampling) -> None:
    starts = frame_indices(n, frames, policy, clips)[:, 0]
    assert n == 1 or frames == 1 or (starts < n - 1).all()


@given(n=st.integers(1, 10_000), frames=st.integers(1, 32), policy=POLICIES)
def test_long_videos_never_repeat_a_frame(n: int, frames: int, policy: Sampling) -> None:
    chosen = frame_indices(n, frames, policy)[0]
    assert len(set(chosen.tolist())) == min(n, frames)


@pytest.mark.parametrize(("n", "frames", "clips"), [(0, 8, 1), (8, 0, 1), (8, 8, 0)])
def test_nothing_to_sample_is_an_error(n: int, frames: int, clips: int) -> None:
    with pytest.raises(ValueError, match="at least one"):
        frame_indices(n, frames, "segment_start", clips)


@pytest.mark.parametrize("text", ["1x1", "4x3", "1x3", "10x1"])
def test_views_are_read_and_written_alike(text: str) -> None:
    assert str(Views.parse(text)) == text


def test_views_count_clips_times_crops() -> None:
    assert Views.parse(" 4 X 3 ") == Views(clips=4, crops=3)
    assert Views(4, 3).count == 12


@pytest.mark.parametrize("text", ["", "4", "4x", "x3", "0x1", "11x1", "4x2", "-1x3", "4x3x1", "٤x3", "99999999x1"])
def test_other_views_are_refused_in_words(text: str) -> None:
    with pytest.raises(ValueError, match="views"):
        Views.parse(text)
