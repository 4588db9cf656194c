"""What is done to the system: processes are killed and paused, disk and Redis filled, connections cut and delayed."""

from __future__ import annotations

import errno
import os
import random
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final

import redis

from benchmarks.torture.system import QUEUES, REDIS_MIB, System
from tests.e2e.runs import training_children
from tests.e2e.stack import command_line, parent_of

FULL_SECONDS: Final = 5.0  # that disk or Redis stay full, and connections slow
_BLOCK = b"\0" * (1 << 20)

Victim = Callable[[System], list[int]]


def _served_by(queue: str) -> Victim:
    return lambda system: [system.stack.worker(queue)]


def _parent_of(queue: str) -> Victim:
    return lambda system: system.stack.children(f"--queue {queue}")


def _decode_child(system: System) -> list[int]:
    """Of the inference worker."""
    worker = system.stack.worker("inference")
    servers = [pid for pid in system.named("worker.decoding.fork_server") if parent_of(pid) == worker]
    return [pid for pid in system.named("worker.decoding.fork_server") if parent_of(pid) in servers]


VICTIMS: Final[Mapping[str, Victim]] = {
    **{f"{queue} worker": _served_by(queue) for queue in QUEUES},
    **{f"parent of the {queue} worker": _parent_of(queue) for queue in QUEUES},
    "decode child": _decode_child,
    "training child": lambda system: training_children(system.stack),
    "first gateway": lambda system: system.stack.children("vireo-gateway"),
    "second gateway": lambda system: [pid] if (pid := system.second.pid) else [],
    "Redis": lambda system: [pid] if (pid := system.database.pid) else [],
}
"""Name → the pids that may be hit; one of them is."""

PAUSED: Final = ("inference worker", "training worker", "training child", "first gateway", "Redis")


@dataclass(frozen=True, slots=True)
class Fault:
    name: str
    kills: str | None
    """The victim that it kills."""
    strike: Callable[[System, random.Random], str | None]
    """Returns what was hit once the fault is over, so that the system has to come back from then on; None where there
    was nothing to hit."""


def faults(pause_seconds: float) -> list[Fault]:
    """`pause_seconds`: how long a paused process is stopped."""
    kills = [Fault(f"kill {name}", name, _kill(name)) for name in VICTIMS]
    pauses = [Fault(f"pause {name}", None, _pause(name, pause_seconds)) for name in PAUSED]
    others = {
        "fill the disk": _fill_disk,
        "fill Redis": _fill_redis,
        "cut connections": _cut,
        "delay connections": _delay,
    }
    return [*kills, *pauses, *(Fault(name, None, strike) for name, strike in others.items())]


def _kill(name: str) -> Callable[[System, random.Random], str | None]:
    def strike(system: System, chance: random.Random) -> str | None:
        return _signal(name, system, chance, signal.SIGKILL)

    return strike


def _pause(name: str, seconds: float) -> Callable[[System, random.Random], str | None]:
    def strike(system: System, chance: random.Random) -> str | None:
        found = _pick(name, system, chance)
        if found is None:
            return None
        os.kill(found, signal.SIGSTOP)
        time.sleep(seconds)
        with suppress(ProcessLookupError):  # its worker may have taken it for dead
            os.kill(found, signal.SIGCONT)
        return f"{found} for {seconds:g} s"

    return strike


def _pick(name: str, system: System, chance: random.Random) -> int | None:
    try:
        found = VICTIMS[name](system)
    except (ValueError, IndexError):  # its parent has just died, or it has not been started again
        return None
    return chance.choice(sorted(found)) if found else None


def _signal(name: str, system: System, chance: random.Random, number: signal.Signals) -> str | None:
    found = _pick(name, system, chance)
    if found is None:
        return None
    described = f"{found} {command_line(found)[-40:].strip()}"
    with suppress(ProcessLookupError):
        os.kill(found, number)
    return described


def _fill_disk(system: System, _: random.Random) -> str | None:
    if system.disk is None:
        return None
    filler = system.disk / "filler"
    written = 0
    ends = time.monotonic() + FULL_SECONDS
    try:
        with filler.open("wb", buffering=0) as file:
            while time.monotonic() < ends:  # what others delete meanwhile is filled again
                try:
                    written += file.write(_BLOCK)
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
                    time.sleep(0.05)
    finally:
        filler.unlink()
    return f"{written >> 20} MiB"


def _fill_redis(system: System, _: random.Random) -> str | None:
    """With data of another program. (A lower `maxmemory` would make the sweeper delete answers.)"""
    keys: list[str] = []
    ends = time.monotonic() + FULL_SECONDS
    with system.records() as client:
        while time.monotonic() < ends:
            size = 1 << (20 if len(keys) < 2 * REDIS_MIB else 12)
            try:
                client.set(f"filler:{len(keys)}", "x" * size)
                keys.append(f"filler:{len(keys)}")
            except redis.ResponseError:  # it is full
                time.sleep(0.02)
        client.delete(*keys)
    return f"{len(keys)} MiB"


def _cut(system: System, chance: random.Random) -> str | None:
    total = 0
    for _ in range(chance.randint(1, 4)):
        total += system.proxy.cut()
        time.sleep(chance.uniform(0.1, 0.6))
    return f"{total} connections"


def _delay(system: System, chance: random.Random) -> str | None:
    with _delayed(system, chance.uniform(0.02, 0.3)) as seconds:
        time.sleep(FULL_SECONDS)
    return f"{seconds * 1000:.0f} ms"


@contextmanager
def _delayed(system: System, seconds: float) -> Iterator[float]:
    system.proxy.delay = seconds
    try:
        yield seconds
    finally:
        system.proxy.delay = 0.0
