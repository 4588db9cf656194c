"""The points of a timeline, and the frames that each of them sees."""

from __future__ import annotations

import pytest

from core.errors import InvalidRequest
from core.questions import TimelineLimits
from worker.inference.windows.grid import Spacing, check_size, choose_spacing, count_points, make_grid

LIMITS = TimelineLimits(stride=1.0, window=2.0, points=100, values=1000)


@pytest.mark.parametrize(
    ("stride", "window", "duration", "expected"),
    [
        (None, None, 60.0, Spacing(1.0, 2.0)),
        (None, None, 4.0, Spacing(0.5, 1.0)),  # 8 points at least
        (None, None, 400.0, Spacing(4.0, 8.0)),  # as many as there may be
        (None, None, 400.3, Spacing(4.003, 8.006)),
        (0.5, None, 60.0, Spacing(0.5, 1.0)),  # in proportion
        (None, 0.5, 60.0, Spacing(0.5, 0.5)),
        (None, 64.0, 600.0, Spacing(2.0, 64.0)),
        (3.0, 3.0, 4.0, Spacing(3.0, 3.0)),  # what is given is kept
    ],
)
def test_what_is_not_given_follows(
    stride: float | None, window: float | None, duration: float, expected: Spacing
) -> None:
    assert choose_spacing(stride, window, duration, LIMITS) == expected


def test_a_long_video_has_fewer_points_by_default_than_it_may_have() -> None:
    roomy = TimelineLimits(stride=1.0, window=1.0, points=4000, values=10**6)
    assert choose_spacing(None, None, 3600.0, roomy) == Spacing(3.0, 3.0)
    assert choose_spacing(1.0, None, 3600.0, roomy) == Spacing(1.0, 1.0)
    check_size(3600, 10, 3600.0, roomy)


@pytest.mark.parametrize("duration", [0.04, 0.3, 1.0, 7.7, 99.9, 100.0, 100.1, 12345.678])
def test_the_default_stride_always_fits(duration: float) -> None:
    spacing = choose_spacing(None, None, duration, LIMITS)
    assert count_points(duration, spacing.stride) <= LIMITS.points


@pytest.mark.parametrize(("labels", "most"), [(1, 100), (10, 100), (20, 50), (400, 2), (5000, 1)])
def test_too_many_points_are_refused_with_the_stride_that_fits(labels: int, most: int) -> None:
    duration = 333.333
    check_size(most, labels, duration, LIMITS)
    with pytest.raises(InvalidRequest, match="would have") as refused:
        check_size(most + 1, labels, duration, LIMITS)
    assert refused.value.details["limit"] == most
    fits = refused.value.details["stride"]
    assert f"{fits:g} s" in str(refused.value.hint)
    check_size(count_points(duration, fits), labels, duration, LIMITS)
    with pytest.raises(InvalidRequest):
        check_size(count_points(duration, fits * most / (most + 1)), labels, duration, LIMITS)


def test_cells_cover_the_video_without_gaps() -> None:
    grid = make_grid(10.3, Spacing(1.0, 1.0), frames=1)
    assert grid.edges.tolist() == [*range(10), 10.3]
    assert grid.points.tolist() == pytest.approx([*(i + 0.5 for i in range(9)), 9.65])
    assert grid.times[grid.windows[:, 0]].tolist() == pytest.approx(grid.points.tolist(), abs=1e-4)


def test_a_window_has_its_frames_in_the_middles_of_equal_parts_around_its_point() -> None:
    grid = make_grid(10.0, Spacing(1.0, 2.0), frames=4)
    assert grid.times[grid.windows[4]].tolist() == pytest.approx([3.75, 4.25, 4.75, 5.25])
    assert grid.times[grid.windows[0]].tolist() == pytest.approx([0.0, 0.25, 0.75, 1.25])  # nothing before the start
    assert grid.times[grid.windows[-1]].tolist() == pytest.approx([8.75, 9.25, 9.75, 10.0])


def test_a_frame_that_several_windows_see_is_decoded_once() -> None:
    grid = make_grid(100.0, Spacing(1.0, 4.0), frames=4)
    assert len(grid.times) <= 100 + 4
    assert grid.windows.shape == (100, 4)
    assert (grid.times[1:] > grid.times[:-1]).all()


def test_a_video_shorter_than_a_stride_has_one_point() -> None:
    grid = make_grid(0.4, Spacing(1.0, 2.0), frames=2)
    assert grid.edges.tolist() == [0.0, 0.4]
    assert len(grid.windows) == 1
