"""`python -m worker.training.process.fork_server FD`: starts the training children of a worker.

It has torch and everything else loaded that a run needs, which takes seconds. Nothing of it touches a GPU: a process
that was forked from one that uses a GPU cannot use it.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from worker.children.fork_loop import serve
from worker.training.process.training_child import main


def run_child(spec: str, files: list[int]) -> int:
    """files: what becomes the child's standard output."""
    (output,) = files
    os.dup2(output, 1)
    os.close(output)
    return main(Path(spec))


if __name__ == "__main__":
    serve(int(sys.argv[1]), run_child)
