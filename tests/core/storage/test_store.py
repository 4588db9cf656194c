"""The store: published files are complete and have the key of their content; other files leave nothing behind."""

from __future__ import annotations

import hashlib
import os
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from core.errors import Conflict, StorageUnavailable
from core.storage import Store, blob_key, durable


def test_bytes_are_found_under_their_digest(store: Store) -> None:
    content = os.urandom(3 << 20)
    with store.stage() as staged:
        for start in range(0, len(content), 70_000):
            staged.write(content[start : start + 70_000])
        assert (staged.size, staged.sha256) == (len(content), hashlib.sha256(content).hexdigest())
        key = blob_key(staged.sha256)
        assert not store.exists(key)
        store.publish(staged, key)
    with store.local_file(key) as path:
        assert path.read_bytes() == content
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
    with pytest.raises(FileNotFoundError), store.local_file(blob_key("0" * 64)):
        pass


def publish(store: Store, key: str, **files: str) -> None:
    with store.stage_tree() as tree:
        for name, text in files.items():
            (tree / name).write_text(text)
        store.publish_tree(tree, key, "card")


def read_tree(store: Store, key: str) -> dict[str, str]:
    with store.local_tree(key, "card") as tree:
        return {path.name: path.read_text() for path in tree.iterdir()}


def test_a_directory_is_published_over_the_remains_of_a_deletion(store: Store) -> None:
    """An earlier version of Vireo deleted the marker first; its worker died before it deleted the rest."""
    store.write_text("models/1/weights", "old")
    store.write_text("models/1/picture", "of the old one")
    publish(store, "models/1", card="new", weights="new weights")
    assert read_tree(store, "models/1") == {"card": "new", "weights": "new weights"}


def test_a_published_directory_keeps_its_content(store: Store) -> None:
    publish(store, "models/1", card="1", weights="first")
    publish(store, "models/1", card="1", weights="first")
    for other in ({"weights": "other"}, {"weights": "first", "picture": "more"}, {}):
        with pytest.raises(Conflict, match="models/1 exists already"):
            publish(store, "models/1", card="1", **other)
    assert read_tree(store, "models/1") == {"card": "1", "weights": "first"}


def test_of_many_publishers_one_wins(store: Store) -> None:
    """They start over remains, so that the step that removes them is tested as well."""
    store.write_text("models/1/remains", "of an earlier one")
    start = threading.Barrier(4)
    refused = []

    def run(number: int) -> None:
        start.wait()
        try:
            publish(store, "models/1", card=str(number))
        except Conflict:
            refused.append(number)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 3
    assert read_tree(store, "models/1") == {"card": str(({0, 1, 2, 3} - set(refused)).pop())}


def test_a_deleted_directory_is_gone_and_can_be_published_again(store: Store) -> None:
    publish(store, "models/1", card="1", weights="first")
    store.delete_tree("models/1", "card")
    assert store.find("models") == []
    with pytest.raises(FileNotFoundError), store.local_tree("models/1", "card"):
        pass
    store.delete_tree("models/1", "card")  # nothing is left to delete
    publish(store, "models/1", card="2")
    assert read_tree(store, "models/1") == {"card": "2"}


def test_keys_can_be_listed(store: Store) -> None:
    for key in ("a/1/card", "a/2/card", "a/2/more/text", "ab/x"):
        store.write_text(key, key)
    assert store.find("a") == ["a/1/card", "a/2/card", "a/2/more/text"]
    assert store.children("a") == ["1", "2"]
    assert (store.find("none"), store.children("none"), store.read_text("none")) == ([], [], None)


def test_of_several_writers_one_creates_a_file(store: Store) -> None:
    assert store.create_text("id", "first")
    assert not store.create_text("id", "second")
    assert store.read_text("id") == "first"


def test_a_check_leaves_nothing_behind(store: Store) -> None:
    store.check()
    assert store.find("checks") == []


