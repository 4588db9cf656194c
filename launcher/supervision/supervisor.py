"""`vireo up`: runs Redis, the workers and the gateway on one machine, and restarts each when it dies.

No accepted job is lost: Redis writes an append-only file, and jobs have leases. On Ctrl-C or SIGTERM the gateway stops
first, then the workers finish their current jobs, then Redis stops.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType

import httpx2
from prometheus_client import multiprocess
from rich.console import Console

from core.access.keys import UNGUARDED_WORDS
from core.processes import SAFE_PATH
from core.settings import Settings
from core.state import keys
from launcher import embedded_redis
from launcher.data_dir import InUse, hold_data_dir, redis_address
from launcher.redis_at_hand import NoRedis, redis_at_hand
from launcher.supervision.children import Child
from launcher.supervision.workers import workers


class CannotStart(Exception):
    """The service cannot run here; the message says why."""


class Supervisor:
    """Starts the children in order, watches them, and stops them in the opposite order."""

    def __init__(self, settings: Settings, console: Console) -> None:
        self._settings = settings
        self._console = console
        self._children: list[Child] = []
        self._workers = workers(settings.device, settings.metrics_port, os.environ)
        self._stopping = False
        self._ready = False
        self._last_reason = ""
        self._http = httpx2.Client(trust_env=False)  # each client reads the system's certificates, which takes 30 ms
        self._socket: Path | None = None

    def run(self) -> int:
        """Run until a signal arrives; returns the exit status. Raises: CannotStart."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._on_signal)
        _check_keys(self._settings)
        with _lock(self._settings):
            _check_port(self._settings)
            self._prepare()
            try:
                for child in self._children:
                    child.start()
                self._watch()
            finally:
                self._stop()
        return 0

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._stopping = True

    def _prepare(self) -> None:
        data, run = self._settings.data_dir.absolute(), self._settings.run_dir
        metrics = run / "metrics"
        shutil.rmtree(metrics, ignore_errors=True)
        metrics.mkdir(parents=True)
        environment = {"VIREO_DATA_DIR": str(data), "PROMETHEUS_MULTIPROC_DIR": str(metrics)} | SAFE_PATH
        if self._settings.redis_url is None:
            environment |= self._add_redis()
        for worker in self._workers:
            command = [*_script("vireo-worker"), "--queue", worker.queue]
            self._add(worker.name, command, environment | worker.environment, stop_timeout=20)
        self._add("gateway", _script("vireo-gateway"), environment, stop_timeout=10)

    def _add_redis(self) -> dict[str, str]:
        directory = self._settings.data_dir.absolute() / "redis"
        directory.mkdir(parents=True, exist_ok=True)
        path = self._socket = embedded_redis.choose_socket_path(self._settings.run_dir)
        path.unlink(missing_ok=True)
        try:
            server = embedded_redis.find_server()
        except embedded_redis.RedisMissing as error:
            raise CannotStart(str(error)) from error
        self._add("redis", embedded_redis.command(server, path, directory), {}, stop_timeout=10)
        url = f"unix://{path}"
        redis_address(self._settings).write_text(url, encoding="utf-8")  # for commands such as `vireo keys`
        return {"VIREO_REDIS_URL": url}

    def _add(self, name: str, command: list[str], environment: dict[str, str], stop_timeout: float) -> None:
        log = self._settings.data_dir.absolute() / "logs" / f"{name}.log"
        self._children.append(Child(name, command, log, environment, stop_timeout))

    def _watch(self) -> None:
        self._console.print(f"Starting; logs are in {self._settings.data_dir / 'logs'}", style="dim")
        if self._settings.metrics_port:
            ports = ", ".join(f"{worker.name} {worker.metrics_port}" for worker in self._workers)
            self._console.print(f"Metrics of the workers: ports {ports}", style="dim", highlight=False)
        while not self._stopping:
            for child in self._children:
                if child.exit_code is not None:
                    self._restart(child)
            if not self._ready:
                self._report_progress()
            time.sleep(0.2)

    def _restart(self, child: Child) -> None:
        pid, code = child.pid, child.exit_code
        if not child.restart_when_due():
            return
        if pid:
            multiprocess.mark_process_dead(pid, str(self._settings.run_dir / "metrics"))  # type: ignore[no-untyped-call]
        self._console.print(
            f"{child.name} ended with status {code} and was started again. The end of its log:", style="red"
        )
        self._console.print(child.last_log_lines(), style="dim", highlight=False, markup=False)

    def _report_progress(self) -> None:
        """Print why the service is not ready yet, once per reason; then print the ready line."""
        try:
            answer = self._http.get(f"{self.address}/readyz", timeout=2)
            body = answer.json()
        except (httpx2.HTTPError, ValueError):
            return
        if answer.status_code == 200:
            self._ready = True
            self._console.print(self._ready_line(), highlight=False, soft_wrap=True)
            self._http.close()
            if line := _path_line():
                self._console.print(line, style="dim", highlight=False, markup=False, soft_wrap=True)
            return
        reason = "; ".join(body.get("reasons", []))
        if reason and reason != self._last_reason:
            self._last_reason = reason
            self._console.print(f"  {reason}", style="dim", highlight=False, markup=False, soft_wrap=True)

    def _ready_line(self) -> str:
        info = self._http.get(f"{self.address}/v1/info", timeout=5)
        if info.status_code == 401:
            return f"[bold green]Vireo is ready[/] at [bold]{self.address}[/]; it needs an API key"
        model = info.json().get("model") or {}
        reason = f", because {model['reason']}" if model.get("reason") else ""
        return f"[bold green]Vireo is ready[/] at [bold]{self.address}[/] (model {model.get('name')}{reason})"

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
                child.terminate()  # all at once: each finishes its current jobs
        for child in others:
            child.stop()
        if self._socket:
            embedded_redis.remove_socket(self._socket, self._settings.run_dir)
            redis_address(self._settings).unlink(missing_ok=True)
        self._console.print("Stopped.", style="dim")


