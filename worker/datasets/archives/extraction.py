"""Unpacking an untrusted archive in a child process that can be killed, and that dies with this one.

The child may use little memory, has no way out but one pipe, and writes into one empty folder. Whatever happens to it
is an InvalidArchive here.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from core.errors import InvalidArchive, VireoError, WorkerUnavailable
from core.processes import python_module
from worker.datasets.archives.folder import UnpackLimits
from worker.jobs.cancellation import CancelToken

_CHILD = "worker.datasets.archives.unpack_child"
_PROJECT = Path(__file__).resolve().parents[3]
_OF_PYTHON = ("PYTHONHOME", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")  # some interpreters do not start without
_TICK = 0.5  # seconds between two looks at the clock
_NEVER_STARTED = 1  # exit status of an interpreter that could not import the child, which has one of its own
_LARGEST_MESSAGE = 1 << 16
_SLOWEST = 2 << 20  # bytes per second that any machine unpacks


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of the archive. path: its name there, never to be opened; file: where its bytes are."""

    path: str
    file: Path
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Unpacked:
    """entries: in the order of the archive, where one path may stand twice. ignored: paths of what was left packed."""

    entries: tuple[Entry, ...]
    ignored: tuple[str, ...]


class _Silence(Exception):
    """The child has ended without a last word."""


def unpack(
    archive: Path, into: Path, limits: UnpackLimits, token: CancelToken, progress: Callable[[int], None]
) -> Unpacked:
    """`into`: an empty folder, whose content is the caller's to delete. `progress` gets the number of files so far.
    Raises: InvalidArchive, StorageUnavailable, WorkerUnavailable, Cancelled, FileNotFoundError where there is no
    archive."""
    if not archive.is_file():
        raise FileNotFoundError(archive)
    receiver, sender = multiprocessing.Pipe(duplex=False)
    child = _start(archive, into, limits, sender)
    sender.close()
    try:
        with token.stopping(child.kill):
            return _listen(receiver, into, limits, archive.stat().st_size, progress)
    except _Silence as error:
        token.check()  # a cancel kills the child
        if child.wait() == _NEVER_STARTED:
            raise WorkerUnavailable("The worker cannot unpack archives; its log has the reason.") from error
        raise InvalidArchive("Unpacking the archive crashed.", reason="crashed", path=None) from error
    finally:
        child.kill()
        child.wait()
        receiver.close()


def _start(archive: Path, into: Path, limits: UnpackLimits, sender: Connection) -> subprocess.Popen[bytes]:
    """A fresh interpreter, which has nothing of this process's memory and none of the secrets in its environment. It
    needs this project and the standard library, so it starts without site packages, in half the time."""
    command = python_module(_CHILD, str(archive.absolute()), str(into.absolute()), options=("-S",))
    return subprocess.Popen(
        [*command, json.dumps(asdict(limits)), str(sender.fileno())],
        env={"PYTHONPATH": str(_PROJECT)} | {name: os.environ[name] for name in _OF_PYTHON if name in os.environ},
        cwd=into,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        pass_fds=[sender.fileno()],
        start_new_session=True,  # Ctrl-C is for the worker
    )


def _listen(
    receiver: Connection,
    into: Path,
    limits: UnpackLimits,
    archive_bytes: int,
    progress: Callable[[int], None],
) -> Unpacked:
    """Raises: what the child raised; _Silence where it says no more."""
    entries: list[Entry] = []
    ignored: list[str] = []
    most = min(limits.max_bytes, max(limits.free_bytes, int(limits.max_ratio * archive_bytes)))
    heard = time.monotonic()
    deadline = heard + limits.stall_seconds + most / _SLOWEST
    while True:
        now = time.monotonic()
        if now > min(heard + limits.stall_seconds, deadline):
            raise InvalidArchive("Unpacking the archive takes too long.", reason="deadline", path=None)
        if not receiver.poll(_TICK):
            continue
        heard = now
        message = _receive(receiver)
        if "path" in message:
            entries.append(Entry(message["path"], into / message["file"], message["size"], message["sha256"]))
        elif "ignored" in message:
            ignored.append(message["ignored"])
        elif "error" in message:
            raise VireoError.from_dict(message["error"])
        elif "done" in message:
            return Unpacked(tuple(entries), tuple(ignored))
        else:
            progress(message["files"])


def _receive(receiver: Connection) -> dict[str, Any]:
    try:
        message: dict[str, Any] = json.loads(receiver.recv_bytes(_LARGEST_MESSAGE))
    except (EOFError, OSError) as error:
        raise _Silence from error
    return message
