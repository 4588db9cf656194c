"""Which stored videos a search means, and the index of their windows for one model.

The vectors are those of a timeline with the stride and the window of the settings, so whatever has computed them once,
a timeline or an indexing job of any worker, makes the video searchable while they are cached.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from torch.nn.functional import normalize

from core.questions import SearchFilter
from core.records import StoredVideo as Record
from core.records import video_id
from models.frames.arrays import FloatArray
from models.recognition.recognizer import Recognizer
from models.weights.digests import digest
from worker.inference.caches.features import VectorKey, VideoVectors
from worker.inference.caches.windows import WindowIndex, Windows
from worker.inference.runtime import Runtime
from worker.inference.windows.grid import Spacing, choose_spacing
from worker.inference.windows.vectors import StoredVideo, windows_key
from worker.jobs.cancellation import CancelToken

if TYPE_CHECKING:
    import torch

_BATCH = 32  # videos whose vectors are read in one command


def meant(runtime: Runtime, wanted: SearchFilter) -> list[str]:
    """The sha256 of the stored videos that fit, the newest first."""
    stored = runtime.book.stored(wanted.tags)
    ids = None if wanted.videos is None else set(wanted.videos)
    after = wanted.created_after if wanted.created_after is not None else -np.inf
    before = wanted.created_before if wanted.created_before is not None else np.inf
    return [
        sha256
        for sha256, created in stored.items()
        if after < created < before and (ids is None or video_id(sha256) in ids)
    ]


def index_of(runtime: Runtime, recognizer: Recognizer) -> WindowIndex:
    """The index for this model. What is not stored any more is out of it."""
    profile = recognizer.profile
    settings = (runtime.timeline.stride, runtime.timeline.window)
    parts = (recognizer.digest, recognizer.numerics, profile.vision_digest(), profile.fusion, *settings)
    index = runtime.indexes.of(digest(runtime.project, *parts))
    index.keep_only(runtime.book.stored().keys())
    return index


def load(runtime: Runtime, recognizer: Recognizer, index: WindowIndex, wanted: list[str], token: CancelToken) -> None:
    """Put what the cache has of these videos into the index, while there is room. Raises: Cancelled."""
    missing = [sha256 for sha256 in wanted if sha256 not in index]
    for at in range(0, len(missing), _BATCH):
        token.check()
        batch = runtime.book.records(missing[at : at + _BATCH])
        records = [record for record in batch if record and record.facts]
        keys = {key_of(runtime, recognizer, record): record for record in records}
        for key, vectors in runtime.videos.stored(list(keys)).items():
            if not add(runtime, recognizer, index, keys[key].sha256, vectors):
                return


def add(runtime: Runtime, recognizer: Recognizer, index: WindowIndex, sha256: str, vectors: VideoVectors) -> bool:
    """Returns whether there was room."""
    duration = vectors.facts.duration
    half = spacing_of(runtime, duration).window / 2
    return index.add(
        sha256,
        Windows(
            comparable(recognizer, vectors.features[0]),
            tuple(round(max(point - half, 0.0), 3) for point in vectors.timestamps),
            tuple(round(min(point + half, duration), 3) for point in vectors.timestamps),
        ),
    )


def comparable(recognizer: Recognizer, vectors: torch.Tensor) -> FloatArray:
    """vectors: [N, d] as they are pooled → float32 [N, d] whose products with unit rows are similarities."""
    unit = recognizer.profile.fusion == "embedding"
    found: FloatArray = (normalize(vectors.float(), dim=-1) if unit else vectors.float()).numpy()
    return found


def spacing_of(runtime: Runtime, duration: float) -> Spacing:
    return choose_spacing(None, None, duration, runtime.timeline)


def key_of(runtime: Runtime, recognizer: Recognizer, record: Record) -> VectorKey:
    """The cache key of the vectors of a video whose length is known."""
    assert record.facts is not None
    video = StoredVideo(record.sha256, record.facts)
    return windows_key(video, recognizer, spacing_of(runtime, record.facts.duration))
