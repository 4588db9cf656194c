"""What all processes that Vireo starts have in common: how Python is called, what they may use, when they end.

The standard library is enough here: a child that reads untrusted bytes starts without site packages.
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
"""Environment in which Python imports nothing from the current directory, in this process's children too."""

_PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h


def python_module(module: str, *arguments: str, options: tuple[str, ...] = ()) -> list[str]:
    """The command line that runs a module of ours. `-P`: no file in the current directory can take a module's name."""
    return [sys.executable, "-P", *options, "-m", module, *arguments]


def use_safe_path() -> None:
    """Call it at the start of a console script: Python interpreters that this process starts get `SAFE_PATH`."""
    os.environ.update(SAFE_PATH)


def die_with_parent() -> None:
    """Call it in the child: on Linux the kernel then kills it when its parent ends.

    SIGKILL is right, since nobody is left to stop the child in order: jobs have leases, and Redis has written what it
    confirmed. Elsewhere Ctrl-C and SIGTERM end the children.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def limit_resources(limits: Mapping[int, int]) -> None:
    """Set soft and hard limits of this process for good. `limits`: resource (`resource.RLIMIT_…`) → highest value; a
    lower hard limit that is set already stays."""
    for what, wanted in limits.items():
        hard = resource.getrlimit(what)[1]
        limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(what, (limit, limit))
