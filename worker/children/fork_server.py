"""The worker's side of a fork server, whose program calls `worker.children.fork_loop.serve`."""

from __future__ import annotations

import contextlib
import json
import logging
import subprocess
import threading
import time
from collections.abc import Mapping
from typing import Any

from core.processes import python_module
from worker.children.channel import Channel, ChannelClosed

log = logging.getLogger(__name__)

_MAX_ANSWER_BYTES = 1 << 16


class ForkServer:
    """One process, which several threads may use. It is started again if it has died."""

    def __init__(self, program: str, environment: Mapping[str, str], start_seconds: float) -> None:
        """program: its module; start_seconds: within which it must have loaded everything and started a child."""
        self._program, self._environment, self._start_seconds = program, environment, start_seconds
        self._lock = threading.Lock()
        self._control: Channel | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self.is_closed = False

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def launch(self) -> None:
        """It loads while the caller goes on. Nothing happens if it runs already."""
        with self._lock:
            self._launch()

    def fork(self, order: Any, *files: int) -> int:
        """→ the process id of a child. It stays the child's until `wait` or `reap`.

        order: JSON that the child gets, with copies of the open files. Raises: ChannelClosed if the server dies
        meanwhile, takes too long or was closed.
        """
        with self._lock:
            self._launch()
            return int(self._ask({"start": order}, files, self._start_seconds)["pid"])

    def wait(self, pid: int) -> int | None:
        """Wait for the end of a child. → its exit status, negative for a signal; None if the server has died."""
        with self._lock:
            try:
                return int(self._ask({"wait": pid})["status"])
            except ChannelClosed:
                return None

    def reap(self, pid: int) -> None:
        """Let go of a child that was killed."""
        with self._lock:
            if self._control:
                with contextlib.suppress(ChannelClosed):
                    self._control.send(json.dumps({"reap": pid}).encode())

    def kill(self) -> None:
        """End what another thread may be waiting for: the server and its children."""
        if process := self._process:
            process.kill()

    def close(self) -> None:
        """The server ends for good, and its children die with it."""
        with self._lock:
            self.is_closed = True
            self._end()

    def _launch(self) -> None:
        """Raises: ChannelClosed after `close`."""
        if self.is_closed:
            raise ChannelClosed
        if self._process:
            if self._process.poll() is None:
                return
            log.warning("%s has died: it is started again", self._program)
        self._end()
        self._control, theirs = Channel.pair()
        with theirs:
            self._process = subprocess.Popen(
                python_module(self._program, str(theirs.fileno())),
                env=self._environment,
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )

    def _ask(self, message: Any, files: tuple[int, ...] = (), seconds: float | None = None) -> Any:
        """Raises: ChannelClosed."""
        if self._control is None:
            raise ChannelClosed
        deadline = None if seconds is None else time.monotonic() + seconds
        try:
            self._control.send(json.dumps(message).encode(), files)
            return json.loads(self._control.receive(_MAX_ANSWER_BYTES, deadline))
        except (ChannelClosed, TimeoutError) as error:
            self._end()  # whatever it says later is no answer to the next question
            raise ChannelClosed from error

    def _end(self) -> None:
        if self._control:
            self._control.close()
            self._control = None
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None
