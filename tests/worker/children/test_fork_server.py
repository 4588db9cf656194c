from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from worker.children.channel import ChannelClosed
from worker.children.environment import child_environment
from worker.children.fork_server import ForkServer

PROGRAM = "tests.worker.children.forking_program"
PATIENCE = 120.0  # seconds


@pytest.fixture
def server() -> Iterator[ForkServer]:
    server = ForkServer(PROGRAM, child_environment(), PATIENCE)
    yield server
    server.close()


def fork(server: ForkServer, order: str) -> tuple[int, str]:
    """The child, and what it says."""
    reading, writing = os.pipe()
    try:
        pid = server.fork(order, writing)
    finally:
        os.close(writing)
    with os.fdopen(reading) as said:
        return pid, said.read()


def gone(pid: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    return True


def wait_until_gone(*pids: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while not all(map(gone, pids)):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_children_of_one_server_get_their_orders_and_files_and_tell_how_they_ended(server: ForkServer) -> None:
    first, said = fork(server, "one")
    assert said == f"one in {first} of {server.pid}"
    second, said = fork(server, "two")
    assert said == f"two in {second} of {server.pid}"
    assert (server.wait(first), server.wait(second)) == (3, 3)
    third, _ = fork(server, "stay")
    os.kill(third, signal.SIGKILL)
    assert server.wait(third) == -signal.SIGKILL


def test_a_killed_server_takes_its_children_along_and_is_started_again(server: ForkServer) -> None:
    child, _ = fork(server, "stay")
    before = server.pid or 0
    os.kill(before, signal.SIGKILL)
    assert server.wait(child) is None
    wait_until_gone(child, before)
    another, said = fork(server, "one")
    assert server.pid != before
    assert "one" in said
    server.reap(child)  # which the new server does not know
    assert server.wait(another) == 3


def test_closing_ends_the_server_and_its_children_for_good() -> None:
    server = ForkServer(PROGRAM, child_environment(), PATIENCE)
    child, _ = fork(server, "stay")
    pid = server.pid or 0
    server.close()
    wait_until_gone(child, pid)
    with pytest.raises(ChannelClosed):
        fork(server, "one")
    assert server.pid is None


def test_a_server_that_loads_can_be_killed_and_one_that_takes_too_long_is_given_up(tmp_path: Path) -> None:
    hold = tmp_path / "hold"
    hold.touch()
    environment = child_environment() | {"HOLD": str(hold)}
    server = ForkServer(PROGRAM, environment, PATIENCE)
    server.launch()
    timer = threading.Timer(0.05, server.kill)
    timer.start()
    with pytest.raises(ChannelClosed):
        fork(server, "one")
    timer.join()
    server.close()
    hasty = ForkServer(PROGRAM, environment, 0.05)
    with pytest.raises(ChannelClosed):
        fork(hasty, "one")
    assert hasty.pid is None
