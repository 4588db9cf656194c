"""The product as a user starts it: `vireo up` as a process, with Redis, workers and gateway as its children."""

from __future__ import annotations

import glob
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2

BIN = Path(sys.executable).parent
START_SECONDS = 120.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass(slots=True)
class Stack:
    """A running copy; `output` is the file that `vireo up` prints to."""

    url: str
    data_dir: Path
    process: subprocess.Popen[str]
    output: Path

    def http(self, timeout: float = 120.0) -> httpx2.Client:
        return httpx2.Client(base_url=self.url, timeout=timeout, trust_env=False)

    def children(self, name: str) -> list[int]:
        """Pids of the supervisor's children whose command line contains `name`."""
        return [pid for pid in _children_of(self.process.pid) if name in command_line(pid)]

    def worker(self, queue: str) -> int:
        """Pid of the process that serves a queue. `children` has its parent, which starts it again."""
        (parent,) = self.children(f"--queue {queue}")
        for _ in range(200):
            found = [pid for pid in _children_of(parent) if f"--queue {queue}" in command_line(pid)]
            if len(found) == 1:  # for a moment, the process that has announced the worker may still end
                return found[0]
            time.sleep(0.1)
        raise AssertionError(f"{queue} is served by {found}")

    def family(self) -> set[int]:
        """Pids of the supervisor and all its descendants."""
        members, generation = {self.process.pid}, [self.process.pid]
        while generation:
            generation = [child for parent in generation for child in _children_of(parent)]
            members.update(generation)
        return members

    def wait_ready(self, seconds: float = START_SECONDS) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise AssertionError(f"vireo up ended with {self.process.returncode}:\n{self.output.read_text()}")
            if "Vireo is ready" in self.output.read_text():
                return
            time.sleep(0.1)
        raise AssertionError(f"not ready after {seconds} s:\n{self.output.read_text()}\n{self._logs()}")

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send the signal, wait, and return the exit status."""
        self.process.send_signal(number)
        return self.process.wait(45)

    def _logs(self) -> str:
        return "\n".join(path.read_text()[-3000:] for path in sorted((self.data_dir / "logs").glob("*.log")))


@contextmanager
def running(
    data_dir: Path,
    environment: Mapping[str, str] | None = None,
    *,
    wait: bool = True,
    directory: Path | None = None,
) -> Iterator[Stack]:
    """A copy of the product on `data_dir`, on a port of its own; it is always stopped at the end.

    `directory`: where `vireo up` is started; by default the current directory.
    """
    port = free_port()
    settings = {"VIREO_PORT": str(port), "VIREO_DATA_DIR": str(data_dir), "VIREO_MODEL": "lite"} | dict(
        environment or {}
    )
    output = data_dir.parent / f"{data_dir.name}.out"
    with output.open("w") as sink:
        process = subprocess.Popen(
            [str(BIN / "vireo"), "up"],
            env=os.environ | settings,
            cwd=directory,
            stdout=sink,
            stderr=subprocess.STDOUT,
            text=True,
        )
    stack = Stack(f"http://127.0.0.1:{port}", data_dir, process, output)
    try:
        if wait:
            stack.wait_ready()
        yield stack
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(45)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def alive(pids: set[int]) -> set[int]:
    """Those that still run; a zombie does not."""
    return {pid for pid in pids if Path(f"/proc/{pid}/stat").exists() and _state(pid) not in "ZX"}


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "X"


def _children_of(pid: int) -> list[int]:
    found: list[int] = []
    # Not `Path.glob`: it fails where the process ends meanwhile.
    for task in glob.glob(f"/proc/{pid}/task/*/children"):  # noqa: PTH207
        try:
            found += [int(child) for child in Path(task).read_text().split()]
        except OSError:
            continue
    return found


def parent_of(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def copy_of(lite_dir: Path, tmp_path: Path) -> Path:
    """A fresh data directory that has `lite` already."""
    target = tmp_path / "data"
    (target / "models").mkdir(parents=True)
    (target / "models" / "lite").symlink_to(lite_dir / "models" / "lite")
    return target
