"""The exit statuses of the command, which scripts can rely on."""

from __future__ import annotations

from enum import IntEnum

from vireo.errors import ConnectionFailed, VireoError


class Exit(IntEnum):
    """Why a command ended."""

    OK = 0
    FAILED = 1
    USAGE = 2
    REFUSED = 3
    UNREACHABLE = 4
    JOB_FAILED = 5
    BUSY = 6
    INTERRUPTED = 130


MEANINGS = {
    Exit.OK: "done",
    Exit.FAILED: "failed on this side: a file is missing, or some of several videos have an error",
    Exit.USAGE: "the command line is wrong",
    Exit.REFUSED: "the server refused it",
    Exit.UNREACHABLE: "no server answers, or the connection broke",
    Exit.JOB_FAILED: "the job failed or was cancelled",
    Exit.BUSY: "the server is busy or has no worker: try again later",
    Exit.INTERRUPTED: "interrupted with Ctrl-C",
}


def exit_code(error: VireoError) -> Exit:
    """How a command ends that fails with this error."""
    if isinstance(error, ConnectionFailed):
        return Exit.UNREACHABLE
    if error.answered in (429, 503):
        return Exit.BUSY
    if error.answered:
        return Exit.REFUSED
    return Exit.JOB_FAILED if error.job else Exit.FAILED
