"""Partial files are deleted once their writer is dead, and never before: real processes write, live and are killed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from core.storage import Store
from core.storage.partial import STALE_AFTER, WRITER, Partial

ROOT = Path(__file__).parents[3]

WRITES = """
import pathlib, sys
from core.storage import Store

store = Store(sys.argv[1], pathlib.Path(sys.argv[2]))
staged = store.stage()
staged.write(b"half")
staged.close()
with store.stage_tree() as tree:
    (tree / "file").write_text("half")
    print(staged.path, tree, sep="\\n", flush=True)
    sys.stdin.read()
staged.path.unlink()
"""
Process = subprocess.Popen[str]
Write = Callable[[], tuple[Process, list[Path]]]


@pytest.fixture
def place(store_url: str, tmp_path: Path) -> tuple[str, Path]:
    return store_url, tmp_path / "spool"


@pytest.fixture
def write(place: tuple[str, Path]) -> Iterator[Write]:
    """Starts a process that writes a file and a directory, until it is told to end."""
    begun: list[Process] = []

    def begin() -> tuple[Process, list[Path]]:
        command = [sys.executable, "-c", WRITES, place[0], str(place[1])]
        process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        begun.append(process)
        assert process.stdout is not None
        return process, [Path(process.stdout.readline().strip()) for _ in range(2)]

    yield begin
    for process in begun:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("store_url", ["directory", "memory"], indirect=True)
def test_what_a_killed_process_was_writing_is_deleted_at_once_and_what_a_living_one_writes_never(
    write: Write, place: tuple[str, Path]
) -> None:
    killed, lost = write()
    living, kept = write()
    store = Store(*place)
    for path in kept:
        os.utime(path, (1, 1))  # however long it takes
    assert store.sweep() == 0
    assert all(path.exists() for path in (*lost, *kept))
    killed.kill()
    killed.wait()
    assert sorted(store.stale_parts()) == sorted((path, len("half")) for path in lost)
    assert store.sweep() == len(lost)
    assert not any(path.exists() for path in lost)
    assert all(path.exists() for path in kept)
    living.communicate("")
    assert list(kept[0].parent.glob(f"*{WRITER}")) == []
    assert store.sweep() == 0


def test_a_part_that_names_no_writer_is_deleted_by_its_age(tmp_path: Path) -> None:
    old, young, folder = tmp_path / "0a.part", tmp_path / "0b.part", tmp_path / "0c.part"
    for path in (old, young):
        path.write_text("of an earlier version")
    folder.mkdir()
    for path in (old, folder):
        os.utime(path, (1, time.time() - STALE_AFTER - 1))
    assert Partial(tmp_path).sweep() == 2
    assert list(tmp_path.iterdir()) == [young]


def test_a_fork_is_a_writer_of_its_own(tmp_path: Path) -> None:
    partial = Partial(tmp_path)
    partial.new().touch()
    if not (pid := os.fork()):
        partial.new().touch()
        os._exit(0)
    os.waitpid(pid, 0)
    assert len(list(tmp_path.glob(f"*{WRITER}"))) == 2
    assert partial.sweep() == 1
    assert len(list(tmp_path.glob("*.part"))) == 1
    assert len(list(tmp_path.glob(f"*{WRITER}"))) == 1
