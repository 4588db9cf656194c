"""Which points a timeline has, and which frames each of them sees. No torch.

    |  0  |  1  |  2  |     cells of `stride` seconds, with a point in the middle of each
    [ --- 0 --- ]           the point sees `window` seconds, its cell in the middle
          [ --- 1 --- ]

Windows overlap if they are longer than the stride. Frames at the same time are decoded and encoded once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from core.errors import InvalidRequest
from core.questions import MOST_OVERLAP, TimelineLimits
from models.frames.arrays import FloatArray, IntArray

FEWEST_POINTS, MOST_POINTS = 8, 1200  # unless the request gives a stride: of a short video, and of a long one
_PLACES = 4  # decimals of a second that tell two frames apart


@dataclass(frozen=True, slots=True)
class Spacing:
    """Seconds between two points, and seconds that each of them sees."""

    stride: float
    window: float


def choose_spacing(stride: float | None, window: float | None, duration: float, limits: TimelineLimits) -> Spacing:
    """What is not given follows from the settings and the length of the video, in seconds."""
    if stride is None and window is not None:
        stride = max(min(limits.stride, window), window / MOST_OVERLAP)
    if stride is None:
        stride = max(min(limits.stride, duration / FEWEST_POINTS), duration / min(MOST_POINTS, limits.points))
    stride = max(math.ceil(round(1000 * stride, 3)), 1) / 1000
    return Spacing(stride, round(window or stride * limits.window / limits.stride, 3))


def check_size(points: int, labels: int, duration: float, limits: TimelineLimits) -> None:
    """Raises: InvalidRequest for too many points, with the stride that fits."""
    most = min(limits.points, max(limits.values // labels, 1))
    if points > most:
        fits = math.ceil(1000 * duration / most) / 1000
        raise InvalidRequest(
            f"The timeline would have {points} points of {labels} labels; a video of {duration:.1f} s may have {most}.",
            hint=f"Ask for a stride of {fits:g} s or more{', or for fewer labels' if most < limits.points else ''}.",
            field="timeline.stride",
            limit=most,
            stride=fits,
        )


@dataclass(frozen=True, slots=True)
class Grid:
    """edges: [N + 1], of the cells; times: [F], of the frames, ascending; windows: [N, n], which frames each point
    sees. Times are seconds from the first frame."""

    edges: FloatArray
    times: FloatArray
    windows: IntArray

    @property
    def points(self) -> FloatArray:
        """[N], the middles of the cells."""
        middles: FloatArray = (self.edges[:-1] + self.edges[1:]) / 2
        return middles


def count_points(duration: float, stride: float) -> int:
    return max(round(duration / stride), 1)


def make_grid(duration: float, spacing: Spacing, frames: int) -> Grid:
    """`frames`: n, of each window, in the middles of n equal parts. What lies outside the video is its nearest end."""
    count = count_points(duration, spacing.stride)
    edges = np.minimum(np.arange(count + 1) * spacing.stride, duration)
    edges[-1] = duration
    middles = (edges[:-1] + edges[1:]) / 2  # [N]
    within = ((np.arange(frames) + 0.5) / frames - 0.5) * spacing.window  # [n]
    wanted = np.clip(middles[:, None] + within[None, :], 0.0, duration)  # [N, n]
    times, places = np.unique(np.round(wanted, _PLACES), return_inverse=True)
    return Grid(edges, times, places.reshape(wanted.shape).astype(np.int64))
