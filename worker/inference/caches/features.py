"""Cache of videos as frame features: the same video is not decoded again for the same model, frames and views.

The key covers the format, the video's bytes, the recogniser's weights and precision, the vision part of the profile,
frames and views. Features are cached per frame and before pooling, so any aggregation can be computed from them later.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass

import numpy as np
import torch

from core.errors import UndecodableVideo, VideoTooLarge
from core.projects import DEFAULT_PROJECT, prefix_of
from core.prometheus import CACHE_REQUESTS
from core.records import VideoFacts
from core.state import keys
from models.frames.sampling import Views
from models.recognition.recognizer import Recognizer
from models.weights.digests import digest
from worker.inference.caches.entries import seal, unseal
from worker.inference.caches.lru import MEMORY_BYTES, ByteLRU
from worker.inference.caches.remote import RemoteCache
from worker.inference.caches.single_flight import SingleFlight
from worker.jobs.cancellation import CancelToken

FEATURE_FORMAT = 2  # of `VideoVectors.pack`; the first format had neither a version nor a checksum


def video_key(sha256: str, recognizer: Recognizer, views: Views, frames: int) -> str:
    vision = recognizer.profile.vision_digest()
    return digest(FEATURE_FORMAT, sha256, recognizer.digest, recognizer.precision, vision, str(views), frames)


@dataclass(frozen=True, slots=True)
class VideoVectors:
    features: torch.Tensor  # float32 [V, T, d], un-normalised
    timestamps: tuple[float, ...]  # seconds; of the distinct frames that were sampled, ascending
    facts: VideoFacts
    warnings: tuple[str, ...]

    def pack(self) -> bytes:
        """A line of JSON, then the features as raw float32."""
        header = {
            "shape": list(self.features.shape),
            "timestamps": self.timestamps,
            "facts": self.facts.model_dump(),
            "warnings": self.warnings,
        }
        return seal(json.dumps(header).encode() + b"\n" + self.features.numpy().tobytes(), FEATURE_FORMAT)

    @classmethod
    def unpack(cls, data: bytes) -> VideoVectors | None:
        """None where `data` is damaged or of another format."""
        content = unseal(data, FEATURE_FORMAT)
        if content is None:
            return None
        line, _, raw = content.partition(b"\n")
        header = json.loads(line)
        return cls(
            torch.from_numpy(np.frombuffer(raw, np.float32).copy()).view(header["shape"]),  # [V, T, d]
            tuple(header["timestamps"]),
            VideoFacts.model_validate(header["facts"]),
            tuple(header["warnings"]),
        )


class VideoCache:
    """Requests for the same features at the same time decode the video once. So do requests within a few seconds for a
    video that cannot be decoded."""

    def __init__(self, remote: RemoteCache, memory_bytes: int = MEMORY_BYTES) -> None:
        self._remote = remote
        self._prefix = prefix_of(DEFAULT_PROJECT)
        self._memory: ByteLRU[str, VideoVectors] = ByteLRU(memory_bytes)
        self._flights: SingleFlight[str, VideoVectors] = SingleFlight(remember=(UndecodableVideo, VideoTooLarge))

    def of(self, project: str) -> VideoCache:
        """What belongs to a project. Nobody learns from this cache that another project has sent the same video: not
        from a hit, not from the time that an answer takes, and not from a decode that is shared."""
        view = copy(self)
        view._prefix = prefix_of(project)
        return view

    def get_or_make(
        self, key: str, token: CancelToken, make: Callable[[CancelToken], VideoVectors]
    ) -> tuple[VideoVectors, bool]:
        """The features, and whether they were cached. `make`: gets a token that is cancelled once no request waits any
        more. Raises: Cancelled, and what `make` raises."""
        if vectors := self.get(key):
            return vectors, True
        address = self._prefix + key

        def compute(own: CancelToken) -> VideoVectors:
            if vectors := self._memory.get(address):  # another request has put them there since we looked
                return vectors
            vectors = make(own)
            self.put(key, vectors)
            return vectors

        return self._flights.value(address, token, compute), False

    def get(self, key: str) -> VideoVectors | None:
        address = self._prefix + key
        if vectors := self._memory.get(address):
            CACHE_REQUESTS.labels("video", "memory").inc()
            return vectors
        entry = keys.cached_video(address)
        data = self._remote.get([entry]).get(entry)
        if data and (vectors := VideoVectors.unpack(data)):
            self._memory.put(address, vectors, vectors.features.nbytes)
            CACHE_REQUESTS.labels("video", "redis").inc()
            return vectors
        return None

    def stored(self, wanted: Sequence[str]) -> dict[str, VideoVectors]:
        """What Redis has of these keys, in one command. It is not kept in this process's memory."""
        entries = {key: keys.cached_video(self._prefix + key) for key in wanted}
        data = self._remote.get(list(entries.values()))
        found = {key: VideoVectors.unpack(data[entry]) for key, entry in entries.items() if entry in data}
        return {key: vectors for key, vectors in found.items() if vectors}

    def put(self, key: str, vectors: VideoVectors) -> None:
        CACHE_REQUESTS.labels("video", "miss").inc()
        self._memory.put(self._prefix + key, vectors, vectors.features.nbytes)
        self._remote.put({keys.cached_video(self._prefix + key): vectors.pack()})
