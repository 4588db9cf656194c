"""The system that is tortured: two gateways, a worker of each kind and a Redis behind a proxy, on one machine."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx2
import redis

from benchmarks.repetition import repeated
from launcher import embedded_redis
from launcher.supervision.children import Child
from tests import tiny
from tests.e2e.stack import Stack, command_line, free_port, running
from tests.proxy import Proxy

STORE_MIB: Final = 512
REDIS_MIB: Final = 64
LEASE_SECONDS: Final = 4
QUEUES: Final = ("inference", "training", "datasets")


@dataclass(frozen=True, slots=True)
class System:
    stack: Stack
    database: Child
    second: Child
    second_url: str
    socket: Path
    proxy: Proxy
    disk: Path | None
    """The folder of the store where it is a small file system of its own, so that it can be filled."""

    @property
    def urls(self) -> tuple[str, str]:
        return self.stack.url, self.second_url

    @property
    def data_dir(self) -> Path:
        return self.stack.data_dir

    def family(self) -> set[int]:
        """Pids of everything that belongs to the system."""
        own = {pid for child in (self.database, self.second) if (pid := child.pid)}
        return self.stack.family() | own

    def relatives(self) -> set[int]:
        """Pids of all processes that have the system's data directory in their environment."""
        mark = f"VIREO_DATA_DIR={self.data_dir}".encode()
        found = set()
        for path in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if mark in (path / "environ").read_bytes().split(b"\0"):
                    found.add(int(path.name))
        return found

    def named(self, name: str) -> list[int]:
        return [pid for pid in self.family() if name in command_line(pid)]

    def records(self) -> redis.Redis:
        """Redis, past the proxy."""
        return redis.Redis(unix_socket_path=str(self.socket), decode_responses=True)


@contextmanager
def running_system(root: Path, *, own_disk: bool) -> Iterator[System]:
    """`root`: a new folder. `own_disk`: mount a small tmpfs for the store, where this user may."""
    data_dir = root / "data"
    tiny.place(data_dir)
    with ExitStack() as ends:
        disk = ends.enter_context(_small_disk(data_dir / "store")) if own_disk else None
        server = _redis(root)
        server.start()
        ends.callback(server.stop)
        socket = root / "redis.sock"
        until(socket.exists, 20)
        proxy = ends.enter_context(Proxy(socket).serving())
        environment = {
            "VIREO_MODEL": "tiny",
            "VIREO_REDIS_URL": f"redis://127.0.0.1:{proxy.port}/0",
            "VIREO_LEASE_SECONDS": str(LEASE_SECONDS),
            "OMP_NUM_THREADS": "1",
        }
        stack = ends.enter_context(running(data_dir, environment, wait=False))
        stack.wait_ready()
        port = free_port()
        second = _gateway(root, environment | {"VIREO_DATA_DIR": str(data_dir), "VIREO_PORT": str(port)})
        second.start()
        ends.callback(second.stop)
        ends.enter_context(_restarted(server, second))
        system = System(stack, server, second, f"http://127.0.0.1:{port}", socket, proxy, disk)
        until(lambda: all(map(is_ready, system.urls)), 60)
        until(lambda: len(ready_workers(system)) == len(QUEUES), 60)
        yield system


def is_ready(url: str) -> bool:
    try:
        return httpx2.get(f"{url}/readyz", timeout=5, trust_env=False).status_code == 200
    except httpx2.HTTPError:
        return False


def ready_workers(system: System) -> dict[str, str]:
    """Id → queue of the workers that announce that they are ready."""
    for url in system.urls:
        try:
            workers = httpx2.get(f"{url}/v1/info", timeout=5, trust_env=False).raise_for_status().json()["workers"]
        except (httpx2.HTTPError, ValueError):
            continue
        return {worker["id"]: worker["queue"] for worker in workers if worker["state"] == "ready"}
    return {}


def until(condition: Callable[[], bool], seconds: float) -> float:
    """Seconds until the condition held. Raises: TimeoutError."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > seconds:
            raise TimeoutError(f"not within {seconds} s")
        time.sleep(0.05)
    return time.monotonic() - began


def _redis(root: Path) -> Child:
    (root / "redis").mkdir()
    command = embedded_redis.command(embedded_redis.find_server(), root / "redis.sock", root / "redis")
    command += ["--maxmemory", f"{REDIS_MIB}mb"]
    return Child("redis", command, root / "redis.log", {}, stop_timeout=10)


def _gateway(root: Path, environment: dict[str, str]) -> Child:
    program = [sys.executable, "-P", str(Path(sys.executable).with_name("vireo-gateway"))]
    return Child("gateway", program, root / "second-gateway.log", environment, stop_timeout=10)


@contextmanager
def _restarted(*children: Child) -> Iterator[None]:
    """What `vireo up` does for its children."""

    def look() -> None:
        for child in children:
            if child.exit_code is not None:
                child.restart_when_due()

    with repeated(look, 0.1):
        yield


@contextmanager
def _small_disk(folder: Path) -> Iterator[Path | None]:
    """None where this user may not mount."""
    folder.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={STORE_MIB}m", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(mount, check=False, capture_output=True).returncode:
        yield None
        return
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
