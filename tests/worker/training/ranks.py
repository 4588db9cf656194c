"""The processes of one run, without the launcher: each is forked from a server that has imported torch once."""

from __future__ import annotations

import multiprocessing
import os
import socket
from collections.abc import Callable
from typing import Any

SECONDS = 600.0  # until the processes are believed to hang


def run_in_processes(main: Callable[..., None], size: int, *arguments: Any) -> None:
    """Call `main(rank, *arguments)` in each of `size` processes, whose environment is that of torchrun."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, "worker.training.process.session"])
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    ranks = [context.Process(target=_start, args=(main, rank, size, port, arguments)) for rank in range(size)]
    for process in ranks:
        process.start()
    try:
        for process in ranks:
            process.join(SECONDS)
        assert [process.exitcode for process in ranks] == [0] * size
    finally:
        for process in ranks:
            process.kill()


def _start(main: Callable[..., None], rank: int, size: int, port: int, arguments: tuple[Any, ...]) -> None:
    import torch  # not above: decode children import this module again

    torch.set_num_threads(1)
    where = {"RANK": str(rank), "WORLD_SIZE": str(size), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    os.environ.update(where)
    main(rank, *arguments)
