"""The Redis of this installation for a command such as `vireo keys`, whether the service runs or not."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

from redis import Redis
from redis.exceptions import BusyLoadingError, ConnectionError, RedisError

from core.settings import Settings
from launcher import embedded_redis
from launcher.data_dir import InUse, hold_data_dir, redis_address

_START_SECONDS = 30.0


class NoRedis(Exception):
    """The Redis cannot be reached; the message says why."""


@contextmanager
def redis_at_hand(settings: Settings) -> Iterator[Redis]:
    """The configured Redis; else that of the copy that runs on the data directory; else the embedded one, which runs
    until the block ends.

    Raises: NoRedis, embedded_redis.RedisMissing.
    """
    if settings.redis_url is not None:
        with _connected(settings.redis_url) as redis:
            yield redis
        return
    try:
        with hold_data_dir(settings), _started(settings) as redis:
            yield redis
    except InUse:
        with _connected(_address_of_running_copy(settings)) as redis:
            yield redis


def _address_of_running_copy(settings: Settings) -> str:
    try:
        return redis_address(settings).read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        raise NoRedis(f"The copy on {settings.data_dir} has not started its Redis yet; try again soon.") from None


@contextmanager
def _connected(url: str) -> Iterator[Redis]:
    with Redis.from_url(url, decode_responses=True, socket_connect_timeout=5.0, socket_timeout=10.0) as redis:
        try:
            redis.ping()
        except RedisError as error:
            raise NoRedis(f"Redis cannot be reached: {error}") from error
        yield redis


@contextmanager
def _started(settings: Settings) -> Iterator[Redis]:
    directory = settings.data_dir.absolute() / "redis"
    directory.mkdir(parents=True, exist_ok=True)
    socket = embedded_redis.choose_socket_path(settings.run_dir)
    socket.unlink(missing_ok=True)
    command = embedded_redis.command(embedded_redis.find_server(), socket, directory)
    server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        with Redis(unix_socket_path=str(socket), decode_responses=True) as redis:
            _wait(redis)
            yield redis
    finally:
        server.terminate()
        server.wait(_START_SECONDS)
        embedded_redis.remove_socket(socket, settings.run_dir)


def _wait(redis: Redis) -> None:
    """Raises: NoRedis if it has not loaded its data in time."""
    until = time.monotonic() + _START_SECONDS
    while True:
        try:
            redis.ping()
        except (ConnectionError, BusyLoadingError) as error:
            if time.monotonic() > until:
                raise NoRedis(f"The embedded Redis did not start: {error}") from error
            time.sleep(0.05)
        else:
            return
