"""Cache of videos as frame features: the same video is not decoded again for the same model, frames and views.

The key covers the format, the video's bytes, the recogniser's weights and precision, the vision part of the profile,
frames and views. Features are cached per frame and before pooling, so any aggregation can be computed from them later.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass
from typing import NamedTuple

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
from worker.inference.caches.remote import Field, RemoteCache
from worker.inference.caches.single_flight import SingleFlight
from worker.jobs.cancellation import CancelToken

FEATURE_FORMAT = 2  # of `VideoVectors.pack`; the first format had neither a version nor a checksum


class VectorKey(NamedTuple):
    """Of a video's vectors: the video, and a digest of what else they depend on."""

    sha256: str
    name: str


class _Entry(NamedTuple):
    project: str
    sha256: str
    name: str

    @property
    def field(self) -> Field:
        return Field(keys.cached_vectors(prefix_of(self.project) + self.sha256), self.name)


def video_key(sha256: str, recognizer: Recognizer, views: Views, frames: int) -> VectorKey:
    vision = recognizer.profile.vision_digest()
    return VectorKey(sha256, digest(FEATURE_FORMAT, recognizer.digest, recognizer.numerics, vision, str(views), frames))


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
    video that cannot be decoded.

    A video that is deleted loses its record first and its vectors then. So whoever puts vectors here looks for the
    record afterwards: vectors that come too late for the deletion are forgotten at once.
    """

    def __init__(
        self, remote: RemoteCache, is_stored: Callable[[str, str], bool], memory_bytes: int = MEMORY_BYTES
    ) -> None:
        """`is_stored`: whether a project has a record of the video with this sha256."""
        self._remote = remote
        self._is_stored = is_stored
        self._project = DEFAULT_PROJECT
        self._memory: ByteLRU[_Entry, VideoVectors] = ByteLRU(memory_bytes)
        self._flights: SingleFlight[_Entry, VideoVectors] = SingleFlight(remember=(UndecodableVideo, VideoTooLarge))

    def of(self, project: str) -> VideoCache:
        """What belongs to a project. Nobody learns from this cache that another project has sent the same video: not
        from a hit, not from the time that an answer takes, and not from a decode that is shared."""
        view = copy(self)
        view._project = project
        return view

    def get_or_make(
        self, key: VectorKey, token: CancelToken, make: Callable[[CancelToken], VideoVectors]
    ) -> tuple[VideoVectors, bool]:
        """The features, and whether they were cached. `make`: gets a token that is cancelled once no request waits any
        more. Raises: Cancelled, and what `make` raises."""
        if vectors := self.get(key):
            return vectors, True
        entry = self._entry(key)

        def compute(own: CancelToken) -> VideoVectors:
            if vectors := self._memory.get(entry):  # another request has put them there since we looked
                return vectors
            vectors = make(own)
            self.put(key, vectors)
            return vectors

        return self._flights.value(entry, token, compute), False

    def get(self, key: VectorKey) -> VideoVectors | None:
        entry = self._entry(key)
        if vectors := self._memory.get(entry):
            CACHE_REQUESTS.labels("video", "memory").inc()
            return vectors
        data = self._remote.get_fields([entry.field]).get(entry.field)
        if data and (vectors := VideoVectors.unpack(data)):
            self._memory.put(entry, vectors, vectors.features.nbytes)
            CACHE_REQUESTS.labels("video", "redis").inc()
            return vectors
        return None

    def stored(self, wanted: Sequence[VectorKey]) -> dict[VectorKey, VideoVectors]:
        """What Redis has of these keys, in one command. It is not kept in this process's memory."""
        entries = {key: self._entry(key).field for key in wanted}
        data = self._remote.get_fields(list(entries.values()))
        found = {key: VideoVectors.unpack(data[field]) for key, field in entries.items() if field in data}
        return {key: vectors for key, vectors in found.items() if vectors}

    def put(self, key: VectorKey, vectors: VideoVectors) -> None:
        CACHE_REQUESTS.labels("video", "miss").inc()
        entry = self._entry(key)
        self._memory.put(entry, vectors, vectors.features.nbytes)
        self._remote.put_field(entry.field, vectors.pack())
        if not self._is_stored(self._project, key.sha256):
            self.delete(key.sha256)

    def delete(self, sha256: str) -> None:
        """Drop the vectors of a video of this project, in this process's memory and in Redis."""
        self._remote.delete(self._entry(VectorKey(sha256, "")).field.key)
        for entry in self._memory.all_keys():
            if (entry.project, entry.sha256) == (self._project, sha256):
                self._memory.remove(entry)

    def remembered(self) -> set[tuple[str, str]]:
        """Project and sha256 of the videos that this process has in its memory, of all projects."""
        return {(entry.project, entry.sha256) for entry in self._memory.all_keys()}

    def _entry(self, key: VectorKey) -> _Entry:
        return _Entry(self._project, key.sha256, key.name)
