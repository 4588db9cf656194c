"""Copies of a remote store: bounded, never pulled away from a reader, and gone when the original is."""

from __future__ import annotations

import errno
import glob
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from core.errors import StorageUnavailable
from core.storage import Store, store_upkeep
from core.storage.spool import Spool

ROOT = Path(__file__).parents[3]
SIZE = 1000


@pytest.fixture
def open_store(tmp_path: Path) -> Callable[..., Store]:
    """A store as another machine sees it: `open_store("host-2")` has a spool of its own."""

    def make(host: str = "host-1", limit: int = 3 * SIZE) -> Store:
        return Store(f"memory://{tmp_path}", tmp_path / host, limit)

    return make


def write(store: Store, *keys: str, size: int = SIZE) -> None:
    for key in keys:
        store.write_text(key, key[-1] * size)


def use(store: Store, *keys: str) -> None:
    for key in keys:
        with store.local_file(key) as path:
            assert path.name == key.rpartition("/")[2]
            assert path.read_text()[0] == key[-1]


def copies(spool: Path) -> set[str]:
    """Names of the copies on a machine."""
    # Not `Path.glob`: it fails where a directory is deleted meanwhile.
    return {Path(path).name for path in glob.glob("copies/*/content/*", root_dir=spool)}  # noqa: PTH207


def test_the_least_recently_used_copies_make_room(open_store: Callable[..., Store], tmp_path: Path) -> None:
    store = open_store()
    write(store, "blobs/a", "blobs/b", "blobs/c", "blobs/d")
    use(store, "blobs/a", "blobs/b", "blobs/c", "blobs/a")
    assert copies(tmp_path / "host-1") == {"a", "b", "c"}
    use(store, "blobs/d")
    assert copies(tmp_path / "host-1") == {"a", "c", "d"}
    write(store, "blobs/e", size=2 * SIZE)
    use(store, "blobs/e")
    assert copies(tmp_path / "host-1") == {"d", "e"}


def test_a_copy_that_is_larger_than_the_limit_is_still_made(open_store: Callable[..., Store], tmp_path: Path) -> None:
    store = open_store()
    write(store, "blobs/a", "blobs/b")
    write(store, "blobs/c", size=10 * SIZE)
    use(store, "blobs/a", "blobs/c")
    assert copies(tmp_path / "host-1") == {"c"}
    use(store, "blobs/b")
    assert copies(tmp_path / "host-1") == {"b"}


def test_a_directory_is_one_copy(open_store: Callable[..., Store], tmp_path: Path) -> None:
    store = open_store()
    with store.stage_tree() as tree:
        (tree / "card").write_text("1" * SIZE)
        (tree / "text").mkdir()
        (tree / "text" / "words").write_text("2" * SIZE)
        store.publish_tree(tree, "models/1", "card")
    write(store, "blobs/a", "blobs/b")
    with store.local_tree("models/1", "card") as path:
        assert {file.name for file in path.rglob("*") if file.is_file()} == {"card", "words"}
    use(store, "blobs/a")
    assert copies(tmp_path / "host-1") == {"1", "a"}
    use(store, "blobs/b")
    assert copies(tmp_path / "host-1") == {"a", "b"}


READER = """
import sys
from pathlib import Path
from core.storage.spool import Spool
def fail(*_): raise AssertionError("there is a copy already")
spool = Spool(Path(sys.argv[1]), 3000)
with spool.copy("blobs/a", "a", sys.argv[2], fail, fail) as path:
    print(path, flush=True)
    sys.stdin.read()
"""


