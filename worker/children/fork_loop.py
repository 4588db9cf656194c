"""The program of a fork server: a process that has loaded what its children need, and starts each of them in
milliseconds. `worker.children.fork_server` is the worker's side.

It has nothing of the worker: neither its memory nor its open files.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import Callable
from typing import Any

from core.processes import die_with_parent
from worker.children.channel import Channel, ChannelClosed, close_all

_MAX_BYTES = 1 << 16


def serve(descriptor: int, run_child: Callable[[Any, list[int]], int]) -> None:
    """Start a child for each order that comes over the socket `descriptor`. The server ends when the worker's end is
    closed, even by kill -9, and its children die with it.

    run_child: the order and the open files that came with it → the child's exit status. It is called in the child.
    """
    control = Channel(socket.socket(fileno=descriptor))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the worker
    while True:
        try:
            message, files = control.receive_with_files(_MAX_BYTES)
        except ChannelClosed:
            os._exit(0)
        match json.loads(message):
            case {"reap": pid}:  # not before the worker says so: until then it may send signals to this process id
                with contextlib.suppress(ChildProcessError):  # a child of another server, which has died
                    os.waitpid(pid, 0)
            case {"wait": pid}:
                status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                control.send(json.dumps({"status": status}).encode())
            case {"start": order}:
                pid = os.fork()
                if not pid:
                    control.close()
                    die_with_parent()
                    sys.exit(run_child(order, files))
                close_all(files)
                control.send(json.dumps({"pid": pid}).encode())
