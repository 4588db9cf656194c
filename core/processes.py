"""What every process that Vireo starts has in common: it does not outlive the one that started it."""

from __future__ import annotations

import ctypes
import signal
import sys

_PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """On Linux the kernel ends a child whose parent was killed; elsewhere Ctrl-C and SIGTERM are what there is.

    At once, since nobody is left to stop it in order: jobs have leases, and Redis has written what it confirmed.
    To be called in the child; it counts from then on.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
