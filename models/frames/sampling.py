"""Which frames make up a clip, and how many views a video gets. No torch. Everything is integer arithmetic and
deterministic, except the draws of training, which use the generator they are given."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from models.frames.arrays import IntArray
from models.profiles.profile import Sampling

MAX_CLIPS = 10
CANDIDATES = 4
"""How many frames of each segment a frame cache keeps for the draws of training."""


@dataclass(frozen=True, slots=True)
class Views:
    """clips × crops, as in the papers' "4x3": 4 temporal clips with 3 spatial crops each. Raises: ValueError."""

    clips: int = 1
    crops: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.clips <= MAX_CLIPS or self.crops not in (1, 3):
            raise ValueError(
                f"views {self} is not supported: clips are 1 … {MAX_CLIPS} and crops 1 or 3, as in '1x1' or '4x3'"
            )

    @classmethod
    def parse(cls, text: str) -> Views:
        """Raises: ValueError; its message can be shown to the user."""
        match = re.fullmatch(r"\s*([0-9]{1,4})\s*[xX×]\s*([0-9]{1,4})\s*", text)
        if match is None:
            raise ValueError(f"views must look like '4x3' (clips x crops), not {text!r}")
        return cls(int(match[1]), int(match[2]))

    @property
    def count(self) -> int:
        return self.clips * self.crops

    def __str__(self) -> str:
        return f"{self.clips}x{self.crops}"


def frame_indices(n: int, frames: int, policy: Sampling, clips: int = 1) -> IntArray:
    """Indices [clips, frames] into a video of n frames: each row sorted, all in [0, n), the same on every call.

    segment_start (Text4Vis test, method §1): the first frame of each of T equal segments; clip k starts
    linspace(0, n/T - 1, K)[k] later, truncated. For n < T that start is negative in the original and wraps to the last
    frame; here it is clamped to 0.
    segment_center (ViFi-CLIP val): the middle of each segment. ViFi draws several clips at random. To give the same
    answer each time, we cut each segment into K equal parts, and clip k takes the middle of part k. K = 1 is ViFi's
    rule.

    Raises: ValueError for n, frames or clips below 1.
    """
    if min(n, frames, clips) < 1:
        raise ValueError(f"need at least one frame and one clip: n={n}, frames={frames}, clips={clips}")
    i = np.arange(frames, dtype=np.int64)[None, :]  # [1, T]
    k = np.arange(clips, dtype=np.int64)[:, None]  # [K, 1]
    if policy == "segment_center":
        return n * (2 * clips * i + 2 * k + 1) // (2 * clips * frames)  # [K, T]
    starts = k * max(n - frames, 0) // (frames * max(clips - 1, 1))  # [K, 1], = int(k · (n/T - 1) / (K - 1))
    return starts + i * n // frames  # [K, T]


def train_indices(n: int, frames: int, rng: np.random.Generator, policy: Sampling = "segment_start") -> IntArray:
    """Indices [T] into a video of n frames, drawn for one training step: sorted, in [0, n). policy: that of the
    profile, so that a model is trained on frames like those that it is shown afterwards (method §1).

    segment_start (Text4Vis train): one uniform draw from each of T segments with the edges i·n // T. For n ≤ T: every
    frame once, and T - n random repeats.
    segment_center (ViFi-CLIP train): one uniform draw from each of T segments of n // T frames; the frames after the
    last one are never drawn. For n < T: round(i·n/T). The original wraps its last indices to the first frame; here they
    are clamped to the last.

    Raises: ValueError for n or frames below 1.
    """
    _check(n, frames)
    if policy == "segment_center" and n < frames:
        return np.minimum(np.rint(np.arange(frames) * n / frames), n - 1).astype(np.int64)  # [T]
    if policy == "segment_start" and n <= frames:
        return np.sort(np.concatenate([np.arange(n), rng.integers(n, size=frames - n)])).astype(np.int64)  # [T]
    edges = _edges(n, frames, policy)
    return rng.integers(edges[:-1], edges[1:], dtype=np.int64)  # [T]


def candidate_indices(n: int, frames: int, policy: Sampling = "segment_start") -> IntArray:
    """Sorted indices [min(n, 4·T)] of the frames that a frame cache keeps: all frames of a short video, else the
    middles of the quarters of each training segment.

    `train_indices(len(candidates), T, rng, policy)` draws from these as it would draw from the video: one per segment,
    and for n ≤ 4·T exactly the same frames. Raises: ValueError for n or frames below 1.
    """
    _check(n, frames)
    if n <= CANDIDATES * frames:
        return np.arange(n, dtype=np.int64)
    edges = _edges(n, frames, policy)[:, None]  # [T + 1, 1]
    quarter = np.arange(CANDIDATES, dtype=np.int64)[None, :]  # [1, 4]
    inside = np.diff(edges, axis=0) * (2 * quarter + 1) // (2 * CANDIDATES)  # [T, 4]
    return (edges[:-1] + inside).reshape(-1)  # [T · 4]


def _edges(n: int, frames: int, policy: Sampling) -> IntArray:
    """Of the training segments [T + 1]."""
    i = np.arange(frames + 1, dtype=np.int64)
    return i * (n // frames) if policy == "segment_center" else i * n // frames


def _check(n: int, frames: int) -> None:
    if min(n, frames) < 1:
        raise ValueError(f"need at least one frame: n={n}, frames={frames}")
