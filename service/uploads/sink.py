"""Bytes on their way into the store (a video, an archive, a checkpoint): hashed while written, bounded, never held in
memory as a whole.

Every way in (multipart, base64, URL) ends in a `Sink` over a `core.storage.Staged` file. The file belongs to the
request: leaving `incoming()` deletes it unless it was published.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

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
from core.storage import Staged, Store

CHUNK = 1 << 20  # bytes gathered before one write in a thread
_BASE64_STEP = 4 << 20  # characters decoded at once; a multiple of 4


@dataclass(frozen=True, slots=True)
class Cargo:
    """What kind of file a request brings: in which field, and how to speak of it."""

    field: str
    noun: str
    example: str
    remedy: str
    too_large_error: type[VireoError]
    empty_error: type[VireoError]

    def too_large(self, limit: int) -> VireoError:
        return self.too_large_error(f"The {self.noun} is larger than {limit} bytes.", hint=self.remedy, limit=limit)

    def empty(self) -> VireoError:
        return self.empty_error(f"The {self.noun} is empty: it has 0 bytes.", reason="empty")


VIDEO = Cargo("video", "video", "clip.mp4", "Cut it, or raise VIREO_MAX_UPLOAD_BYTES.", VideoTooLarge, UndecodableVideo)
ARCHIVE = Cargo("archive", "archive", "my-data.zip", "Raise VIREO_MAX_ARCHIVE_BYTES.", RequestTooLarge, InvalidArchive)
CHECKPOINT = Cargo("file", "file", "model.pt", "Raise VIREO_MAX_ARCHIVE_BYTES.", RequestTooLarge, InvalidCheckpoint)


class Sink:
    """Raises VideoTooLarge or its like at the first byte above the limit, StorageUnavailable where the disk is full."""

    def __init__(self, staged: Staged, limit: int, cargo: Cargo = VIDEO) -> None:
        self.staged = staged
        self._cargo = cargo
        self._limit = limit
        self._size = 0
        self._pending: list[bytes] = []
        self._pending_size = 0

    async def write(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > self._limit:
            raise self._cargo.too_large(self._limit)
        self._pending.append(data)
        self._pending_size += len(data)
        if self._pending_size >= CHUNK:
            await self._drain()

    async def flush(self) -> None:
        """Write what is left. Raises: UndecodableVideo or its like where nothing ever came."""
        await self._drain()
        if self.staged.size == 0:
            raise self._cargo.empty()
        UPLOAD_BYTES.inc(self.staged.size)

    async def _drain(self) -> None:
        data, self._pending, self._pending_size = b"".join(self._pending), [], 0
        if data:
            await asyncio.to_thread(self.staged.write, data)


class Incoming:
    """The place that a request's file is written to, opened when its first byte is expected."""

    def __init__(self, store: Store, limit: int, cargo: Cargo = VIDEO) -> None:
        self.limit = limit
        self.cargo = cargo
        self.filename = ""
        """As the client called it; not to be trusted with a path."""
        self._store = store
        self.staged: Staged | None = None

    async def open(self) -> Sink:
        self.staged = await asyncio.to_thread(self._store.stage)
        return Sink(self.staged, self.limit, self.cargo)

    def refuse_early(self, announced: int | None, overhead: int = 0) -> None:
        """Refuse by the announced length, before a byte is read. Raises: VideoTooLarge or its like."""
        if announced is not None and announced > self.limit + overhead:
            raise self.cargo.too_large(self.limit)

    def discard(self) -> None:
        if self.staged:
            self.staged.__exit__(None, None, None)


@contextmanager
def incoming(store: Store, limit: int, cargo: Cargo = VIDEO) -> Iterator[Incoming]:
    place = Incoming(store, limit, cargo)
    try:
        yield place
    finally:
        place.discard()


async def take_base64(text: str, place: Incoming) -> None:
    """Decode `text` (plain or a `data:` URI) into the store. Raises: InvalidRequest, VideoTooLarge."""
    start = 0
    if text[:5].lower() == "data:":
        head, comma, _ = text[:1000].partition(",")
        if not comma or not head.lower().endswith(";base64"):
            raise InvalidRequest("base64: a data: URI must read data:video/…;base64,….", field="base64")
        start = len(head) + 1
    place.refuse_early((len(text) - start) * 3 // 4, overhead=1024 + len(text) // 32)  # line breaks are allowed
    sink = await place.open()
    carry = ""
    for offset in range(start, len(text), _BASE64_STEP):
        piece = carry + "".join(text[offset : offset + _BASE64_STEP].split())
        usable = len(piece) - len(piece) % 4
        last = offset + _BASE64_STEP >= len(text)
        carry = "" if last else piece[usable:]
        await sink.write(await asyncio.to_thread(_decode, piece if last else piece[:usable], last))
    await sink.flush()


def _decode(piece: str, last: bool) -> bytes:
    try:
        if not last and "=" in piece:
            raise binascii.Error("padding before the end")
        return base64.b64decode(piece, validate=True)
    except ValueError as error:
        raise InvalidRequest(f"base64: this is not base64 ({error}).", field="base64") from None
