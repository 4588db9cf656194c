"""A dataset's clips as batches: decoded ahead in the pool's children while the caller computes, in order, in bounded
memory.

What comes out is a function of the samples alone, whatever the number of children and whoever kills one of them. The
fixed rule for a clip that cannot be decoded: it is left out of its batch and listed, and nothing takes its place
(Text4Vis puts another random video there, in tests too, method §17).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import tee
from pathlib import Path

import numpy as np
import numpy.typing as npt

from core.errors import UndecodableVideo, VideoTooLarge, VireoError
from models.frames.augmentation import Augment, Draw
from models.frames.sampling import Views
from models.profiles.profile import Profile
from worker.decoding.frame_cache import open_frame_cache
from worker.decoding.pool import DecodePool, DecodeTask

UInt8Array = npt.NDArray[np.uint8]
Int64Array = npt.NDArray[np.int64]

_MAX_AHEAD = 256  # clips: each that waits for a child holds an open file
_RETRY_REASONS = ("decoder_crashed", "deadline")  # not always the clip's fault: a killed child, a busy machine


@dataclass(frozen=True, slots=True)
class Sample:
    """One clip of a batch. seed: of its augmentation, 0 or more; the caller derives it from run, epoch and clip."""

    path: Path
    label: int
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Batch:
    """frames: uint8 [B, T, S, S, 3], sRGB; labels: int64 [B]; places: int64 [B], which samples of the planned batch
    these are; skipped: (path, error code) of the others. B may be 0."""

    frames: UInt8Array
    labels: Int64Array
    places: Int64Array
    skipped: tuple[tuple[Path, str], ...]


class ClipReader:
    """Holds nothing that must be closed: the pool is the caller's, who may read with several readers at once."""

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
        """frames: T; augment: how `batches` looks, None for the steady look of evaluation; cache: the directory where
        decoded frames are kept (`worker.decoding.frame_cache`); ahead: clips decoded beyond the one that is waited for (at most
        256): a batch's worth keeps the children busy while the caller computes."""
        self._pool, self._profile, self._frames = pool, profile, frames
        self._augment, self._cache = augment, cache
        if cache is not None:
            open_frame_cache(cache)
        self._ahead = min(max(ahead, 1), _MAX_AHEAD)
        self.skipped: dict[Path, str] = {}
        """All clips that this reader has left out, and why."""

    def batches(self, plan: Iterable[Sequence[Sample]]) -> Generator[Batch, None, None]:
        """One batch per element of `plan`, which is read as decoding goes. Closing the generator ends what is
        under way.

        Raises: what is not a clip's own fault: WorkerUnavailable, StorageUnavailable, InvalidRequest, Cancelled.
        """
        ahead, now = tee(plan)
        with closing(self._in_order((sample for group in ahead for sample in group), self._look)) as clips:
            for group in now:
                yield self._batch(group, clips)

    def views(self, samples: Iterable[Sample], views: Views) -> Generator[tuple[int, UInt8Array], None, None]:
        """(place in `samples`, frames: uint8 [V, T, S, S, 3], V = crop · clips + clip), as evaluation looks. Clips that
        cannot be decoded are left out, see `skipped`. Raises: as `batches`."""

        def look(sample: Sample) -> DecodeTask:
            return self._submit(sample, views, None)

        with closing(self._in_order(samples, look)) as clips:
            for place, frames in enumerate(clips):
                if frames is not None:
                    yield place, frames

    def _batch(self, group: Sequence[Sample], clips: Iterator[UInt8Array | None]) -> Batch:
        size = self._profile.size
        frames = np.empty((len(group), self._frames, size, size, 3), np.uint8)  # [B, T, S, S, 3]
        places: list[int] = []
        for place, clip in zip(range(len(group)), clips, strict=False):  # `clips` runs on into the next group
            if clip is not None:
                frames[len(places)] = clip[0]
                places.append(place)
        left_out = (group[place].path for place in range(len(group)) if place not in places)
        return Batch(
            frames[: len(places)],
            np.array([group[place].label for place in places], np.int64),
            np.array(places, np.int64),
            tuple((path, self.skipped[path]) for path in left_out),
        )

    def _look(self, sample: Sample) -> DecodeTask:
        return self._submit(sample, Views(), None if self._augment is None else Draw(sample.seed, self._augment))

    def _submit(self, sample: Sample, views: Views, draw: Draw | None) -> DecodeTask:
        # many views are looked at once, when training is over: their frames are not worth keeping
        cache = self._cache if views.count == 1 else None
        return self._pool.submit(
            sample.path, profile=self._profile, views=views, frames=self._frames, draw=draw, cache=cache
        )

    def _in_order(
        self, samples: Iterable[Sample], look: Callable[[Sample], DecodeTask]
    ) -> Generator[UInt8Array | None, None, None]:
        """uint8 [V, T, S, S, 3] per sample, None for a clip that is skipped."""
        waiting: deque[tuple[Sample, DecodeTask]] = deque()
        try:
            for sample in samples:
                waiting.append((sample, look(sample)))
                if len(waiting) > self._ahead:
                    yield self._finish(waiting, look)
            while waiting:
                yield self._finish(waiting, look)
        finally:
            for _, decoding in waiting:
                decoding.cancel()

    def _finish(
        self, waiting: deque[tuple[Sample, DecodeTask]], look: Callable[[Sample], DecodeTask], again: bool = True
    ) -> UInt8Array | None:
        """The first of `waiting`; it stays there until it has ended, so that an interrupt finds it and cancels it."""
        sample, decoding = waiting[0]
        try:
            frames = decoding.result().frames
        except VireoError as error:
            reason = str(error.details.get("reason", error.code))
            if again and reason in _RETRY_REASONS:
                waiting[0] = sample, look(sample)
                return self._finish(waiting, look, again=False)
            if not _is_clips_fault(error):
                raise
            self.skipped[sample.path] = reason
            frames = None
        waiting.popleft()
        return frames


def _is_clips_fault(error: VireoError) -> bool:
    """The base class itself is what a child reports of an exception that nobody foresaw."""
    return isinstance(error, UndecodableVideo | VideoTooLarge) or type(error) is VireoError
