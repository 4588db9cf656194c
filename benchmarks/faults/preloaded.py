"""A process that has imported the large libraries and forks for every run of pytest: importing them takes most of the
time of a module's tests. It imports nothing of ours, so each run reads the files as they are then.

    python -P preloaded.py [LIBRARY…]

It reads one JSON array per line, pytest's arguments and after them a time-out in seconds. It answers with pytest's
exit status, or `null` after the time-out.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import time
import traceback
from contextlib import suppress

OUTPUT = ".pytest-output"  # what the last run printed


def main() -> None:
    for name in sys.argv[1:]:
        importlib.import_module(name)
    for line in sys.stdin:
        *arguments, seconds = json.loads(line)
        print(json.dumps(run(arguments, float(seconds))), flush=True)


def run(arguments: list[str], seconds: float) -> int | None:
    pid = os.fork()
    if not pid:
        _pytest(arguments)
    deadline = time.monotonic() + seconds
    try:
        while time.monotonic() < deadline:
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.02)
        return None
    finally:
        with suppress(ProcessLookupError):  # what the tests have left running
            os.killpg(pid, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(pid, 0)


def _pytest(arguments: list[str]) -> None:
    """In the child, which ends with pytest's exit status."""
    os.setsid()
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    output = os.open(OUTPUT, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for descriptor in (1, 2):
        os.dup2(output, descriptor)
    import pytest

    status = 3  # as pytest's for an error of its own
    try:
        status = int(pytest.main(arguments))
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(status)


if __name__ == "__main__":
    main()
