"""The store: published files are complete and have the key of their content; other files leave nothing behind."""

from __future__ import annotations

import hashlib
import os
import time
from contextlib import suppress
from pathlib import Path

import pytest

from core.storage import STALE_AFTER, Store, blob_key


@pytest.fixture(params=["directory", "remote"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """A directory, and the in-memory file system of fsspec as a remote store."""
    url = (tmp_path / "store").as_uri() if request.param == "directory" else f"memory://{tmp_path}"
    return Store(url, tmp_path / "spool")


def test_bytes_are_found_under_their_digest(store: Store) -> None:
    content = os.urandom(3 << 20)
    with store.stage() as staged:
        for start in range(0, len(content), 70_000):
            staged.write(content[start : start + 70_000])
        assert (staged.size, staged.sha256) == (len(content), hashlib.sha256(content).hexdigest())
        key = blob_key(staged.sha256)
        assert not store.exists(key)
        store.publish(staged, key)
    assert store.local_path(key).read_bytes() == content
    store.delete(key)
    assert not store.exists(key)


def test_an_abandoned_upload_leaves_no_file(store: Store) -> None:
    staged = store.stage()
    with suppress(ConnectionError), staged:
        staged.write(b"half of it")
        assert staged.path.exists()
        raise ConnectionError
    assert not staged.path.exists()


def test_a_missing_blob_is_a_file_not_found(store: Store) -> None:
    with pytest.raises(FileNotFoundError):
        store.local_path(blob_key("0" * 64))


def test_partial_files_of_dead_writers_are_deleted(tmp_path: Path) -> None:
    store = Store((tmp_path / "store").as_uri(), tmp_path / "spool")
    old, young = store.stage(), store.stage()
    for staged in (old, young):
        staged.close()
    past = time.time() - STALE_AFTER - 1
    os.utime(old.path, (past, past))
    assert store.sweep() == 1
    assert (old.path.exists(), young.path.exists()) == (False, True)
