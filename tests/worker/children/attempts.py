"""What an attacker would try who runs code in a child, and running it there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from worker.children.environment import child_environment

TRY = """
import os, socket
def attempts(forbidden, folder, port):
    yield lambda: open(forbidden).read()
    yield lambda: open(f"/proc/{os.getppid()}/environ").read()
    yield lambda: open(os.path.join(os.path.dirname(forbidden), "new"), "w")
    yield lambda: socket.create_connection(("127.0.0.1", port), 5)
    yield os.fork
    yield lambda: os.execv("/bin/true", ["true"])
    yield lambda: os.kill(os.getppid(), 0)
def try_all(forbidden, folder, port):
    found = []
    for attempt in attempts(forbidden, folder, port):
        try:
            attempt()
            found.append("it was possible")
        except PermissionError as error:
            found.append("refused")
    with open(os.path.join(folder, "outcome"), "w") as outcome:  # what the child is for
        outcome.write(" ".join(found))
"""
REFUSED = " ".join(["refused"] * 7)


def run_child(script: str, folder: Path, *arguments: object, pass_fds: tuple[int, ...] = ()) -> None:
    """folder: for temporary files."""
    subprocess.run(
        [sys.executable, "-P", "-c", TRY + script, *map(str, arguments)],
        env=child_environment("HOME") | {"TMPDIR": str(folder)},
        pass_fds=pass_fds,
        timeout=120,
        check=True,
    )


def plant(folder: Path) -> Path:
    """A file of the data directory that no child has any business with."""
    (folder / "data").mkdir()
    secret = folder / "data" / "appendonly.aof"
    secret.write_text(os.urandom(8).hex())
    return secret
