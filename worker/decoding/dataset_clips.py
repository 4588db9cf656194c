"""The clips of a dataset as batches, in order. The pool's children decode ahead while the caller computes.

The batches depend only on the samples, not on the number of children nor on children that are killed. A clip that
cannot be decoded is left out of its batch and listed; no other clip takes its place (Text4Vis puts another random video
there, even in tests, method §17). Memory is bounded by `ahead`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import tee
from pathlib import Path

import numpy as np

from core.errors import UndecodableVideo, VideoTooLarge, VireoError
from models.frames.arrays import IntArray, UInt8Array
from models.frames.augmentation import Augment, Draw
from models.frames.sampling import Views
from models.profiles.profile import Profile
from models.weights.digests import digest
from worker.decoding.frame_cache import open_frame_cache
from worker.decoding.pool import DecodePool, DecodeTask

_MAX_AHEAD = 256  # clips: each clip that waits for a child holds an open file
_RETRY_REASONS = (
    "decoder_crashed",
    "deadline",
)  # a killed child or a busy machine may be the cause instead of the clip


@dataclass(frozen=True, slots=True)
class Sample:
    """One clip of a batch. seed: of its augmentation, at least 0; the caller derives it from run, epoch and clip."""

    path: Path
    label: int
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Batch:
    """frames: uint8 [B, T, S, S, 3], sRGB; labels: int64 [B]; positions: int64 [B], the positions of these clips in the
    planned batch; skipped: (path, error code) of the clips that were left out. B may be 0."""

    frames: UInt8Array
    labels: IntArray
    positions: IntArray
    skipped: tuple[tuple[Path, str], ...]


class ClipReader:
    """Reads clips through a pool, which belongs to the caller. Several readers may share one pool."""

    def __init__(
        self,
        pool: DecodePool,
        profile: Profile,
        frames: int,
        *,
        augment: Augment | None = None,
        cache: Path | None = None,
        ahead: int = 32,
    ) -> None:
        """frames: T; augment: the augmentation of `batches`, None for the fixed frames and crops of evaluation; cache:
        the directory of a frame cache (`worker.decoding.frame_cache`); ahead: how many clips to decode beyond the one
        that the caller waits for, at most 256. One batch is enough to keep the children busy."""
        self._pool, self._profile, self._frames = pool, profile, frames
        self._augment, self._cache = augment, cache
        if cache is not None:
            open_frame_cache(cache)
        self._ahead = min(max(ahead, 1), _MAX_AHEAD)
        self.skipped: dict[Path, str] = {}
        """All clips that this reader has left out, with the reason."""

    @property
    def digest(self) -> str:
        """Covers everything besides a clip's bytes that its frames depend on, where none is drawn."""
        return digest(self._profile.vision_digest(), self._frames)

    def in_profile(self, profile: Profile) -> ClipReader:
        """A reader of the same pool for the fixed frames and crops of a model with another profile."""
        return ClipReader(self._pool, profile, profile.frames, ahead=self._ahead)

    def batches(self, plan: Iterable[Sequence[Sample]]) -> Generator[Batch, None, None]:
        """One batch per element of `plan`, which is read while decoding goes on. Closing the generator cancels tasks.

        Raises: errors that no clip caused: WorkerUnavailable, StorageUnavailable, InvalidRequest, Cancelled.
        """
        ahead, now = tee(plan)
        with closing(self._in_order((sample for group in ahead for sample in group), self._submit_sample)) as clips:
            for group in now:
                yield self._batch(group, clips)

    def views(self, samples: Iterable[Sample], views: Views) -> Generator[tuple[int, UInt8Array], None, None]:
        """(position in `samples`, frames: uint8 [V, T, S, S, 3], V = crop · clips + clip), the views of evaluation.

        Clips that cannot be decoded are left out, see `skipped`. Raises: as `batches`.
        """

        def submit(sample: Sample) -> DecodeTask:
            return self._submit(sample, views, None)

        with closing(self._in_order(samples, submit)) as clips:
            for position, frames in enumerate(clips):
                if frames is not None:
                    yield position, frames

    def _batch(self, group: Sequence[Sample], clips: Iterator[UInt8Array | None]) -> Batch:
        size = self._profile.size
        frames = np.empty((len(group), self._frames, size, size, 3), np.uint8)  # [B, T, S, S, 3]
        positions: list[int] = []
        for position, clip in zip(range(len(group)), clips, strict=False):  # `clips` continues with the next group
            if clip is not None:
                frames[len(positions)] = clip[0]
                positions.append(position)
        left_out = (group[position].path for position in range(len(group)) if position not in positions)
        return Batch(
            frames[: len(positions)],
            np.array([group[position].label for position in positions], np.int64),
            np.array(positions, np.int64),
            tuple((path, self.skipped[path]) for path in left_out),
        )

    def _submit_sample(self, sample: Sample) -> DecodeTask:
        return self._submit(sample, Views(), None if self._augment is None else Draw(sample.seed, self._augment))

    def _submit(self, sample: Sample, views: Views, draw: Draw | None) -> DecodeTask:
        # several views are read only once, after training, so their frames are not worth keeping
        cache = self._cache if views.count == 1 else None
        return self._pool.submit(
            sample.path, profile=self._profile, views=views, frames=self._frames, draw=draw, cache=cache
        )

    def _in_order(
        self, samples: Iterable[Sample], submit: Callable[[Sample], DecodeTask]
    ) -> Generator[UInt8Array | None, None, None]:
        """uint8 [V, T, S, S, 3] for each sample, None for a clip that is left out."""
        waiting: deque[tuple[Sample, DecodeTask]] = deque()
        try:
            for sample in samples:
                waiting.append((sample, submit(sample)))
                if len(waiting) > self._ahead:
                    yield self._finish(waiting, submit)
            while waiting:
                yield self._finish(waiting, submit)
        finally:
            for _, decoding in waiting:
                decoding.cancel()

    def _finish(
        self, waiting: deque[tuple[Sample, DecodeTask]], submit: Callable[[Sample], DecodeTask], retry: bool = True
    ) -> UInt8Array | None:
        """The frames of the first task of `waiting`, which stays there until it ends, so that it can be cancelled."""
        sample, decoding = waiting[0]
        try:
            frames = decoding.result().frames
        except VireoError as error:
            reason = str(error.details.get("reason", error.code))
            if retry and reason in _RETRY_REASONS:
                waiting[0] = sample, submit(sample)
                return self._finish(waiting, submit, retry=False)
            if not _is_clips_fault(error):
                raise
            self.skipped[sample.path] = reason
            frames = None
        waiting.popleft()
        return frames


def _is_clips_fault(error: VireoError) -> bool:
    """A child reports an unexpected exception as the base class VireoError."""
    return isinstance(error, UndecodableVideo | VideoTooLarge) or type(error) is VireoError
