"""What every room's tests share: a real Redis, started from the binary that the product itself would use."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from client import embedded_redis


@pytest.fixture(scope="session")
def redis_socket() -> Iterator[Path]:
    """The socket of a Redis that lives as long as the test session."""
    with tempfile.TemporaryDirectory(prefix="vireo-test-") as directory:
        socket = Path(directory) / "redis.sock"
        command = embedded_redis.command(embedded_redis.find_server(), socket, Path(directory))
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            _wait_for(socket)
            yield socket
        finally:
            server.terminate()
            server.wait(10)


@pytest.fixture
def redis_url(redis_socket: Path) -> str:
    """URL of an emptied Redis: no test sees what another left."""
    with redis.Redis(unix_socket_path=str(redis_socket)) as client:
        client.flushall()
    return f"unix://{redis_socket}"


def _wait_for(socket: Path) -> None:
    for _ in range(200):
        try:
            with redis.Redis(unix_socket_path=str(socket)) as client:
                client.ping()
        except redis.ConnectionError:
            time.sleep(0.05)
        else:
            return
    raise TimeoutError("the test Redis did not start")