def test_a_copy_that_another_process_reads_stays(open_store: Callable[..., Store], tmp_path: Path) -> None:
    """Until that process ends, even by kill -9."""
    store, spool = open_store(), tmp_path / "host-1"
    write(store, "blobs/a", "blobs/b", "blobs/c", "blobs/d")
    use(store, "blobs/a")
    stamp = store._files._info("blobs/a")  # type: ignore[union-attr]
    from core.storage.objects import _stamp

    reader = subprocess.Popen(
        [sys.executable, "-c", READER, str(spool), _stamp(stamp)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert reader.stdin
    assert reader.stdout
    with reader.stdin, reader.stdout:
        path = Path(reader.stdout.readline().strip())
        use(store, "blobs/b", "blobs/c", "blobs/d")
        assert copies(spool) == {"a", "c", "d"}
        store.delete("blobs/a")  # its original is gone, and its reader is still not disturbed
        assert store.check_copies() == 0
        assert path.exists()
        os.kill(reader.pid, signal.SIGKILL)
        reader.wait(10)
    assert store.check_copies() == 1
    assert copies(spool) == {"c", "d"}


def test_all_copies_in_use_are_more_than_the_limit(open_store: Callable[..., Store], tmp_path: Path) -> None:
    store = open_store(limit=SIZE)
    write(store, "blobs/a", "blobs/b")
    with ExitStack() as readers:
        paths = [readers.enter_context(store.local_file(key)) for key in ("blobs/a", "blobs/b")]
        assert [path.read_text()[0] for path in paths] == ["a", "b"]
    write(store, "blobs/c")
    use(store, "blobs/c")
    assert copies(tmp_path / "host-1") == {"c"}


def test_many_readers_of_one_file_copy_it_once(
    open_store: Callable[..., Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store()
    write(store, "blobs/a")
    files = store._files
    downloads: list[str] = []
    get_file = files._files.get_file  # type: ignore[union-attr]

    def count(remote: str, local: str) -> None:
        downloads.append(remote)
        get_file(remote, local)

    monkeypatch.setattr(files._files, "get_file", count)  # type: ignore[union-attr]
    threads = [threading.Thread(target=use, args=(store, "blobs/a")) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(downloads) == 1


def test_a_copy_that_is_deleted_while_it_is_opened_is_made_anew(
    open_store: Callable[..., Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store()
    write(store, "blobs/a")
    mkdir, deleted = os.mkdir, iter([True])

    def found_and_then_gone(path: Any, *arguments: Any) -> None:
        if Path(path).parent.name == "copies" and next(deleted, False):
            raise FileExistsError(errno.EEXIST, "File exists", str(path))
        mkdir(path, *arguments)

    monkeypatch.setattr(os, "mkdir", found_and_then_gone)
    use(store, "blobs/a")
    assert next(deleted, None) is None


def test_readers_and_evictions_at_the_same_time(open_store: Callable[..., Store]) -> None:
    """Room for one copy, two machines' worth of readers: everyone reads what was asked for."""
    store = open_store(limit=SIZE)
    keys = ["blobs/a", "blobs/b", "blobs/c"]
    write(store, *keys)
    failed: list[BaseException] = []

    def read(start: int) -> None:
        try:
            for turn in range(30):
                use(store, keys[(start + turn) % 3])
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=read, args=(start,)) for start in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []


def test_a_deleted_file_is_not_read_from_another_machines_copy(
    open_store: Callable[..., Store], tmp_path: Path
) -> None:
    here, there = open_store("host-1"), open_store("host-2")
    write(here, "blobs/a", "blobs/b", "registry/gym/1/card")
    for store in (here, there):
        use(store, "blobs/a", "blobs/b")
        with store.local_tree("registry/gym/1", "card"):
            pass
    here.delete("blobs/a")
    here.delete_tree("registry/gym/1", "card")
    assert copies(tmp_path / "host-1") == {"b"}
    assert copies(tmp_path / "host-2") == {"a", "b", "1"}
    with pytest.raises(FileNotFoundError), there.local_file("blobs/a"):
        pass
    with pytest.raises(FileNotFoundError), there.local_tree("registry/gym/1", "card"):
        pass
    assert there.check_copies() == 2
    assert copies(tmp_path / "host-2") == {"b"}


def test_many_copies_are_checked_with_one_listing(open_store: Callable[..., Store], tmp_path: Path) -> None:
    here, there = open_store("host-1", limit=10**6), open_store("host-2", limit=10**6)
    keys = [f"blobs/{number:03}" for number in range(120)]
    write(here, *keys, size=1)
    use(there, *keys)
    here.delete(keys[7])
    assert there.check_copies() == 1
    assert copies(tmp_path / "host-2") == {key.removeprefix("blobs/") for key in keys if key != keys[7]}


def test_upkeep_deletes_copies_by_itself(open_store: Callable[..., Store], tmp_path: Path) -> None:
    here, there = open_store("host-1"), open_store("host-2")
    write(here, "blobs/a")
    use(there, "blobs/a")
    upkeep = store_upkeep(there, 0.01)
    upkeep.start()
    here.delete("blobs/a")
    end = time.monotonic() + 10
    while copies(tmp_path / "host-2"):
        assert time.monotonic() < end
        time.sleep(0.01)
    upkeep.stop()


def test_a_replaced_file_is_copied_again(open_store: Callable[..., Store]) -> None:
    here, there = open_store("host-1"), open_store("host-2")
    write(here, "state/a")
    use(there, "state/a")
    here.write_text("state/a", "another")
    with there.local_file("state/a") as path:
        assert path.read_text() == "another"


def test_a_copy_that_failed_leaves_nothing(
    open_store: Callable[..., Store], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store()
    write(store, "blobs/a")

    def fail(remote: str, local: str) -> None:
        Path(local).write_text("half")
        raise ConnectionError("reset by peer")

    with monkeypatch.context() as patch:
        patch.setattr(store._files._files, "get_file", fail)  # type: ignore[union-attr]
        with pytest.raises(StorageUnavailable, match="reset by peer"), store.local_file("blobs/a"):
            pass
    assert list((tmp_path / "host-1" / "copies").iterdir()) == []
    use(store, "blobs/a")


KILLED = """
import os, pathlib, signal, sys
from core.storage.spool import Spool

def download(path):
    path.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)

with Spool(pathlib.Path(sys.argv[1]), 1000).copy("blobs/a", "a", "1", lambda: 5, download):
    pass
"""


def _whole(path: Path) -> None:
    path.write_text("whole")


def test_a_process_that_is_killed_while_it_copies_is_in_nobodys_way(tmp_path: Path) -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], cwd=ROOT, check=False)
    assert killed.returncode == -signal.SIGKILL
    with Spool(tmp_path, 1000).copy("blobs/a", "a", "1", lambda: 5, _whole) as path:
        assert path.read_text() == "whole"


def test_an_error_of_the_reader_is_the_readers_own(open_store: Callable[..., Store]) -> None:
    store = open_store()
    write(store, "blobs/a")
    with pytest.raises(PermissionError), store.local_file("blobs/a"):
        raise PermissionError("the reader's")


def test_copies_of_an_earlier_version_of_vireo_are_deleted(open_store: Callable[..., Store], tmp_path: Path) -> None:
    spool = tmp_path / "host-1"
    (spool / "trees" / "registry").mkdir(parents=True)
    for name in ("blobs_a", "upload.part"):
        (spool / name).write_text("x")
    open_store()
    assert {path.name for path in spool.iterdir()} == {"copies", "upload.part"}
