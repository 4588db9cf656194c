"""One campaign: mixed requests while faults strike one after the other, and then the verdict."""

from __future__ import annotations

import random
import shutil
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httpx2

from benchmarks.report import RESULTS
from benchmarks.torture import verdict
from benchmarks.torture.clients import Clients, Material
from benchmarks.torture.faults import Fault, faults
from benchmarks.torture.system import QUEUES, System, ready_workers, running_system
from tests.clips import rendered
from tests.e2e.runs import train, upload, zip_of_scenes

CLIPS: Final = ("h264", "h264_mkv", "h264_bframes")
BACK_SECONDS: Final = 10.0
"""In which the system must be back after a fault."""
WORST_SECONDS: Final = 120.0


@dataclass(frozen=True, slots=True)
class Plan:
    seed: int
    requests: int
    heavy: int
    """Datasets, and training runs, among the requests."""
    names: Sequence[str] | None = None
    """The faults; all if None. They strike in a random order, each once, and again while requests are sent."""
    pause_seconds: float = 20.0
    rest: tuple[float, float] = (0.5, 4.0)
    """Seconds between two faults, at least and at most."""
    pace: float = 1.5
    """Seconds between two requests of a client, about."""


@dataclass(frozen=True, slots=True)
class Blow:
    """A fault that struck."""

    name: str
    hit: str
    back: float
    """Seconds until the system was back."""

    @property
    def is_kill(self) -> bool:
        return self.name.startswith("kill")


@dataclass(slots=True)
class Outcome:
    plan: Plan
    blows: list[Blow] = field(default_factory=list)
    missed: set[str] = field(default_factory=set)
    """Faults that found nothing to strike."""
    wrong: dict[str, list[str]] = field(default_factory=dict)
    """Check → what is wrong."""
    answered: int = 0
    refusals: Mapping[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    complete: bool = False
    """Whether every check was made."""

    @property
    def slowest(self) -> float:
        """Seconds until the system was back after a kill, at worst."""
        return max((blow.back for blow in self.blows if blow.is_kill), default=0.0)

    @property
    def sound(self) -> bool:
        return not any(self.wrong.values())


def run(plan: Plan, *, own_disk: bool = True) -> Outcome:
    with tempfile.TemporaryDirectory(prefix="vireo-torture-") as folder:
        root = Path(folder)
        outcome = Outcome(plan)
        try:
            _run(root, plan, outcome, own_disk=own_disk)
        finally:
            if not outcome.complete or not outcome.sound:
                _keep_logs(root, plan)
        return outcome


def _run(root: Path, plan: Plan, outcome: Outcome, *, own_disk: bool) -> None:
    with running_system(root, own_disk=own_disk) as system:
        material = _prepare(system, root)
        before = verdict.descriptors(system)
        _torment(system, plan, material, outcome)
        _judge(system, before, outcome)
        family = system.family()
    outcome.wrong["ends with its supervisor"] = verdict.nothing_outlives(family)
    outcome.complete = True


def _keep_logs(root: Path, plan: Plan) -> None:
    kept = RESULTS / "torture" / f"seed-{plan.seed}-{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}"
    kept.mkdir(parents=True, exist_ok=True)
    for log in (*root.glob("*.log"), *root.glob("*.out"), *(root / "data" / "logs").glob("*")):
        shutil.copy(log, kept)
    print(f"logs: {kept}", flush=True)


def _prepare(system: System, root: Path) -> Material:
    """Stored videos, a dataset, and a model of two versions."""
    clips = [rendered(name, root).read_bytes() for name in CLIPS]
    archive = zip_of_scenes(root)
    with system.stack.http() as http:
        videos = [http.post("/v1/videos", files={"video": clip}).raise_for_status().json()["id"] for clip in clips]
        dataset = upload(http, archive)
        for _ in range(2):
            train(http, dataset, "moving", epochs=1, batch_size=4)
        http.put("/v1/models/moving/aliases/production", json={"version": 1}).raise_for_status()
    return Material(clips, videos, archive.read_bytes(), dataset, "moving")


def _torment(system: System, plan: Plan, material: Material, outcome: Outcome) -> None:
    chance = random.Random(f"faults {plan.seed}")
    clients = Clients(system.urls, material, plan.seed, plan.requests, plan.heavy, plan.pace)
    known = [fault for fault in faults(plan.pause_seconds) if plan.names is None or fault.name in plan.names]
    began = time.monotonic()
    clients.start()
    struck: set[str] = set()
    pending = chance.sample(known, len(known))
    while clients.busy or not struck | outcome.missed >= {fault.name for fault in known}:
        pending = pending or chance.sample(known, len(known))
        time.sleep(chance.uniform(*plan.rest))
        fault = pending.pop()
        workers = set(ready_workers(system))
        if (hit := fault.strike(system, chance)) is None:
            outcome.missed.add(fault.name)
            continue
        struck.add(fault.name)
        blow = Blow(fault.name, hit, _back(system, fault, workers, material))
        outcome.blows.append(blow)
        print(f"{time.monotonic() - began:7.1f} s  {blow.name:<38} back after {blow.back:5.1f} s  {hit}", flush=True)
    clients.join()
    outcome.seconds = time.monotonic() - began
    outcome.missed -= struck
    outcome.answered = sum(request.answered for request in clients.ledger.requests)
    outcome.refusals = clients.ledger.refusals
    outcome.wrong["requests"] = [] if outcome.answered == plan.requests else [f"{outcome.answered} were answered"]
    outcome.wrong["jobs end"] = verdict.settled(system)
    outcome.wrong["one result each"] = verdict.results(system, clients.ledger)
    keyed = sum(request.answered and bool(request.key) for request in clients.ledger.requests)
    outcome.wrong["records"] = verdict.records_are_sound(system, keyed)


def _judge(system: System, before: dict[int, int], outcome: Outcome) -> None:
    outcome.wrong["orphans"] = verdict.no_orphans(system)
    outcome.wrong["leftovers"] = verdict.no_leftovers(system)
    outcome.wrong["descriptors"] = verdict.no_leaks(before, verdict.descriptors(system))


def _back(system: System, fault: Fault, workers: set[str], material: Material) -> float:
    """Seconds until both gateways answer a question that needs a decode child, and a killed worker is replaced."""
    began = time.monotonic()
    frames = random.Random(began)
    waits = [
        threading.Thread(target=_until_answered, args=(url, material, frames.randint(1, 60))) for url in system.urls
    ]
    for wait in waits:
        wait.start()
    if fault.kills and (queue := next((q for q in QUEUES if f"{q} worker" in fault.kills), None)):
        while time.monotonic() - began < WORST_SECONDS:
            ready = ready_workers(system)
            if any(served == queue and worker not in workers for worker, served in ready.items()):
                break
            time.sleep(0.1)
    for wait in waits:
        wait.join()
    return time.monotonic() - began


def _until_answered(url: str, material: Material, frames: int) -> None:
    question = {"labels": ["a probe", f"after {time.monotonic()}"], "frames": frames}
    ends = time.monotonic() + WORST_SECONDS
    with httpx2.Client(timeout=WORST_SECONDS, trust_env=False) as http:
        while time.monotonic() < ends:
            with suppress(httpx2.TransportError):
                if http.post(f"{url}/v1/videos/{material.videos[0]}/classify", json=question).status_code == 200:
                    return
            time.sleep(0.05)
