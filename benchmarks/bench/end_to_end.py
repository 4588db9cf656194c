"""Row 1: an upload and its answer over HTTP, beside the peers; and the memory of our inference worker meanwhile."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import httpx2

from benchmarks.bench.clients import Clips, ask, block
from benchmarks.bench.measures import Key, Measures
from benchmarks.bench.processes import command_line, family, memory
from benchmarks.bench.servers import OURS, Running
from benchmarks.repetition import repeated

ROW = "end to end"
CPU, WALL, LATENCY, MEMORY = "CPU", "wall", "latency", "memory"
WEIGHTS = "weights on disk"
LEAST_VIDEOS = 4
"""Of a block."""
MEMORY_SECONDS = 0.5


def warm_up(server: Running, clips: Clips) -> None:
    """The labels are encoded, and each server has batched once."""
    with httpx2.Client(timeout=900, trust_env=False) as http:
        ask(http, server, next(clips))
    block(server, clips, 4, 4)


def measure_round(
    measures: Measures, model: str, servers: Sequence[Running], clips: Clips, clients: Sequence[int], seed: int
) -> None:
    """One block of each number of clients for each server. The order changes from round to round."""
    order = [(server, count) for count in clients for server in servers]
    random.Random(seed).shuffle(order)
    for server, count in order:
        documented = None if _is_ours(server) else server.server.documented
        subject = f"{server.server.name} ({server.setting})"

        def key(
            what: str, unit: str, subject: str = subject, count: int = count, documented: bool | None = documented
        ) -> Key:
            return Key(ROW, model, subject, what, unit, count, documented)

        highest = [0.0]

        def look(server: Running = server, highest: list[float] = highest) -> None:
            highest.append(worker_memory(server) if _is_ours(server) else 0.0)

        with repeated(look, MEMORY_SECONDS):
            taken = block(server, clips, count, max(LEAST_VIDEOS, count))
        measures.add(key(CPU, "s per video"), taken.cpu)
        measures.add(key(WALL, "s per video"), taken.wall)
        measures.add(key(LATENCY, "s"), taken.latency)
        if _is_ours(server):
            measures.add(key(MEMORY, "MiB"), max(highest) / (1 << 20))


def _is_ours(server: Running) -> bool:
    return server.server.name.startswith(OURS)


def weights_size(model: str, data_dir: Path) -> int:
    """Bytes of the weights on disk, in fp32."""
    files = [*data_dir.glob(f"weights/{model}.safetensors"), *data_dir.glob(f"models/{model}/*.safetensors")]
    return sum(file.stat().st_size for file in files)


def worker_memory(server: Running) -> float:
    """Bytes of the inference worker and its children."""
    parents = [pid for pid in family(server.process.pid) if "--queue inference" in command_line(pid)]
    return sum(map(memory, family(parents[0]))) if parents else 0.0