def test_bytes_are_on_the_disk_before_their_name_and_names_before_the_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The order of what is synced and what is renamed, recorded at `os.fsync` and `Path.replace`. A test cannot cut the
    power, so it trusts that the kernel does what these calls promise."""
    store = Store((tmp_path / "store").as_uri(), tmp_path / "spool")
    root = tmp_path / "store"
    done: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def name(path: Path) -> str:
        relative = path.relative_to(root)
        is_new = relative.parts[:1] == ("partial",) and len(relative.parts) > 1
        return "/".join(("new", *relative.parts[2:])) if is_new else str(relative)

    def record_sync(descriptor: int) -> None:
        done.append(f"sync {name(Path(f'/proc/self/fd/{descriptor}').readlink())}")
        fsync(descriptor)

    def record_rename(source: Path, target: Path) -> Path:
        done.append(f"rename {name(source)} to {name(target)}")
        return replace(source, target)

    monkeypatch.setattr(os, "fsync", record_sync)
    monkeypatch.setattr(Path, "replace", record_rename)

    store.write_text("blobs/1", "bytes")
    assert done == ["sync new", "sync .", "rename new to blobs/1", "sync blobs"]
    done.clear()
    store.write_text("blobs/2", "bytes")
    assert done == ["sync new", "rename new to blobs/2", "sync blobs"]

    done.clear()
    (tmp_path / "store" / "checkpoint").write_text("weights")
    store.publish_file(tmp_path / "store" / "checkpoint", "runs/1")
    assert done == ["sync new", "sync .", "rename new to runs/1", "sync runs"]

    done.clear()
    with store.stage_tree() as tree:
        (tree / "text").mkdir()
        for file in ("card", "text/words"):
            (tree / file).write_text(file)
        store.publish_tree(tree, "models/gym/1", "card")
    assert set(done[:3]) == {"sync new/card", "sync new/text/words", "sync new/text"}
    assert done[3] == "sync new"
    assert set(done[4:6]) == {"sync .", "sync models"}
    assert done[6:] == ["rename new to models/gym/1", "sync models/gym"]

    done.clear()
    store.delete_tree("models/gym/1", "card")
    assert done == ["rename models/gym/1 to new", "sync partial", "sync models/gym"]


def test_a_file_system_that_cannot_sync_directories_is_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(descriptor: int) -> None:
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr(os, "fsync", refuse)
    durable.sync(tmp_path)
    (tmp_path / "file").write_text("x")
    with pytest.raises(OSError, match="Invalid argument"):
        durable.sync(tmp_path / "file")


def test_a_full_disk_is_said_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store((tmp_path / "store").as_uri(), tmp_path / "spool")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageUnavailable, match="No space left on device"):
        store.write_text("a", "b")
    assert not store.exists("a")


def test_a_url_that_caches_another_one_is_not_a_directory(tmp_path: Path) -> None:
    store = Store(f"simplecache::{(tmp_path / 'store').as_uri()}", tmp_path / "spool")
    assert store.remote
    assert not Store((tmp_path / "store").as_uri(), tmp_path / "spool").remote


def test_a_missing_package_is_named_with_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(StorageUnavailable, match="VIREO_STORE=adl") as caught:
        Store("adl://container/vireo", tmp_path / "spool")
    assert "s3" in (caught.value.hint or "")


def test_the_marker_of_a_remote_directory_is_written_last_and_deleted_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who sees the marker can read all files, and the files of a deletion that was interrupted are no directory."""
    store = Store(f"memory://{tmp_path}", tmp_path / "spool")
    files: Any = store._files._files  # type: ignore[union-attr]
    put, remove = files.put, files.rm
    steps: list[tuple[str, list[str], bool]] = []

    def seen(step: str, paths: list[str]) -> None:
        steps.append((step, sorted(path.rpartition("/")[2] for path in paths), store.exists("models/1/card")))

    def record_put(sources: list[str], targets: list[str]) -> None:
        seen("put", targets)
        put(sources, targets)
        seen("done", targets)

    def record_remove(paths: list[str]) -> None:
        seen("remove", paths)
        remove(paths)

    monkeypatch.setattr(files, "put", record_put)
    monkeypatch.setattr(files, "rm", record_remove)
    publish(store, "models/1", card="1", weights="first", picture="p")
    assert steps == [("put", ["picture", "weights"], False), ("done", ["picture", "weights"], False)]
    assert store.exists("models/1/card")
    store.delete_tree("models/1", "card")
    assert steps[2:] == [("remove", ["picture", "weights"], False)]


def test_directories_are_compared_by_their_bytes(tmp_path: Path) -> None:
    for name, files in (
        ("one", {"a": "123", "b/c": "x"}),
        ("same", {"a": "123", "b/c": "x"}),
        ("other", {"a": "124", "b/c": "x"}),
        ("more", {"a": "123", "b/c": "x", "d": ""}),
    ):
        for file, text in files.items():
            (tmp_path / name / file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name / file).write_text(text)
            os.utime(tmp_path / name / file, (1, 1))  # the same size and time do not mean the same bytes
    one = tmp_path / "one"
    assert durable.same_files(one, tmp_path / "same")
    for other in ("other", "more"):
        assert not durable.same_files(one, tmp_path / other)
        assert not durable.same_files(tmp_path / other, one)


def test_a_store_that_returns_other_bytes_does_not_work(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(store), "read_text", lambda *_: "other")
    with pytest.raises(StorageUnavailable, match="just written"):
        store.check()
    assert store.find("checks") == []


def test_the_parts_of_a_store_do_not_see_each_other(store: Store) -> None:
    acme, other = store.of("acme"), store.of("other")
    for part, text in ((store, "of all"), (acme, "of acme")):
        part.write_text("registry/gym/card.json", text)
        publish(part, "datasets/ds_1", card=text)
    assert [part.read_text("registry/gym/card.json") for part in (store, acme, other)] == ["of all", "of acme", None]
    assert acme.find("registry") == store.find("registry") == ["registry/gym/card.json"]
    assert (acme.children("datasets"), other.children("datasets")) == (["ds_1"], [])
    assert acme.create_text("registry/new.json", "new")
    assert not store.exists("registry/new.json")
    with acme.local_tree("datasets/ds_1", marker="card") as tree:
        assert (tree / "card").read_text() == "of acme"
    with acme.local_file("registry/gym/card.json") as path:
        assert path.read_text() == "of acme"
    acme.delete_tree("datasets/ds_1", marker="card")
    acme.delete("registry/gym/card.json")
    assert acme.children("datasets") == []
    assert acme.read("registry/gym/card.json") is None
    assert store.exists("datasets/ds_1/card")
    assert store.exists("registry/gym/card.json")
    assert store.projects() == ["default", "acme"]
    assert acme.of("default").exists("datasets/ds_1/card")
