"""A gateway in a process of its own, for tests of its memory and its signals."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.waiting import wait_until


@dataclass(frozen=True)
class GatewayProcess:
    url: str
    data_dir: Path
    popen: subprocess.Popen[bytes]

    def peak_memory(self) -> int:
        """Largest resident memory so far, in bytes."""
        status = Path(f"/proc/{self.popen.pid}/status").read_text()
        return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))

    def files(self) -> list[Path]:
        return [path for path in (self.data_dir / "store").rglob("*") if path.is_file()]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


GATEWAY = Path(sys.executable).with_name("vireo-gateway")


@contextmanager
def gateway_process(redis_url: str, data_dir: Path, **settings: str) -> Iterator[GatewayProcess]:
    port = free_port()
    environment = {
        **os.environ,
        "VIREO_REDIS_URL": redis_url,
        "VIREO_DATA_DIR": str(data_dir),
        "VIREO_PORT": str(port),
        **settings,
    }
    with (data_dir / "log").open("wb") as log:
        popen = subprocess.Popen([sys.executable, "-W", "error", str(GATEWAY)], env=environment, stderr=log)
        try:
            url = f"http://127.0.0.1:{port}"
            wait_until(lambda: _listens(port) or popen.poll() is not None, 20)
            assert popen.poll() is None, (data_dir / "log").read_text()
            yield GatewayProcess(url, data_dir, popen)
        finally:
            popen.terminate()
            popen.wait(15)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