def _script(name: str) -> list[str]:
    """Runs the console script of this installation, whatever is on PATH."""
    return [sys.executable, "-P", str(Path(sys.executable).with_name(name))]


def _path_line() -> str | None:
    """How to put `vireo` on PATH; None if the shell finds this installation's already."""
    directory = Path(sys.executable).parent
    found = shutil.which("vireo")
    if found and Path(found).resolve() == (directory / "vireo").resolve():
        return None
    return f"To use `vireo` in another terminal:  export PATH={shlex.quote(str(directory))}:$PATH"


@contextmanager
def _lock(settings: Settings) -> Iterator[None]:
    """Raises: CannotStart if another copy has the data directory."""
    with ExitStack() as stack:
        try:
            stack.enter_context(hold_data_dir(settings))
        except InUse as error:
            raise CannotStart(f"{error} Set another VIREO_DATA_DIR and VIREO_PORT.") from error
        yield


def _check_keys(settings: Settings) -> None:
    """Raises: CannotStart where others would reach a gateway that nobody has a key for."""
    if settings.keys != "auto" or settings.local:
        return
    try:
        with redis_at_hand(settings) as redis:
            guarded = bool(redis.hlen(keys.API_KEYS))
    except (NoRedis, embedded_redis.RedisMissing) as error:
        raise CannotStart(str(error)) from error
    if not guarded:
        raise CannotStart(UNGUARDED_WORDS.format(host=settings.published_host or settings.host))


def _check_port(settings: Settings) -> None:
    """Raises: CannotStart if the gateway could not listen on its port."""
    with socket.socket(socket.AF_INET6 if ":" in settings.host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            raise CannotStart(
                f"Port {settings.port} on {settings.host} cannot be used ({error.strerror}). Set another VIREO_PORT."
            ) from error
