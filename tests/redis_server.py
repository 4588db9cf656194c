"""A real Redis for tests and benchmarks, started as `vireo up` starts it."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis

from launcher import embedded_redis


@contextmanager
def serving_redis(directory: Path) -> Iterator[Path]:
    """The socket of a Redis that keeps its data in `directory` and ends with the block. Raises: TimeoutError."""
    socket = directory / "redis.sock"
    command = embedded_redis.command(embedded_redis.find_server(), socket, directory)
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        _wait_for(socket)
        yield socket
    finally:
        server.terminate()
        server.wait(10)


def _wait_for(socket: Path) -> None:
    for _ in range(200):
        try:
            with redis.Redis(unix_socket_path=str(socket)) as client:
                client.ping()
        except redis.ConnectionError:
            time.sleep(0.05)
        else:
            return
    raise TimeoutError("the Redis did not start")
