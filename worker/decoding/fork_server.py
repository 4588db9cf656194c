"""`python -m worker.decoding.fork_server FD`: starts decode children for a worker, each in milliseconds.

It has the decoding modules loaded and nothing else: neither the worker's memory nor its environment nor its open files.
It ends when the worker's end of the socket FD is closed, even by kill -9, and its children die with it.
"""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import signal
import socket
import sys
from typing import NoReturn

import av

from worker.decoding.channel import Channel, ChannelClosed, close_all
from worker.decoding.decode_child import ChildLimits, run_decode_child

_MAX_BYTES = 1 << 16
_LOADED_LATE = ("numpy.ma", "numpy.random", "PIL.ImageFile")
"""The libraries import these, and the parts of `av`, when they first need them. A confined child can import nothing."""


def main(descriptor: int) -> None:
    for name in (*_LOADED_LATE, *(module.name for module in pkgutil.walk_packages(av.__path__, "av."))):
        importlib.import_module(name)
    control = Channel(socket.socket(fileno=descriptor))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the worker
    while True:
        try:
            message, files = control.receive_with_files(_MAX_BYTES)
        except ChannelClosed:
            return
        command = json.loads(message)
        if "reap" in command:  # not before the worker says so: until then it may send signals to this process id
            os.waitpid(command["reap"], 0)
            continue
        pid = os.fork()
        if not pid:
            control.close()
            _become_child(files[0], ChildLimits(**command["start"]))
        close_all(files)
        control.send(json.dumps({"pid": pid}).encode())


def _become_child(descriptor: int, limits: ChildLimits) -> NoReturn:
    """Never returns into the loop of the fork server, whatever happens."""
    try:
        nothing = os.open(os.devnull, os.O_RDWR)
        for standard in (0, 1, 2):  # the log of the worker is not for a decoder to write
            os.dup2(nothing, standard)
        os.close(nothing)
        run_decode_child(Channel(socket.socket(fileno=descriptor)), limits)
    finally:
        os._exit(0)


if __name__ == "__main__":
    main(int(sys.argv[1]))
