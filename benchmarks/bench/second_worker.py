"""A second inference worker beside the one of `vireo up`, as operators start one on another host."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2

from benchmarks.bench.servers import START_SECONDS, Running
from core.processes import die_with_parent


@contextmanager
def second_worker(server: Running, data_dir: Path) -> Iterator[None]:
    """Its CPU time counts as the server's. Raises: TimeoutError if it does not get ready."""
    url = (data_dir / "run" / "redis.url").read_text(encoding="utf-8")
    process = subprocess.Popen(
        [Path(sys.executable).with_name("vireo-worker"), "--queue", "inference"],
        env=os.environ | dict(server.server.environment) | {"VIREO_REDIS_URL": url},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=die_with_parent,
    )
    try:
        _wait(server, 2)
        server.more.append(process.pid)
        yield
    finally:
        server.more.clear()
        process.terminate()
        process.wait(60)


def _wait(server: Running, workers: int) -> None:
    """Until so many inference workers are ready."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        found = httpx2.get(f"{server.url}/v1/info", timeout=30, trust_env=False).json()["workers"]
        if sum(each["queue"] == "inference" and each["state"] == "ready" for each in found) >= workers:
            return
        time.sleep(0.5)
    raise TimeoutError("the second worker did not get ready")
