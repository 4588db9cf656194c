"""Starting and limiting Vireo's own processes: how Python is called, which resources they may use, when they end, and
what they do with memory that is free inside them.

This module imports only the standard library, because a child that reads untrusted bytes starts without site packages.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
from collections.abc import Mapping
from typing import Final

SAFE_PATH: Final = {"PYTHONSAFEPATH": "1"}
"""With this environment, Python and every Python that it starts import nothing from the current directory."""

_PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h
_M_ARENA_MAX: Final = -8  # malloc.h of glibc


def python_module(module: str, *arguments: str, options: tuple[str, ...] = ()) -> list[str]:
    """The command line that runs a module of ours. `-P`: no file in the current directory can take a module's name."""
    return [sys.executable, "-P", *options, "-m", module, *arguments]


def use_safe_path() -> None:
    """Call it at the start of a console script: Python interpreters that this process starts get `SAFE_PATH`."""
    os.environ.update(SAFE_PATH)


def die_with_parent() -> None:
    """Call it in the child: on Linux the kernel then kills it when its parent ends.

    SIGKILL is right, because no process is left that could stop the child in order: jobs have leases, and Redis has
    written what it confirmed. On other systems Ctrl-C and SIGTERM end the children.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def limit_resources(limits: Mapping[int, int]) -> None:
    """Set the soft and hard limits of this process permanently. A lower hard limit that exists already stays.

    limits: resource (`resource.RLIMIT_…`) → highest value.
    """
    for what, wanted in limits.items():
        hard = resource.getrlimit(what)[1]
        limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(what, (limit, limit))


def limit_heaps(number: int) -> None:
    """Call it before threads start. glibc would give threads up to eight heaps per core, and none of them can use what
    is free in another. No effect with another C library."""
    if limit := getattr(ctypes.CDLL(None), "mallopt", None):
        limit(_M_ARENA_MAX, number)


def return_free_memory() -> None:
    """Give what is free in the heaps back to the system: glibc keeps most of it. No effect with another C library."""
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
        trim(0)
