"""`python -m worker.decoding.fork_server FD`: starts decode children for a worker.

It has the decoding modules loaded and nothing else, and a clean environment.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
import socket
import sys
from typing import Any, NoReturn

import av

from worker.children.channel import Channel
from worker.children.fork_loop import serve
from worker.decoding.decode_child import ChildLimits, run_decode_child

_LOADED_LATE = ("numpy.ma", "numpy.random", "PIL.ImageFile")
"""The libraries import these, and the parts of `av`, when they first need them. A confined child can import nothing."""


def load() -> None:
    for name in (*_LOADED_LATE, *(module.name for module in pkgutil.walk_packages(av.__path__, "av."))):
        importlib.import_module(name)


def run_child(limits: dict[str, Any], files: list[int]) -> NoReturn:
    """Never returns into the loop of the fork server, whatever happens."""
    try:
        nothing = os.open(os.devnull, os.O_RDWR)
        for standard in (0, 1, 2):  # the log of the worker is not for a decoder to write
            os.dup2(nothing, standard)
        os.close(nothing)
        run_decode_child(Channel(socket.socket(fileno=files[0])), ChildLimits(**limits))
    finally:
        os._exit(0)


if __name__ == "__main__":
    load()
    serve(int(sys.argv[1]), run_child)
