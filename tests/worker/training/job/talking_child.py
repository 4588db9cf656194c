"""A training child without training: it announces three checkpoints between messages of progress, then its result."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from worker.children.messages import send_message

PATIENCE = 60.0  # seconds; much longer than any step takes


def main() -> None:
    scratch = Path(sys.argv[1]).parent
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
    main()
