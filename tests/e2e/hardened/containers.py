"""The product as the compose file runs it, without containers: the same commands, each with a clean environment, a user
of Redis of its own, and its secrets in files that `docker/make_secrets.py` has written."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import redis
import yaml

from launcher import embedded_redis
from tests.e2e.lite.test_faults import until
from tests.e2e.stack import BIN, Stack, free_port

ROOT = Path(__file__).parents[3]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
TESTER = "tester"  # a user of Redis who may do everything, and whom only this copy has
WORKERS = {"worker": "inference", "trainer": "training", "datasets": "datasets"}


@dataclass(slots=True)
class OpenedStack(Stack):
    """A copy that asks for an API key, and what is asked of it with one."""

    token: str = ""

    def http(self, timeout: float = 120.0) -> httpx2.Client:
        headers = {"Authorization": f"Bearer {self.token}"}
        return httpx2.Client(base_url=self.url, timeout=timeout, trust_env=False, headers=headers)


@dataclass(slots=True)
class Containers:
    folder: Path
    """Holds `secrets/`, `data/` and a log of each process."""

    url: str
    redis_port: int
    token: str = ""
    """An API key that may do everything."""

    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    commands: dict[str, tuple[list[str], Mapping[str, str]]] = field(default_factory=dict)

    @property
    def stack(self) -> Stack:
        """The copy as other end-to-end tests see one."""
        gateway: Any = self.processes["gateway"]
        return OpenedStack(self.url, self.folder / "data", gateway, self.folder / "gateway.log", self.token)

    def secret(self, name: str) -> str:
        return (self.folder / "secrets" / name).read_text(encoding="utf-8")

    def password(self, user: str) -> str:
        return self.secret(f"redis-url-{user}").rpartition("@")[0].rpartition(":")[2]

    def redis(self, user: str, *, decode: bool = True) -> redis.Redis:
        password = "" if user == TESTER else self.password(user)
        return redis.Redis(port=self.redis_port, username=user, password=password, decode_responses=decode)

    def start(self, name: str, command: list[str], environment: Mapping[str, str]) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            given = {"PATH": os.environ["PATH"], "HOME": str(self.folder / "data"), **environment}
            self.processes[name] = subprocess.Popen(command, cwd=self.folder, env=given, stdout=log, stderr=log)
        self.commands[name] = (command, environment)

    def stop(self, name: str, number: int = signal.SIGTERM) -> None:
        process = self.processes.pop(name)
        process.send_signal(number)
        try:
            process.wait(45)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def stop_all(self) -> None:
        """All at once, and Redis after them."""
        others = [name for name in self.processes if name != "redis"]
        for name in others:
            self.processes[name].terminate()
        for name in [*others, *self.processes.keys() - others]:
            self.stop(name)

    def restart(self, name: str, number: int = signal.SIGTERM) -> None:
        self.stop(name, number)
        self.start(name, *self.commands[name])

    def wait_ready(self) -> None:
        until(lambda: self._ready(), 120)

    def _ready(self) -> bool:
        ended = [name for name, process in self.processes.items() if process.poll() is not None]
        assert not ended, [(self.folder / f"{name}.log").read_text()[-2000:] for name in ended]
        try:
            return httpx2.get(f"{self.url}/readyz", trust_env=False).status_code == 200
        except httpx2.TransportError:
            return False


@contextmanager
def containers(folder: Path, environment: Mapping[str, str]) -> Iterator[Containers]:
    """A running copy whose gateway answers /readyz. `environment`: settings beside those of the compose file."""
    subprocess.run([sys.executable, str(ROOT / "docker" / "make_secrets.py"), str(folder / "secrets")], check=True)
    running = Containers(folder, f"http://127.0.0.1:{free_port()}", free_port())
    with ExitStack() as started:
        started.callback(running.stop_all)
        start_redis(running)
        running.token = make_key(running)
        start_gateway(running, environment)
        for name, queue in WORKERS.items():
            running.start(name, [str(BIN / "vireo-worker"), "--queue", queue], settings(running, "worker", environment))
        running.wait_ready()
        yield running


def start_redis(running: Containers) -> None:
    """As in the compose file: its options, but another address and other paths."""
    data = running.folder / "redis"
    data.mkdir()
    options = COMPOSE["services"]["redis"]["command"][1:]
    users = running.folder / "redis-users.acl"
    users.write_text(running.secret("redis-users.acl") + f"user {TESTER} on nopass ~* &* +@all\n")
    mine = {"/run/secrets/redis_users": str(users)}
    options = [mine.get(option, option.partition(":-")[2].rstrip("}") or option) for option in options]
    place = ["--port", str(running.redis_port), "--bind", "127.0.0.1", "--dir", str(data)]
    running.start("redis", [str(embedded_redis.find_server()), *place, *options], {})
    until(lambda: _loaded(running), 30)


def _loaded(running: Containers) -> bool:
    try:
        return bool(running.redis(TESTER).ping())
    except redis.ConnectionError:
        return False


def make_key(running: Containers, project: str = "default") -> str:
    """By the command of an operator. Its quotas are never reached, but counted."""
    quotas = {"requests-per-minute": 10**6, "video-seconds-per-day": 10**9, "training-minutes-per-day": 10**6}
    options = [f"--{name}={most}" for name, most in quotas.items()]
    command = [
        str(BIN / "vireo"),
        "keys",
        "create",
        "all",
        "--scope=admin",
        f"--project={project}",
        "--stored-bytes=1000000000000",
        *options,
    ]
    given = {"PATH": os.environ["PATH"], **settings(running, "operator", {})}
    made = subprocess.run([*command, "--json"], env=given, capture_output=True, text=True, check=True)
    token: str = json.loads(made.stdout)["key"]
    return token


def start_gateway(running: Containers, environment: Mapping[str, str]) -> None:
    given = settings(running, "gateway", environment) | {
        "VIREO_PORT": running.url.rpartition(":")[2],
        "VIREO_WEBHOOK_SECRET_FILE": str(running.folder / "secrets" / "webhook-secret"),
    }
    running.start("gateway", [str(BIN / "vireo-gateway")], given)


def settings(running: Containers, role: str, environment: Mapping[str, str]) -> dict[str, str]:
    """The address of Redis comes from a file with the user of this role."""
    url = running.folder / f"redis-url-{role}"
    url.write_text(running.secret(f"redis-url-{role}").replace("redis:6379", f"127.0.0.1:{running.redis_port}"))
    return {"VIREO_REDIS_URL_FILE": str(url), "VIREO_DATA_DIR": str(running.folder / "data"), **environment}
