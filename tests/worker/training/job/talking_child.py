"""A training child without training: it announces three checkpoints between messages of progress, then its result."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from worker.children.fork_loop import serve
from worker.children.messages import send_message

PATIENCE = 120.0  # seconds; much longer than any step takes


def child_of(act: Callable[[Path], None]) -> Callable[[str, list[int]], int]:
    """What the fork server runs, as `worker.training.process.fork_server` does."""

    def run_child(spec: str, files: list[int]) -> int:
        os.dup2(files[0], 1)
        act(Path(spec))
        return 0

    return run_child


def act(path: Path) -> None:
    scratch = path.parent
    for step in (1, 2, 3):
        path = scratch / f"checkpoint-{step}.pt"
        path.write_text(f"step {step}")
        send_message("checkpoint", path=str(path), step=step, epoch=step / 2)
        if step == 1:
            wait_for(scratch / "upload began")
        send_message("progress", phase="training", step=step)
    wait_for(scratch / "go on")
    send_message("result", metrics=None)


def wait_for(signal: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while not signal.exists():
        assert time.monotonic() < deadline, f"{signal} did not appear"
        time.sleep(0.01)


if __name__ == "__main__":
    serve(int(sys.argv[1]), child_of(act))
