"""An upload on its way into the store: its limit to the byte, its digest, and what stays of it."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from core.errors import (
    InvalidArchive,
    InvalidCheckpoint,
    RequestTooLarge,
    StorageUnavailable,
    UndecodableVideo,
    VideoTooLarge,
    VireoError,
)
from core.storage import Staged, Store
from core.uploads.sink import ARCHIVE, CHECKPOINT, VIDEO, WRITE_BYTES, Sink, Upload, UploadKind


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store((tmp_path / "store").as_uri(), tmp_path / "spool")


def parts(store: Store) -> list[Path]:
    return list(store._files.partial.directory.glob("*.part"))


def sent(data: bytes, step: int) -> Iterator[bytes]:
    return (data[start : start + step] for start in range(0, len(data), step))


def receive(store: Store, data: bytes, limit: int, step: int = 7, kind: UploadKind = VIDEO) -> bytes:
    """The bytes of the file that an upload becomes."""

    async def run() -> bytes:
        with Upload(store, limit, kind) as upload:
            sink = await upload.open()
            for chunk in sent(data, step):
                await sink.write(chunk)
            await sink.flush()
            assert upload.staged is not None
            assert upload.staged.sha256 == hashlib.sha256(data).hexdigest()
            upload.staged.close()
            return upload.staged.path.read_bytes()

    return asyncio.run(run())


@pytest.mark.parametrize("step", [1, 7, 100])
def test_the_limit_holds_to_the_byte_whatever_the_chunks(store: Store, step: int) -> None:
    data = bytes(range(100))
    assert receive(store, data, limit=100, step=step) == data
    with pytest.raises(VideoTooLarge) as refused:
        receive(store, data, limit=99, step=step)
    assert refused.value.details["limit"] == 99
    assert parts(store) == []


def test_every_byte_arrives_and_is_counted(store: Store) -> None:
    def counted() -> float:
        return REGISTRY.get_sample_value("vireo_upload_bytes_total") or 0.0

    before, data = counted(), bytes(2 * WRITE_BYTES + 3)
    assert receive(store, data, limit=1 << 30, step=1000) == data
    assert counted() == before + len(data)


def test_a_large_upload_is_not_collected_in_memory(store: Store) -> None:
    async def run() -> None:
        with Upload(store, 1 << 30) as upload:
            sink = await upload.open()
            for _ in range(10):
                await sink.write(bytes(WRITE_BYTES // 2))
                assert sink._pending_size < WRITE_BYTES
            assert sink.staged.size == 5 * WRITE_BYTES

    asyncio.run(run())
    assert parts(store) == []


@pytest.mark.parametrize(
    ("kind", "empty", "too_large"),
    [
        (VIDEO, UndecodableVideo, VideoTooLarge),
        (ARCHIVE, InvalidArchive, RequestTooLarge),
        (CHECKPOINT, InvalidCheckpoint, RequestTooLarge),
    ],
)
def test_each_kind_of_file_has_its_own_words(
    store: Store, kind: UploadKind, empty: type[VireoError], too_large: type[VireoError]
) -> None:
    with pytest.raises(empty, match=f"The {kind.noun} is empty"):
        receive(store, b"", 10, kind=kind)
    with pytest.raises(too_large, match=f"The {kind.noun} is larger than 1 bytes"):
        receive(store, b"ab", 1, kind=kind)
    assert kind.field in (kind.missing().hint or "")


def test_an_announced_length_is_refused_before_a_byte_is_read(store: Store) -> None:
    upload = Upload(store, 100)
    for length in (None, 0, 100):
        upload.refuse_early(length)
    upload.refuse_early(110, overhead=10)
    for length, overhead in ((101, 0), (111, 10)):
        with pytest.raises(VideoTooLarge):
            upload.refuse_early(length, overhead)
    assert upload.staged is None


def test_a_full_disk_is_said_in_words(tmp_path: Path) -> None:
    async def run(staged: Staged) -> None:
        sink = Sink(staged, 100)
        await sink.write(b"abc")
        await sink.flush()

    with Path("/dev/full").open("wb", buffering=0) as full, pytest.raises(StorageUnavailable, match="No space left"):
        asyncio.run(run(Staged(tmp_path / "x.part", full)))


def test_nothing_stays_of_an_upload_that_is_cancelled_while_its_file_is_made(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, go_on = threading.Event(), threading.Event()
    stage = store.stage

    def stage_slowly() -> Staged:
        staged = stage()
        made.set()
        go_on.wait(20)
        return staged

    async def open_and_wait() -> None:
        with Upload(store, 10) as upload:
            await upload.open()
            await asyncio.sleep(60)

    async def cancel() -> None:
        uploading = asyncio.create_task(open_and_wait())
        await asyncio.to_thread(made.wait, 20)
        uploading.cancel()
        await asyncio.sleep(0)
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await uploading

    monkeypatch.setattr(store, "stage", stage_slowly)
    asyncio.run(cancel())
    assert parts(store) == []
