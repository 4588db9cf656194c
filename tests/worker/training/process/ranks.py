"""Runs of several processes, without the launcher: each is forked from a server that has imported torch once."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import socket
from collections.abc import Sequence
from pathlib import Path

from worker.training.spec import RunSpec

SECONDS = 600.0  # until the processes are believed to hang


def run_in_processes(specs: Sequence[RunSpec], size: int) -> None:
    """Run one training after the other, each in the same `size` processes."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, "worker.training.process.session"])
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    texts = [spec.model_dump_json() for spec in specs]
    ranks = [context.Process(target=_run, args=(rank, size, port, texts)) for rank in range(size)]
    for process in ranks:
        process.start()
    try:
        for process in ranks:
            process.join(SECONDS)
        assert [process.exitcode for process in ranks] == [0] * size
    finally:
        for process in ranks:
            process.kill()


def _run(rank: int, size: int, port: int, texts: Sequence[str]) -> None:
    # Not above: this module is imported by pytest's process as well, and decode children import it again.
    import torch

    from worker.decoding.pool import DecodePool
    from worker.training.process.session import run_training
    from worker.training.run.stop import Stop
    from worker.training.run.world import join_world, leave_world

    torch.set_num_threads(1)
    where = {"RANK": str(rank), "WORLD_SIZE": str(size), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    os.environ.update(where)
    specs = [RunSpec.model_validate_json(text) for text in texts]
    world = join_world(specs[0].settings)
    with (
        Path(os.devnull).open("w") as nowhere,
        contextlib.redirect_stdout(nowhere),
        DecodePool(1, 60.0, 2 << 30, 1 << 24, 60.0) as pool,
    ):
        for spec in specs:
            assert spec.training is not None
            run_training(spec, spec.training, world, pool, Stop())
    leave_world(world)
