"""Child processes of `vireo up`: started apart from the terminal's signals, watched, restarted, and never orphaned."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from core.processes import die_with_parent

LONGEST_PAUSE = 15.0  # seconds between restarts of a process that keeps dying
HEALTHY_AFTER = 60.0  # seconds of life after which a restart counts as the first again


@dataclass(slots=True)
class Child:
    """One supervised process. `patience`: seconds from SIGTERM to SIGKILL."""

    name: str
    command: list[str]
    log_path: Path
    environment: dict[str, str]
    patience: float
    _process: subprocess.Popen[bytes] | None = None
    _log: IO[bytes] | None = None
    _started: float = 0.0
    _restarts: int = 0
    _not_before: float = field(default=0.0)

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.poll() if self._process else None

    def start(self) -> None:
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        self._log = self.log_path.open("ab")
        self._started = time.monotonic()
        self._process = subprocess.Popen(
            self.command,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            env=os.environ | self.environment,
            start_new_session=True,  # Ctrl-C reaches the supervisor alone, which then stops the others in order
            preexec_fn=die_with_parent,
        )

    def revive(self) -> bool:
        """Start it again if it died and its pause is over; True if it was started."""
        now = time.monotonic()
        if self._not_before == 0.0:
            self._restarts = 0 if now - self._started > HEALTHY_AFTER else self._restarts + 1
            self._not_before = now + min(LONGEST_PAUSE, 0.5 * 2**self._restarts)
        if now < self._not_before:
            return False
        self._close_log()
        self._not_before = 0.0
        self.start()
        return True

    def ask_to_stop(self) -> None:
        """SIGTERM; `stop` waits."""
        if self._process and self._process.poll() is None:
            self._process.terminate()

    def stop(self) -> None:
        """SIGTERM, then after its patience SIGKILL to it and to everything it started."""
        process = self._process
        if process is None:
            return
        if process.poll() is None:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(self.patience)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)  # its own session: nothing of ours can be left in it
        process.wait()
        self._close_log()

    def last_words(self, lines: int = 12) -> str:
        """The end of its log."""
        with contextlib.suppress(OSError):
            return "\n".join(self.log_path.read_text(errors="replace").splitlines()[-lines:])
        return ""

    def _close_log(self) -> None:
        if self._log:
            self._log.close()
            self._log = None
