"""The code that runs in a decode child: its limits, its death with the worker, and its errors, returned as data."""

from __future__ import annotations

import errno
import logging
import os
import resource
import signal
import sys
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

from av.error import FFmpegError

from core.errors import Cancelled, UndecodableVideo, VireoError
from core.processes import die_with_parent, limit_resources
from worker.decoding.frame_cache import decode_cached
from worker.decoding.memory import SegmentHandle, map_segment
from worker.video.clip import DecodeReport, DecodeRequest, decode_clip
from worker.video.container import describe_error

log = logging.getLogger(__name__)

_OPEN_FILES = 64


def limit_decode_child(memory_bytes: int) -> None:
    """Called once when the child starts. memory_bytes: address space beyond what the libraries map on this machine."""
    # Python would run the pool library's handler only after the current C call, but a kill must not wait
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _die_with_worker()
    limit_resources(
        {
            resource.RLIMIT_AS: _mapped_bytes() + memory_bytes,
            resource.RLIMIT_CORE: 0,
            resource.RLIMIT_NOFILE: _OPEN_FILES,
        }
    )


def decode_into(path: str, request: DecodeRequest, handle: SegmentHandle) -> DecodeReport | dict[str, Any]:
    """Fill the parent's segment. An error is returned as `VireoError.to_dict`."""
    try:
        out = map_segment(handle)
        if request.cache is None:
            return decode_clip(Path(path), request, out)
        return decode_cached(Path(path), request, request.cache, out)
    except VireoError as error:
        return error.to_dict()
    except FileNotFoundError:
        return Cancelled("Decoding was cancelled.").to_dict()
    except MemoryError:
        return _out_of_memory().to_dict()
    except FFmpegError as error:
        return UndecodableVideo(
            f"The video cannot be decoded: {describe_error(error)}.", reason="undecodable", stream=None
        ).to_dict()
    except Exception as error:
        if isinstance(error, OSError) and error.errno == errno.ENOMEM:
            return _out_of_memory().to_dict()
        log.exception("the decoder failed on %s with an unexpected error", Path(path).name)
        return VireoError("The decoder failed on this video.", hint="The worker's log has the reason.").to_dict()


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
    return pages * resource.getpagesize()


def _die_with_worker() -> None:
    """Ensure that no child outlives the worker, even if it is in a C call when the worker gets kill -9.

    The kernel watches the child's direct parent, which is the fork server. The fork server ends when nobody holds its
    "alive" pipe any more. Each child closes its copy of the pipe, so that only the worker holds it.
    """
    if sys.platform != "linux":
        return
    alive = getattr(forkserver._forkserver, "_forkserver_alive_fd", None)
    if alive is not None:
        os.close(alive)
        forkserver._forkserver._forkserver_alive_fd = None  # type: ignore[attr-defined]
    die_with_parent()
