"""The servers that are compared: Vireo as `vireo up` starts it, and its peers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from benchmarks.bench import environments
from benchmarks.bench.processes import cpu_seconds, family
from core.processes import die_with_parent
from tests.e2e.stack import free_port

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 600.0
"""That a start may take: an engine may be exported, and the machine may be busy."""

OURS = "Vireo"
PEERS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "FastAPI script": ("plain", ()),
    "LitServe": ("lightning", ("litserve==0.2.19",)),
    "BentoML": ("bento", ("bentoml>=1.4,<1.5",)),
    "transformers X-CLIP": ("xclip", ()),
}
"""Name → module in benchmarks/peers, and what it needs besides this environment."""
ENGINES: Mapping[str, tuple[str, ...]] = {
    "torch": (),
    "openvino": ("openvino",),
    "openvino-int8": ("openvino", "nncf"),
}
ARCHITECTURES: Mapping[str, str] = {"clip-b32": "ViT-B-32-quickgelu", "clip-b16": "ViT-B-16-quickgelu"}
"""Our models that have peers. `lite` has none."""


@dataclass(frozen=True, slots=True)
class Server:
    """A server to start. setting: precision and engine in words; documented: as its documentation shows."""

    name: str
    setting: str
    command: Sequence[str | Path]
    environment: Mapping[str, str]
    ready: str
    ask: str
    documented: bool = True
    folder: Path = ROOT
    """Where it is started: an older Vireo imports what lies in its current directory."""

    @property
    def title(self) -> str:
        return f"{self.name}, {self.setting}"


@dataclass(slots=True)
class Running:
    server: Server
    url: str
    process: subprocess.Popen[bytes]
    log: Path
    setting: str = field(default="")
    more: list[int] = field(default_factory=list)
    """Pids of processes of it that its process did not start."""

    def cpu(self) -> float:
        """CPU-seconds of all its processes until now."""
        return sum(map(cpu_seconds, (self.process.pid, *self.more)))


def vireo(
    model: str, data_dir: Path, engine: str | None = None, tree: Path | None = None, settings: Mapping[str, str] = {}
) -> Server:
    """Answers are waited for as long as they take.

    engine: a value of VIREO_ENGINE, None for the default. tree: another checkout, whose `vireo` is started."""
    command = tree / ".venv" / "bin" / "vireo" if tree else Path(sys.executable).with_name("vireo")
    environment = {"VIREO_MODEL": model, "VIREO_DATA_DIR": str(data_dir), "VIREO_SYNC_DEADLINE": "900", **settings}
    if engine:
        environment["VIREO_ENGINE"] = engine
    name = f"{OURS} ({tree.name})" if tree else OURS
    return Server(
        name, engine or "default", [command, "up"], environment, "/readyz", "/v1/classify", folder=tree or ROOT
    )


def peer(name: str, model: str, precision: str, engine: str, cache: Path) -> Server:
    """cache: where environments and exported towers are kept."""
    module, packages = PEERS[name]
    needed = (*packages, *ENGINES[engine])
    suffix = "" if engine == "torch" else f"-{engine}"
    made = environments.make(cache / f"{module}{suffix}", needed)
    command: list[str | Path] = [made.python, "-m", f"benchmarks.peers.{module}"]
    ready = "/health"
    if module == "bento":
        command = [made.folder / "bin" / "bentoml", "serve", "benchmarks.peers.bento:Classifier"]
        ready = "/livez"
    settings = {
        "PEER_MODEL": ARCHITECTURES[model],
        "PEER_PRECISION": precision,
        "PEER_ENGINE": engine,
        "PEER_CACHE": str(cache / "towers"),
        "BENTOML_DO_NOT_TRACK": "True",
        "BENTOML_HOME": str(cache / "bentoml-home"),
    }
    documented = (precision, engine) == ("fp32", "torch")
    return Server(name, f"{precision}, {engine}", command, settings, ready, "/classify", documented)


@contextmanager
def running(server: Server, folder: Path) -> Iterator[Running]:
    """A server that answers, on a port of its own. Raises: RuntimeError with its output if it does not start."""
    port = str(free_port())
    log = folder / f"{server.title.replace(' ', '-').replace('/', '-')}-{port}.log"
    own = {"VIREO_PORT": port, "PEER_PORT": port}
    command = [*server.command, "--host", "127.0.0.1", "--port", port] if "serve" in server.command else server.command
    with log.open("wb") as sink:
        process = subprocess.Popen(
            [str(part) for part in command],
            env=os.environ | dict(server.environment) | own,
            cwd=server.folder,
            preexec_fn=die_with_parent,  # where the bench is killed, it cannot stop them
            stdout=sink,
            stderr=subprocess.STDOUT,
        )
    started = Running(server, f"http://127.0.0.1:{port}", process, log)
    try:
        _wait(started)
        started.setting = _setting(started)
        yield started
    finally:
        _stop(process)


def _wait(started: Running) -> None:
    deadline = time.monotonic() + START_SECONDS
    with httpx2.Client(timeout=5, trust_env=False) as http:
        while time.monotonic() < deadline and started.process.poll() is None:
            try:
                if http.get(started.url + started.server.ready).status_code == 200:
                    return
            except httpx2.HTTPError:
                pass
            time.sleep(0.3)
    raise RuntimeError(f"{started.server.title} did not start:\n{started.log.read_text(errors='replace')[-3000:]}")


def _setting(started: Running) -> str:
    """Number format and engine: what Vireo says about itself, once it looks for no faster engine any more."""
    if not started.server.name.startswith(OURS):
        return started.server.setting
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        info = httpx2.get(started.url + "/v1/info", timeout=30, trust_env=False).json()
        engine: dict[str, Any] = info.get("engine") or {}  # an older Vireo has none
        if not engine.get("searching"):
            break
        time.sleep(1)
    return f"{engine.get('precision') or info['precision']}, {engine.get('name', 'eager')}"


def _stop(process: subprocess.Popen[bytes]) -> None:
    """LitServe does not end at SIGTERM, so what is left of the family is killed."""
    members = family(process.pid)
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(20)
    for pid in members:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait()
