"""A real parent process: it loads once, and its worker is started again when a signal has killed it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.stack import alive

PROGRAM = """
import ctypes, os, sys, time
from pathlib import Path
from worker.children import parent

folder = Path(sys.argv[1])
parent._ANNOUNCED_SECONDS = 0.0
if len(sys.argv) > 2:
    parent._PULSE_SECONDS, parent._SILENT_SECONDS = 0.05, float(sys.argv[2])

def write(name, text=""):
    with (folder / name).open("a") as file:
        file.write(f"{os.getpid()} {text}\\n")

def announce():
    write("announced")
    parent.until_terminated()
    write("silent")

def load():
    write("loaded")
    time.sleep(0.2)

life = parent.become_worker(load, announce)
write("lives", f"{life.name} {life.died}")
while not (folder / "exit").exists():
    if (folder / "freeze").exists():
        (folder / "freeze").unlink()
        ctypes.PyDLL(None).sleep(600)  # which keeps Python's lock
    time.sleep(0.01)
sys.exit(int((folder / "exit").read_text()))
"""

Lines = Callable[[str, int], list[list[str]]]


@pytest.fixture
def process(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, str(tmp_path)])
    yield process
    process.kill()
    process.wait()


@pytest.fixture
def lines(tmp_path: Path) -> Lines:
    def read(name: str, count: int) -> list[list[str]]:
        """The lines of a file, split into words, once there are so many."""
        deadline = time.monotonic() + 30
        while True:
            text = (tmp_path / name).read_text() if (tmp_path / name).exists() else ""
            if text.count("\n") >= count:
                return [line.split() for line in text.splitlines()]
            assert time.monotonic() < deadline, f"{name}: {text}"
            time.sleep(0.01)

    return read


def test_a_killed_worker_is_started_again_without_loading_and_knows_who_died(
    process: subprocess.Popen[bytes], lines: Lines
) -> None:
    for kill in range(2):
        os.kill(int(lines("lives", kill + 1)[-1][0]), signal.SIGKILL)
    first, second, third = lines("lives", 3)
    assert (first[2], second[2], third[2]) == ("None", first[1], second[1])
    assert len({first[0], second[0], third[0]}) == 3
    assert [words[0] for words in lines("loaded", 1)] == [str(process.pid)]
    assert len(lines("announced", 1)) == len(lines("silent", 1)) == 1


def test_a_frozen_worker_is_killed_and_started_again(tmp_path: Path, lines: Lines) -> None:
    """One that is paused for less than twice the silence lives on."""
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, str(tmp_path), "1.5"])
    try:
        worker = int(lines("lives", 1)[0][0])
        os.kill(worker, signal.SIGSTOP)
        time.sleep(2.0)
        os.kill(worker, signal.SIGCONT)
        time.sleep(2.0)
        assert alive({worker})
        (tmp_path / "freeze").touch()
        first, second = lines("lives", 2)
        assert (second[2], alive({worker})) == (first[1], set())
    finally:
        process.kill()
        process.wait()


def test_a_worker_that_ends_by_itself_ends_its_parent_with_the_same_status(
    process: subprocess.Popen[bytes], lines: Lines, tmp_path: Path
) -> None:
    lines("lives", 1)
    (tmp_path / "exit.part").write_text("70")
    (tmp_path / "exit.part").rename(tmp_path / "exit")
    assert process.wait(20) == 70


def test_sigterm_to_the_parent_ends_the_worker(process: subprocess.Popen[bytes], lines: Lines) -> None:
    worker = int(lines("lives", 1)[0][0])
    process.terminate()
    assert process.wait(20) == 128 + signal.SIGTERM
    assert alive({worker}) == set()


def test_no_worker_outlives_its_parent(process: subprocess.Popen[bytes], lines: Lines) -> None:
    worker = int(lines("lives", 1)[0][0])
    process.kill()
    process.wait()
    deadline = time.monotonic() + 20
    while alive({worker}):
        assert time.monotonic() < deadline
        time.sleep(0.01)
