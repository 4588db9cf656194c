"""A fork server whose children do what they are told."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from worker.children.fork_loop import serve


def run_child(order: str, files: list[int]) -> int:
    os.write(files[0], f"{order} in {os.getpid()} of {os.getppid()}".encode())
    os.close(files[0])
    if order == "stay":
        time.sleep(600)
    return 3


if __name__ == "__main__":
    if hold := os.environ.get("HOLD"):
        while Path(hold).exists():
            time.sleep(0.01)
    serve(int(sys.argv[1]), run_child)
