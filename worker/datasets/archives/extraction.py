"""Unpacking an untrusted archive in a child process that can be killed and that dies with this process.

The child's memory is limited, it has one pipe to talk to this process, and it writes into one empty folder. The kernel
lets it reach nothing else (`worker.children.confinement`). If it crashes, the archive is refused with InvalidArchive.
"""

from __future__ import annotations

import json
import multiprocessing
import subprocess
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from core.errors import InvalidArchive, VireoError, WorkerUnavailable
from core.processes import python_module
from worker.children.environment import child_environment
from worker.datasets.archives.folder import UnpackLimits
from worker.jobs.cancellation import CancelToken

_CHILD = "worker.datasets.archives.unpack_child"
_PROJECT = Path(__file__).resolve().parents[3]
_POLL_SECONDS = 0.5  # between two checks of the deadline
_IMPORT_FAILED = 1  # exit status of an interpreter that could not import the child; the child itself ends with another
_MAX_MESSAGE_BYTES = 1 << 16
_MIN_BYTES_PER_SECOND = 2 << 20  # every machine unpacks at least as fast


@dataclass(frozen=True, slots=True)
class UnpackedFile:
    """One file of the archive. path: its name in the archive, never to be opened; location: where its bytes are."""

    path: str
    location: Path
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class UnpackedArchive:
    """files: in the order of the archive, which may list a path twice. ignored: paths that were not unpacked."""

    files: tuple[UnpackedFile, ...]
    ignored: tuple[str, ...]


class _ChildEndedEarly(Exception):
    """The child has ended without a final message."""


def unpack_archive(
    archive: Path, into: Path, limits: UnpackLimits, token: CancelToken, report_progress: Callable[[int], None]
) -> UnpackedArchive:
    """`into`: an empty folder; the caller deletes its content. `report_progress` gets the number of files so far.

    Raises: InvalidArchive, StorageUnavailable, WorkerUnavailable, Cancelled; FileNotFoundError if there is no archive.
    """
    if not archive.is_file():
        raise FileNotFoundError(archive)
    receiver, sender = multiprocessing.Pipe(duplex=False)
    child = _start(archive, into, limits, sender)
    sender.close()
    try:
        with token.on_cancel(child.kill):
            return _receive_files(receiver, into, limits, archive.stat().st_size, report_progress)
    except _ChildEndedEarly as error:
        token.check()  # a cancel kills the child
        if child.wait() == _IMPORT_FAILED:
            raise WorkerUnavailable(
                "The worker cannot unpack archives.", hint="The worker's log has the reason."
            ) from error
        raise InvalidArchive(
            "The archive crashed the process that unpacked it.", reason="crashed", path=None
        ) from error
    finally:
        child.kill()
        child.wait()
        receiver.close()


def _start(archive: Path, into: Path, limits: UnpackLimits, sender: Connection) -> subprocess.Popen[bytes]:
    """Start a fresh interpreter, which inherits neither this process's memory nor the secrets in its environment."""
    command = python_module(_CHILD, str(archive.absolute()), str(into.absolute()))
    return subprocess.Popen(
        [*command, json.dumps(asdict(limits)), str(sender.fileno())],
        env=child_environment(project=_PROJECT),
        cwd=into,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        pass_fds=[sender.fileno()],
        start_new_session=True,  # Ctrl-C is for the worker
    )


def _receive_files(
    receiver: Connection,
    into: Path,
    limits: UnpackLimits,
    archive_bytes: int,
    report_progress: Callable[[int], None],
) -> UnpackedArchive:
    """Raises: the error that the child sent; _ChildEndedEarly if it ended without a final message."""
    files: list[UnpackedFile] = []
    ignored: list[str] = []
    max_bytes = min(limits.max_bytes, max(limits.free_bytes, int(limits.max_ratio * archive_bytes)))
    last_message_at = time.monotonic()
    deadline = last_message_at + limits.stall_seconds + max_bytes / _MIN_BYTES_PER_SECOND
    while True:
        now = time.monotonic()
        if now > min(last_message_at + limits.stall_seconds, deadline):
            raise InvalidArchive("Unpacking the archive took too long.", reason="deadline", path=None)
        if not receiver.poll(_POLL_SECONDS):
            continue
        last_message_at = now
        message = _receive_message(receiver)
        if "path" in message:
            files.append(UnpackedFile(message["path"], into / message["file"], message["size"], message["sha256"]))
        elif "ignored" in message:
            ignored.append(message["ignored"])
        elif "error" in message:
            raise VireoError.from_dict(message["error"])
        elif "done" in message:
            return UnpackedArchive(tuple(files), tuple(ignored))
        else:
            report_progress(message["files"])


def _receive_message(receiver: Connection) -> dict[str, Any]:
    try:
        message: dict[str, Any] = json.loads(receiver.recv_bytes(_MAX_MESSAGE_BYTES))
    except (EOFError, OSError) as error:
        raise _ChildEndedEarly from error
    return message
