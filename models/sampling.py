"""Which frames a clip is made of, and how many views a video gets. Pure integer arithmetic: deterministic,
no torch."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.profile import Sampling

IntArray = npt.NDArray[np.int64]

MAX_CLIPS = 10


@dataclass(frozen=True, slots=True)
class Views:
    """clips × crops, the papers' "4x3": 4 temporal clips, each seen through 3 spatial crops. Raises:
    ValueError."""

    clips: int = 1
    crops: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.clips <= MAX_CLIPS or self.crops not in (1, 3):
            raise ValueError(
                f"views {self} is not offered: clips are 1 … {MAX_CLIPS} and crops 1 or 3, as in '1x1' or '4x3'"
            )

    @classmethod
    def parse(cls, text: str) -> Views:
        """Raises: ValueError with a sentence for the caller."""
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
    """Indices [clips, frames] into a video of n frames: sorted along a row, in [0, n), the same on every call.

    segment_start (Text4Vis test, method §1): the first frame of each of T equal segments; clip k starts
    linspace(0, n/T - 1, K)[k] later, truncated. Below n = T that start is negative in the original and wraps to
    the last frame; here it is clamped to 0.
    segment_center (ViFi-CLIP val): the middle of each segment. ViFi's multi-clip draws are random; ours, so that
    an answer repeats, cut each segment into K equal parts and clip k takes the middle of part k. K = 1 is ViFi's
    own rule.
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
