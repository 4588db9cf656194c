from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.frames.sampling import CANDIDATES, Views, candidate_indices, frame_indices, train_indices
from models.profiles.profile import Sampling

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


SEEDS = st.integers(0, 2**63)


@given(n=st.integers(1, 100_000), frames=st.integers(1, 64), seed=SEEDS)
def test_train_draws_are_sorted_in_range_and_repeatable(n: int, frames: int, seed: int) -> None:
    drawn = train_indices(n, frames, np.random.default_rng(seed))
    assert drawn.shape == (frames,)
    assert drawn.dtype == np.int64
    assert drawn.min() >= 0
    assert drawn.max() < n
    assert (np.diff(drawn) >= 0).all()
    assert (drawn == train_indices(n, frames, np.random.default_rng(seed))).all()


@given(n=st.integers(2, 100_000), frames=st.integers(1, 64), seed=SEEDS)
def test_train_draws_one_frame_of_each_segment(n: int, frames: int, seed: int) -> None:
    if n > frames:
        drawn = train_indices(n, frames, np.random.default_rng(seed)).tolist()
        assert all(i * n // frames <= k < (i + 1) * n // frames for i, k in enumerate(drawn))


@given(n=st.integers(1, 64), extra=st.integers(0, 64), seed=SEEDS)
def test_train_draws_of_a_short_video_hold_every_frame(n: int, extra: int, seed: int) -> None:
    drawn = train_indices(n, n + extra, np.random.default_rng(seed))
    assert set(drawn.tolist()) == set(range(n))


def test_train_draws_reach_exactly_the_segments_of_the_paper() -> None:
    draws = np.array([train_indices(300, 8, np.random.default_rng(seed)) for seed in range(3000)])  # [3000, T]
    assert draws.min(axis=0).tolist() == [0, 37, 75, 112, 150, 187, 225, 262]  # method §1: edges floor(i·n/T)
    assert draws.max(axis=0).tolist() == [36, 74, 111, 149, 186, 224, 261, 299]
    counts = np.bincount(draws[:, 0], minlength=37)
    assert counts.min() > 0.5 * 3000 / 37  # uniform within the segment


def test_repeats_of_a_short_video_are_random() -> None:
    assert len({tuple(train_indices(5, 8, np.random.default_rng(seed))) for seed in range(50)}) > 10


@given(n=st.integers(1, 100_000), frames=st.integers(1, 64))
def test_candidates_are_four_distinct_frames_of_each_segment(n: int, frames: int) -> None:
    candidates = candidate_indices(n, frames)
    if n <= CANDIDATES * frames:
        assert candidates.tolist() == list(range(n))
        return
    assert candidates.shape == (CANDIDATES * frames,)
    assert (np.diff(candidates) > 0).all()
    for i, row in enumerate(candidates.reshape(frames, CANDIDATES)):
        assert i * n // frames <= row[0]
        assert row[-1] < (i + 1) * n // frames


def centre(n: int, frames: int, seed: int) -> list[int]:
    drawn: list[int] = train_indices(n, frames, np.random.default_rng(seed), "segment_center").tolist()
    return drawn


def test_vifi_draws_from_segments_of_whole_frames() -> None:
    draws = np.array([centre(300, 8, seed) for seed in range(3000)])  # [3000, T]
    assert draws.min(axis=0).tolist() == [
        0,
        37,
        74,
        111,
        148,
        185,
        222,
        259,
    ]  # method §1: i·a + randint(a), a = 300 // 8
    assert draws.max(axis=0).tolist() == [36, 73, 110, 147, 184, 221, 258, 295]


@pytest.mark.parametrize(
    ("n", "expected"),
    [
        (8, [0, 1, 2, 3, 4, 5, 6, 7]),
        (5, [0, 1, 1, 2, 2, 3, 4, 4]),  # round(i·5/8)
        (4, [0, 0, 1, 2, 2, 2, 3, 3]),  # of 0, .5, 1, 1.5, 2, 2.5, 3, 3.5; the last would be 4, and wrap to 0
        (1, [0] * 8),
    ],
)
def test_vifi_spreads_the_frames_of_a_short_video(n: int, expected: list[int]) -> None:
    assert all(centre(n, 8, seed) == expected for seed in range(20))


@given(n=st.integers(1, 10_000), frames=st.integers(1, 32), seed=SEEDS)
def test_vifis_draws_from_candidates_are_its_draws_from_the_video(n: int, frames: int, seed: int) -> None:
    candidates = candidate_indices(n, frames, "segment_center")
    drawn = candidates[centre(len(candidates), frames, seed)].tolist()
    if n <= CANDIDATES * frames:
        assert drawn == centre(n, frames, seed)
    else:
        step = n // frames
        assert all(i * step <= k < (i + 1) * step for i, k in enumerate(drawn))


def test_candidates_are_the_middles_of_the_quarters() -> None:
    assert candidate_indices(64, 2).tolist() == [4, 12, 20, 28, 36, 44, 52, 60]
    assert candidate_indices(40, 4).tolist() == [1, 3, 6, 8, 11, 13, 16, 18, 21, 23, 26, 28, 31, 33, 36, 38]


@given(n=st.integers(1, 10_000), frames=st.integers(1, 32), seed=SEEDS)
def test_draws_from_candidates_are_draws_from_the_video(n: int, frames: int, seed: int) -> None:
    candidates = candidate_indices(n, frames)
    drawn = candidates[train_indices(len(candidates), frames, np.random.default_rng(seed))]
    if n <= CANDIDATES * frames:
        assert (drawn == train_indices(n, frames, np.random.default_rng(seed))).all()
    else:
        assert all(i * n // frames <= k < (i + 1) * n // frames for i, k in enumerate(drawn.tolist()))


@pytest.mark.parametrize("draw", [candidate_indices, lambda n, t: train_indices(n, t, np.random.default_rng(0))])
@pytest.mark.parametrize(("n", "frames"), [(0, 8), (8, 0)])
def test_nothing_to_draw_is_an_error(draw: Callable[[int, int], object], n: int, frames: int) -> None:
    with pytest.raises(ValueError, match="at least one"):
        draw(n, frames)


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
