"""The inside of a decode child: what it may use, when it dies, and how its errors leave it: as data, not as pickles."""

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
    """Run once when the child starts. memory_bytes: address space beyond what the libraries map on this machine."""
    # the pool library sets a handler, which Python would run only after the C call in hand: a kill must not wait
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _die_with_worker()
    limit_resources(
        {
            resource.RLIMIT_AS: _mapped() + memory_bytes,
            resource.RLIMIT_CORE: 0,
            resource.RLIMIT_NOFILE: _OPEN_FILES,
        }
    )


def decode_into(path: str, request: DecodeRequest, ticket: SegmentHandle) -> DecodeReport | dict[str, Any]:
    """Fills the parent's segment; an error comes back as `VireoError.to_dict` has it."""
    try:
        out = map_segment(ticket)
        if request.cache is None:
            return decode_clip(Path(path), request, out)
        return decode_cached(Path(path), request, request.cache, out)
    except VireoError as error:
        return error.to_dict()
    except FileNotFoundError:
        return Cancelled("Decoding was given up.").to_dict()
    except MemoryError:
        return _out_of_memory().to_dict()
    except FFmpegError as error:
        return UndecodableVideo(
            f"The video cannot be decoded: {describe_error(error)}.", reason="undecodable", stream=None
        ).to_dict()
    except Exception as error:
        if isinstance(error, OSError) and error.errno == errno.ENOMEM:
            return _out_of_memory().to_dict()
        log.exception("the decoder failed on %s", Path(path).name)
        return VireoError("the decoder failed on this video; the worker's log has the reason").to_dict()


def _out_of_memory() -> UndecodableVideo:
    return UndecodableVideo(
        "Decoding this video needs more memory than one decoder may use.",
        hint="Send it in a smaller size.",
        reason="out_of_memory",
        stream=None,
    )


def _mapped() -> int:
    """Bytes of address space in use; 0 where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except OSError:
        return 0
    return pages * resource.getpagesize()


def _die_with_worker() -> None:
    """No child outlives the worker, not even one that is stuck in a C call when the worker gets kill -9.

    The kernel watches the direct parent, the fork server. That one leaves when the last holder of its "alive" pipe is
    gone, so the children let go of it: the worker is the only holder then.
    """
    if sys.platform != "linux":
        return
    alive = getattr(forkserver._forkserver, "_forkserver_alive_fd", None)
    if alive is not None:
        os.close(alive)
        forkserver._forkserver._forkserver_alive_fd = None  # type: ignore[attr-defined]
    die_with_parent()
