"""Unpacking an untrusted archive in a child process that can be killed, and that dies with this one.

The child may use little memory, has no way out but one pipe, and writes into one empty folder. Whatever happens to it
is an InvalidArchive here.
"""

from __future__ import annotations

import json
import multiprocessing
import resource
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from core.errors import InvalidArchive, VireoError
from worker.cancellation import CancelToken
from worker.datasets.folder import UnpackLimits
from worker.datasets.unpack import unpack_here
from worker.decode_child import confine

_TICK = 0.5  # seconds between two looks at the clock
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


def unpack(
    archive: Path, into: Path, limits: UnpackLimits, token: CancelToken, progress: Callable[[int], None]
) -> Unpacked:
    """`into`: an empty folder, whose content is the caller's to delete. `progress` gets the number of files so far.
    Raises: InvalidArchive, StorageUnavailable, Cancelled, FileNotFoundError where there is no archive."""
    if not archive.is_file():
        raise FileNotFoundError(archive)
    # children of the fork server that the decode pool has as well are there in milliseconds
    context = multiprocessing.get_context("forkserver")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=_unpack_in_child, args=(str(archive), str(into), limits, sender), daemon=True)
    child.start()
    sender.close()
    try:
        with token.stopping(child.kill):
            return _listen(receiver, into, limits, archive.stat().st_size, token, progress)
    finally:
        child.kill()
        child.join()
        child.close()
        receiver.close()


def _listen(
    receiver: Connection,
    into: Path,
    limits: UnpackLimits,
    archive_bytes: int,
    token: CancelToken,
    progress: Callable[[int], None],
) -> Unpacked:
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
        message = _receive(receiver, token)
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


def _receive(receiver: Connection, token: CancelToken) -> dict[str, Any]:
    try:
        message: dict[str, Any] = json.loads(receiver.recv_bytes(_LARGEST_MESSAGE))
    except (EOFError, OSError) as error:
        token.check()  # a cancel kills the child
        raise InvalidArchive("Unpacking the archive crashed.", reason="crashed", path=None) from error
    return message


def _unpack_in_child(archive: str, into: str, limits: UnpackLimits, sender: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the worker, which then kills this child or waits
    confine(limits.memory_bytes)
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    largest = limits.max_bytes if hard == resource.RLIM_INFINITY else min(limits.max_bytes, hard)
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))

    def tell(message: dict[str, Any]) -> None:
        sender.send_bytes(json.dumps(message).encode())

    try:
        unpack_here(Path(archive), Path(into), limits, tell)
        tell({"done": True})
    except VireoError as error:
        tell({"error": error.to_dict()})
