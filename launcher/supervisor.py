"""`vireo up`: the whole service on one machine. Redis, workers and gateway, supervised; one ready line; a clean stop.

What dies is started again (Redis keeps an append-only file, jobs carry leases, so nothing accepted is lost). On Ctrl-C
or SIGTERM the gateway stops first, then the workers finish what they have in hand, then Redis writes its file.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import httpx2
from prometheus_client import multiprocess
from rich.console import Console

from core.settings import Settings
from core.state import keys
from launcher import embedded_redis
from launcher.children import Child


class CannotStart(Exception):
    """Why the service cannot run here, in words."""


class Supervisor:
    def __init__(self, settings: Settings, console: Console) -> None:
        self._settings = settings
        self._console = console
        self._children: list[Child] = []
        self._stopping = False
        self._ready = False
        self._said = ""
        self._socket: Path | None = None

    def run(self) -> int:
        """Until a signal asks it to stop; returns the exit status. Raises: CannotStart."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._ask_to_stop)
        with _only_copy(self._settings):
            _check_port(self._settings)
            self._prepare()
            try:
                for child in self._children:
                    child.start()
                self._watch()
            finally:
                self._stop()
        return 0

    def _ask_to_stop(self, _number: int, _frame: FrameType | None) -> None:
        self._stopping = True

    def _prepare(self) -> None:
        data, run = self._settings.data_dir.absolute(), self._settings.run_dir
        metrics = run / "metrics"
        shutil.rmtree(metrics, ignore_errors=True)
        metrics.mkdir(parents=True)
        environment = {
            "VIREO_DATA_DIR": str(data),
            "PROMETHEUS_MULTIPROC_DIR": str(metrics),
            "PYTHONSAFEPATH": "1",  # nothing in the directory that somebody starts us from can take a module's name
        }
        if self._settings.redis_url is None:
            environment |= self._add_redis()
        self._add("worker", _script("vireo-worker"), environment, patience=20)
        # The two that have no question to answer: training may take all memory there is, archives may be anything.
        for name, queue in (("trainer", keys.TRAINING), ("datasets", keys.DATASETS)):
            self._add(name, [*_script("vireo-worker"), "--queue", queue], environment, patience=20)
        self._add("gateway", _script("vireo-gateway"), environment, patience=10)

    def _add_redis(self) -> dict[str, str]:
        directory = self._settings.data_dir.absolute() / "redis"
        directory.mkdir(parents=True, exist_ok=True)
        path = self._socket = embedded_redis.socket_path(self._settings.run_dir)
        path.unlink(missing_ok=True)
        try:
            server = embedded_redis.find_server()
        except embedded_redis.RedisMissing as error:
            raise CannotStart(str(error)) from error
        self._add("redis", embedded_redis.command(server, path, directory), {}, patience=10)
        return {"VIREO_REDIS_URL": f"unix://{path}"}

    def _add(self, name: str, command: list[str], environment: dict[str, str], patience: float) -> None:
        log = self._settings.data_dir.absolute() / "logs" / f"{name}.log"
        self._children.append(Child(name, command, log, environment, patience))

    def _watch(self) -> None:
        self._console.print(f"Starting; logs are in {self._settings.data_dir / 'logs'}", style="dim")
        while not self._stopping:
            for child in self._children:
                if child.exit_code is not None:
                    self._mourn(child)
            if not self._ready:
                self._report_progress()
            time.sleep(0.2)

    def _mourn(self, child: Child) -> None:
        pid, code = child.pid, child.exit_code
        if not child.revive():
            return
        if pid:
            multiprocess.mark_process_dead(pid, str(self._settings.run_dir / "metrics"))  # type: ignore[no-untyped-call]
        self._console.print(
            f"{child.name} ended with status {code} and was started again. Its last words:", style="red"
        )
        self._console.print(child.last_words(), style="dim", highlight=False, markup=False)

    def _report_progress(self) -> None:
        """What is being waited for, once per change; then the one ready line."""
        try:
            answer = httpx2.get(f"{self.address}/readyz", timeout=2, trust_env=False)
            body = answer.json()
        except (httpx2.HTTPError, ValueError):
            return
        if answer.status_code == 200:
            self._ready = True
            self._console.print(self._ready_line(), highlight=False, soft_wrap=True)
            return
        reason = "; ".join(body.get("reasons", []))
        if reason and reason != self._said:
            self._said = reason
            self._console.print(f"  {reason}", style="dim", highlight=False, markup=False, soft_wrap=True)

    def _ready_line(self) -> str:
        info = httpx2.get(f"{self.address}/v1/info", timeout=5, trust_env=False).json()
        model = info.get("model") or {}
        why = f", because {model['reason']}" if model.get("reason") else ""
        return f"[bold green]Vireo is ready[/] at [bold]{self.address}[/] (model {model.get('name')}{why})"

    @property
    def address(self) -> str:
        host = "127.0.0.1" if self._settings.host in ("0.0.0.0", "::") else self._settings.host  # noqa: S104
        return f"http://{host}:{self._settings.port}"

    def _stop(self) -> None:
        self._console.print("Stopping…", style="dim")
        gateway, *others = reversed(self._children)
        gateway.stop()
        for child in others:
            if child.name != "redis":
                child.ask_to_stop()  # all at once: each finishes what it has in hand
        for child in others:
            child.stop()
        if self._socket:
            embedded_redis.forget_socket(self._socket, self._settings.run_dir)
        self._console.print("Stopped.", style="dim")


def _script(name: str) -> list[str]:
    """The console script that stands beside this interpreter: of this installation, whatever is on PATH."""
    return [sys.executable, "-P", str(Path(sys.executable).with_name(name))]


@contextmanager
def _only_copy(settings: Settings) -> Iterator[None]:
    """Two copies on one data directory would fight over it. Raises: CannotStart."""
    settings.run_dir.mkdir(parents=True, exist_ok=True)
    with (settings.run_dir / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise CannotStart(
                f"A copy already runs on {settings.data_dir}. Give this one another VIREO_DATA_DIR and VIREO_PORT."
            ) from error
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def _check_port(settings: Settings) -> None:
    with socket.socket(socket.AF_INET6 if ":" in settings.host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            raise CannotStart(
                f"Port {settings.port} on {settings.host} cannot be used ({error.strerror}). Set VIREO_PORT."
            ) from error
