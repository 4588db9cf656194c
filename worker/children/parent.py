"""The parent of a worker process. It imports what the worker needs once, starts the worker by a fork, which takes
milliseconds, and starts another one when that dies. One that is frozen is killed: a deadlock in native code that holds
Python's lock stops every thread, so the worker itself can neither notice it nor end.

It has no threads, and touches neither a GPU nor Redis: all of that would be broken in its children.
"""

from __future__ import annotations

import gc
import logging
import mmap
import os
import secrets
import select
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType
from typing import Final

from prometheus_client import multiprocess

from core.processes import die_with_parent

log = logging.getLogger(__name__)

LONGEST_PAUSE: Final = 15.0  # seconds before a worker that keeps dying is started again
HEALTHY_AFTER: Final = 5.0  # seconds: a worker that ran longer is started again at once
_PULSE_SECONDS: Final = 5.0  # between two signs of life
_SILENT_SECONDS: Final = 30.0
_SILENCES: Final = 2  # so many times so long without a sign, and the worker counts as frozen
_ANNOUNCED_SECONDS: Final = 2.0  # that the announcer goes on, until the worker announces itself

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)


@dataclass(frozen=True, slots=True)
class Life:
    """One start of the worker. No other start has the same `name`."""

    name: str
    died: str | None = None
    """The start before, if it was killed: nobody else holds its jobs any more."""


def become_worker(load: Callable[[], None], announce: Callable[[], None]) -> Life:
    """Returns in each worker process, where the caller goes on. The parent stays in here. It starts another worker when
    a signal has killed one, and exits with the status of a worker that ended by itself.

    `load`: imports. `announce`: tells users meanwhile, in a process of its own, that the worker loads; it ends soon
    after SIGTERM.
    """
    announcer = _fork(announce)
    gc.disable()  # to look for garbage again and again among what is imported takes a tenth of the time
    load()
    gc.freeze()  # what is loaded stays shared memory: the collector of a child does not touch it
    gc.enable()
    parent = _Parent(announcer)
    life = Life(secrets.token_hex(4))
    while not parent.start():
        began = time.monotonic()
        status = parent.wait()
        if parent.stopping or status >= 0:
            sys.exit(status if status >= 0 else 128 - status)
        parent.pause(began)
        log.warning("signal %d killed the worker process: it is started again", -status)
        life = Life(secrets.token_hex(4), died=life.name)
    return life


class _Parent:
    def __init__(self, announcer: int) -> None:
        self.stopping = False
        self._worker = 0
        self._pulse = mmap.mmap(-1, 1)  # shared with the worker, which counts its signs of life here
        self._announcer = announcer
        self._deaths = 0
        for number in _SIGNALS:
            signal.signal(number, self._pass_on)
        # A pidfd would tell of the worker's end too, but neither macOS nor every sandbox has one.
        signal.signal(signal.SIGCHLD, _note)
        self._signalled, written = os.pipe()
        os.set_blocking(written, False)
        signal.set_wakeup_fd(written, warn_on_full_buffer=False)

    def start(self) -> bool:
        """Whether this is the new process."""
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        self._worker = os.fork()
        if not self._worker:
            _begin_child()
            threading.Thread(target=_beat, args=(self._pulse,), name="pulse", daemon=True).start()
            return True
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        if self._announcer:
            os.kill(self._announcer, signal.SIGTERM)
            self._announcer = 0
        return False

    def wait(self) -> int:
        """The worker's exit status, negative for a signal. Other children may end meanwhile."""
        pid, ended = self._worker, None
        while ended is None:
            self._watch()
            ended = self._reap()
        self._worker = 0
        if metrics := os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
            multiprocess.mark_process_dead(pid, metrics)  # type: ignore[no-untyped-call]
        return os.waitstatus_to_exitcode(ended)

    def _watch(self) -> None:
        """Until a child has ended, or the worker has given a sign of life. A worker that gives none is killed after the
        second silence: a machine that was asleep finds the first one over when it wakes up."""
        heard = self._pulse[0]
        for _ in range(_SILENCES):
            signalled, _, _ = select.select([self._signalled], [], [], _SILENT_SECONDS)
            if signalled:
                os.read(self._signalled, 4096)
            if signalled or self._pulse[0] != heard:
                return
        log.error("the worker process has been frozen for %g seconds: it is killed", _SILENCES * _SILENT_SECONDS)
        os.kill(self._worker, signal.SIGKILL)

    def _reap(self) -> int | None:
        """The worker's wait status, if it has ended."""
        pid, ended = os.waitpid(-1, os.WNOHANG)
        while pid not in (0, self._worker):  # the announcer
            pid, ended = os.waitpid(-1, os.WNOHANG)
        return ended if pid else None

    def pause(self, began: float) -> None:
        """A growing time if it keeps dying; none if the last one did not die young."""
        self._deaths = 0 if time.monotonic() - began > HEALTHY_AFTER else self._deaths + 1
        if self._deaths:
            time.sleep(min(LONGEST_PAUSE, 0.25 * 2**self._deaths))

    def _pass_on(self, number: int, _: FrameType | None) -> None:
        self.stopping = True
        if not self._worker:
            sys.exit(0)
        if number != signal.SIGINT:  # Ctrl-C has reached the worker already: it goes to the whole group
            os.kill(self._worker, number)


def _fork(run: Callable[[], None]) -> int:
    pid = os.fork()
    if not pid:
        _begin_child()
        try:
            run()
        finally:
            os._exit(0)
    return pid


def _beat(pulse: mmap.mmap) -> None:
    while True:
        pulse[0] = (pulse[0] + 1) % 256
        time.sleep(_PULSE_SECONDS)


def _note(number: int, _: FrameType | None) -> None:
    """A signal without a handler would not reach the wakeup descriptor."""


def _begin_child() -> None:
    die_with_parent()
    signal.set_wakeup_fd(-1)
    for number in (*_SIGNALS, signal.SIGCHLD):
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)


def until_terminated() -> None:
    """Wait in the announcer until the worker runs."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    signal.sigwait({signal.SIGTERM})
    time.sleep(_ANNOUNCED_SECONDS)
