"""Uploads on their way into the store (a video, an archive, a checkpoint): hashed while they are written, limited in
size, and never held in memory as a whole.

Every source (multipart, base64, URL) writes to the `Sink` of an `Upload`, which fills a `core.storage.Staged` file. The
file belongs to the request: leaving the `with` block of the upload deletes it, unless it was published.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import Self

from core.errors import (
    InvalidArchive,
    InvalidCheckpoint,
    InvalidRequest,
    RequestTooLarge,
    UndecodableVideo,
    VideoTooLarge,
    VireoError,
)
from core.prometheus import UPLOAD_BYTES
from core.storage import Staged, Store, threads

WRITE_BYTES = 1 << 20  # collected before one write in a thread


@dataclass(frozen=True, slots=True)
class UploadKind:
    """Which file a request brings: the form field that holds it, and the words and errors that messages use."""

    field: str
    noun: str
    example: str
    remedy: str
    too_large_error: type[VireoError]
    empty_error: type[VireoError]
    is_text: bool = False
    """A request may send it as the whole body with a type `text/…`."""

    def too_large(self, limit: int) -> VireoError:
        return self.too_large_error(f"The {self.noun} is larger than {limit} bytes.", hint=self.remedy, limit=limit)

    def empty(self) -> VireoError:
        return self.empty_error(f"The {self.noun} is empty: it has 0 bytes.", reason="empty")

    def missing(self) -> InvalidRequest:
        return InvalidRequest(
            f"The request has no {self.noun}.",
            hint=f"With curl: -F {self.field}=@{self.example}.",
            field=self.field,
        )


VIDEO = UploadKind(
    "video",
    "video",
    "clip.mp4",
    "Send a shorter video, or raise VIREO_MAX_UPLOAD_BYTES.",
    VideoTooLarge,
    UndecodableVideo,
)
ARCHIVE = UploadKind(
    "archive",
    "archive",
    "my-data.zip",
    "Send a smaller archive, or raise VIREO_MAX_ARCHIVE_BYTES.",
    RequestTooLarge,
    InvalidArchive,
)
CHECKPOINT = UploadKind(
    "file",
    "checkpoint file",
    "model.pt",
    "Send a smaller file, or raise VIREO_MAX_ARCHIVE_BYTES.",
    RequestTooLarge,
    InvalidCheckpoint,
)
MANIFEST = UploadKind(
    "manifest",
    "manifest",
    "videos.jsonl",
    "Split it over several batches, or raise VIREO_MAX_BATCH_ITEMS.",
    RequestTooLarge,
    InvalidRequest,
    is_text=True,
)


class Sink:
    """Raises the kind's `too_large` error at the first byte above the limit, StorageUnavailable where the disk is
    full."""

    def __init__(self, staged: Staged, limit: int, kind: UploadKind = VIDEO) -> None:
        self.staged = staged
        self._kind = kind
        self._limit = limit
        self._size = 0
        self._pending: list[bytes] = []
        self._pending_size = 0

    async def write(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > self._limit:
            raise self._kind.too_large(self._limit)
        self._pending.append(data)
        self._pending_size += len(data)
        if self._pending_size >= WRITE_BYTES:
            await self._drain()

    async def flush(self) -> None:
        """Write what is left. Raises the kind's `empty` error where no byte came."""
        await self._drain()
        if self.staged.size == 0:
            raise self._kind.empty()
        UPLOAD_BYTES.inc(self.staged.size)

    async def _drain(self) -> None:
        data, self._pending, self._pending_size = b"".join(self._pending), [], 0
        if data:
            await threads.call(self.staged.write, data)


class Upload:
    """The file of one request. It is opened when its first byte is expected; leaving the `with` block deletes it unless
    it was published."""

    def __init__(self, store: Store, limit: int, kind: UploadKind = VIDEO) -> None:
        """`limit`: largest size in bytes."""
        self.limit = limit
        self.kind = kind
        self.filename = ""
        """The name that the client gave. It must not be used as a path."""
        self.staged: Staged | None = None
        self._store = store

    async def open(self) -> Sink:
        return await threads.call(self._open)

    def _open(self) -> Sink:
        self.staged = self._store.stage()
        return Sink(self.staged, self.limit, self.kind)

    def refuse_early(self, announced: int | None, overhead: int = 0) -> None:
        """Refuse by the announced length in bytes, before a byte is read. Raises the kind's `too_large` error."""
        if announced is not None and announced > self.limit + overhead:
            raise self.kind.too_large(self.limit)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.staged:
            self.staged.__exit__(kind, error, trace)
