"""The vectors of a video's windows: decoded and encoded piece by piece, so that an hour needs no more memory than a
minute, and cached like frame features.

A piece is decoded while the one before it is encoded. The piece in front of the image tower and the piece behind it are
all the frames that are in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass

import numpy as np
import torch

from core.errors import UnknownVideo, VideoGone
from core.prometheus import DECODE_FRAMES, VIDEO_SECONDS, codec_label
from core.records import VideoFacts
from models.frames.arrays import IntArray
from models.frames.sampling import Views
from models.recognition.recognizer import Recognizer
from models.weights.digests import digest
from worker.decoding.pool import DecodedClip
from worker.inference.batching.towers import Frames
from worker.inference.caches.features import FEATURE_FORMAT, VectorKey, VideoVectors
from worker.inference.loading.shelf import Loaded
from worker.inference.runtime import Runtime
from worker.inference.stopwatch import Stopwatch
from worker.inference.video_vectors import decode_video
from worker.inference.windows.grid import Grid, Spacing, make_grid
from worker.jobs.cancellation import CancelToken

PIECE = 64  # frames that are decoded at once
_POOLED = 256  # windows that go through the temporal head at once
_WARNINGS = 5  # kinds of warnings that are passed on: each piece of a damaged file may have its own
_ONE_VIEW = Views(1, 1)


@dataclass(frozen=True, slots=True)
class StoredVideo:
    """A stored video whose length is known."""

    sha256: str
    facts: VideoFacts


def frames_of_window(recognizer: Recognizer, spacing: Spacing) -> int:
    """A model that reads frames one by one gets one frame per stride. A model that reads a clip gets windows of as many
    frames as it was trained with."""
    return max(1, round(spacing.window / spacing.stride)) if recognizer.reads == "frame" else recognizer.profile.frames


def windows_key(video: StoredVideo, recognizer: Recognizer, spacing: Spacing) -> VectorKey:
    """The cache key of the vectors: they are pooled, so it covers how frames are fused."""
    profile = recognizer.profile
    name = digest(
        "windows",
        FEATURE_FORMAT,
        recognizer.digest,
        recognizer.numerics,
        profile.vision_digest(),
        profile.fusion,
        spacing.stride,
        spacing.window,
    )
    return VectorKey(video.sha256, name)


def window_vectors(
    runtime: Runtime, loaded: Loaded, video: StoredVideo, spacing: Spacing, token: CancelToken, watch: Stopwatch
) -> tuple[VideoVectors, bool]:
    """The vectors of the windows as `features` [1, N, d], un-normalised, with the points in `timestamps`; and whether
    they were cached. Raises: VideoGone, UndecodableVideo, VideoTooLarge, Cancelled, and what a forward pass raises."""
    key = windows_key(video, loaded.recognizer, spacing)
    return runtime.videos.get_or_make(key, token, lambda own: _make(runtime, loaded, video, spacing, own, watch))


def _make(
    runtime: Runtime, loaded: Loaded, video: StoredVideo, spacing: Spacing, token: CancelToken, watch: Stopwatch
) -> VideoVectors:
    recognizer = loaded.recognizer
    grid = make_grid(video.facts.duration, spacing, frames_of_window(recognizer, spacing))
    pieces = list(_pieces(grid, recognizer.mixes_time))
    warnings: dict[str, None] = {}

    def decode(piece: IntArray) -> DecodedClip:
        times = tuple(grid.times[np.unique(piece)].tolist())
        return decode_video(runtime, loaded, video.sha256, _ONE_VIEW, len(times), token, times=times)

    features: list[torch.Tensor] = []
    for piece, clip in _ahead(pieces, decode, watch):
        with watch.stage("encode"):
            features.append(_encode(loaded, clip.frames[0], piece, token))
        warnings |= dict.fromkeys(clip.report.warnings)
    DECODE_FRAMES.labels(codec_label(video.facts.codec)).inc(len(grid.times))
    VIDEO_SECONDS.inc(video.facts.duration)
    with watch.stage("encode"):
        vectors = _pool(recognizer, features, grid, token)  # [N, d]
    points = tuple(round(float(point), 3) for point in grid.points)
    return VideoVectors(vectors[None], points, video.facts, tuple(warnings)[:_WARNINGS])


def _pieces(grid: Grid, mixes_time: bool) -> Iterator[IntArray]:
    """Which frames go together, [clips, frames of a clip]: whole windows for a tower that mixes time, else any frames,
    each of them once."""
    if mixes_time:
        count = max(1, PIECE // grid.windows.shape[1])
        yield from (grid.windows[at : at + count] for at in range(0, len(grid.windows), count))
    else:
        frames = np.arange(len(grid.times))
        yield from (frames[None, at : at + PIECE] for at in range(0, len(frames), PIECE))


def _ahead(
    pieces: list[IntArray], decode: Callable[[IntArray], DecodedClip], watch: Stopwatch
) -> Iterator[tuple[IntArray, DecodedClip]]:
    """Each piece with its frames, while the next one is being decoded. Raises: Cancelled, VideoGone, and what `decode`
    raises."""
    with ThreadPoolExecutor(1, "windows") as beside:
        coming: Future[DecodedClip] | None = beside.submit(copy_context().run, decode, pieces[0])
        for number, piece in enumerate(pieces, 1):
            assert coming is not None
            try:
                with watch.stage("decode"):
                    clip = coming.result()
            except UnknownVideo as error:
                raise gone(error) from None
            coming = beside.submit(copy_context().run, decode, pieces[number]) if number < len(pieces) else None
            yield piece, clip


def gone(error: UnknownVideo) -> VideoGone:
    """The video has a record, but neither vectors nor bytes."""
    return VideoGone(
        "The vectors of the video are no longer cached, and its bytes are no longer stored.",
        hint="Upload it again.",
        reason=error.message,
    )


def _encode(loaded: Loaded, frames: Frames, piece: IntArray, token: CancelToken) -> torch.Tensor:
    """frames: uint8 [k, S, S, 3], those of the piece in ascending order → features [clips, n, d]."""

    def forward(items: Frames, clip: int) -> torch.Tensor:
        return loaded.towers.frames.encode(items, token, clip)

    if loaded.recognizer.mixes_time:
        places = np.unique(piece, return_inverse=True)[1].reshape(piece.shape)
        return loaded.recognizer.encode_clips(frames[places], forward)  # [clips, n, S, S, 3] → [clips, n, d]
    return loaded.recognizer.encode_clips(frames[None], forward)  # [1, k, S, S, 3] → [1, k, d]


def _pool(recognizer: Recognizer, features: list[torch.Tensor], grid: Grid, token: CancelToken) -> torch.Tensor:
    """features: of the pieces → vectors of the windows [N, d]."""
    if recognizer.mixes_time:
        return torch.cat([recognizer.pool(part) for part in features])  # [clips, n, d] each → [N, d]
    by_frame = torch.cat(features, dim=1)[0]  # [F, d]
    vectors: list[torch.Tensor] = []
    for at in range(0, len(grid.windows), _POOLED):
        token.check()
        seen = torch.from_numpy(grid.windows[at : at + _POOLED])  # [m, n]
        vectors.append(recognizer.pool(by_frame[seen]))  # [m, n, d] → [m, d]
    return torch.cat(vectors)  # [N, d]
