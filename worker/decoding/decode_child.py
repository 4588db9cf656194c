"""The code that runs in a decode child: its confinement, and its errors, returned as data.

A child has the memory that it fills, the video that it decodes, an entry of the frame cache if there is one, and the
socket on which the worker hands it these open files. It can open nothing itself.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import pickle
import resource
import signal
import traceback
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from av.error import FFmpegError

from core.errors import UndecodableVideo, VireoError
from core.processes import limit_resources
from worker.children.channel import Channel, ChannelClosed, close_all
from worker.children.confinement import restrict_files, restrict_system_calls
from worker.children.system_calls import decoder_rules
from worker.decoding.frame_cache import DamagedEntry, OpenEntry, decode_through
from worker.decoding.memory import map_segment
from worker.video.clip import DecodeReport, DecodeRequest, decode_clip
from worker.video.container import describe_error

_OPEN_FILES = 64
_MAX_REQUEST_BYTES = 1 << 24
_MAX_LOG = 8000  # characters

TAKEN = b"taken"

Reply = dict[str, Any]
"""{"report", "kept"}, {"damaged"}, or {"error", "log"}."""


@dataclass(frozen=True, slots=True)
class ChildLimits:
    """memory_bytes: address space beyond what the libraries map on this machine. file_bytes: size up to which the child
    may write the open files that it gets."""

    memory_bytes: int
    file_bytes: int


@dataclass(frozen=True, slots=True)
class ChildTask:
    """Comes with the open files [frames, video] or [frames, video, entry]. stored: the entry of the frame cache holds
    frames; None: there is no entry."""

    request: DecodeRequest
    stored: bool | None


def run_decode_child(channel: Channel, limits: ChildLimits) -> None:
    """Confine this process, tell the worker how, and serve its tasks one after the other until it hangs up."""
    missing = _confine(limits)
    try:
        channel.send(json.dumps({"missing": missing}).encode())
        while True:
            message, files = channel.receive_with_files(_MAX_REQUEST_BYTES)
            channel.send(TAKEN)  # a death from here on may be the video's fault
            try:
                reply = _answer(message, files)
            finally:
                close_all(files)
            channel.send(json.dumps(reply).encode())
    except ChannelClosed:
        return


def _confine(limits: ChildLimits) -> list[str]:
    """Returns what the kernel lacks, in words."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    limit_resources(
        {
            resource.RLIMIT_AS: _mapped_bytes() + limits.memory_bytes,
            resource.RLIMIT_CORE: 0,
            resource.RLIMIT_FSIZE: limits.file_bytes,
            resource.RLIMIT_NOFILE: _OPEN_FILES,
        }
    )
    logging.disable()  # there is no log to write to: what matters is in the reply
    found: Final = (restrict_files(), restrict_system_calls(decoder_rules()))
    return [sentence for sentence in found if sentence]


def _answer(message: bytes, files: list[int]) -> Reply:
    """An error is returned as `VireoError.to_dict`."""
    try:
        report, kept = _decode(pickle.loads(message), *files)  # noqa: S301, the worker is the trusted end
    except DamagedEntry as damage:
        return {"damaged": str(damage)}
    except VireoError as error:
        return {"error": error.to_dict()}
    except MemoryError:
        return {"error": _out_of_memory().to_dict()}
    except FFmpegError as error:
        return {"error": _undecodable(error).to_dict()}
    except Exception as error:
        if isinstance(error, OSError) and error.errno == errno.ENOMEM:
            return {"error": _out_of_memory().to_dict()}
        failed = VireoError("The decoder failed on this video.", hint="The worker's log has the reason.")
        return {"error": failed.to_dict(), "log": traceback.format_exc()[-_MAX_LOG:]}
    return {"report": asdict(report), "kept": kept}


def _decode(task: ChildTask, frames: int, video: int, entry: int = -1) -> tuple[DecodeReport, bool]:
    out = map_segment(frames, task.request.shape)
    if task.stored is None:
        return decode_clip(video, task.request, out), False
    return decode_through(OpenEntry(entry, task.stored), video, task.request, out)


def _undecodable(error: FFmpegError) -> UndecodableVideo:
    return UndecodableVideo(f"The video cannot be decoded: {describe_error(error)}.", reason="undecodable", stream=None)


def _out_of_memory() -> UndecodableVideo:
    return UndecodableVideo(
        "Decoding this video needs more memory than one decoder may use.",
        hint="Scale the video down before sending it.",
        reason="out_of_memory",
        stream=None,
    )


def _mapped_bytes() -> int:
    """Bytes of address space in use; 0 if the system does not report it."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")
