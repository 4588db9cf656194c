"""The child processes of `vireo up`: started in their own sessions, restarted when they die, never orphaned."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from core.processes import die_with_parent

LONGEST_PAUSE = 15.0  # seconds before a process that keeps dying is started again
HEALTHY_AFTER = 20.0  # seconds: a process that ran longer is started again at once


@dataclass(slots=True)
class Child:
    """One supervised process. `stop_timeout`: seconds between SIGTERM and SIGKILL."""

    name: str
    command: list[str]
    log_path: Path
    environment: dict[str, str]
    stop_timeout: float
    _process: subprocess.Popen[bytes] | None = None
    _log: IO[bytes] | None = None
    _started: float = 0.0
    _restarts: int = 0
    _restart_at: float = 0.0

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    @property
    def exit_code(self) -> int | None:
        """None while the process runs."""
        return self._process.poll() if self._process else None

    def start(self) -> None:
        """Start the process; its output is appended to the log."""
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        self._log = self.log_path.open("ab")
        self._started = time.monotonic()
        self._process = subprocess.Popen(
            self.command,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            env=os.environ | self.environment,
            start_new_session=True,  # Ctrl-C reaches only the supervisor, which then stops its children in order
            preexec_fn=die_with_parent,
        )

    def restart_when_due(self) -> bool:
        """Start a process that died again once its pause is over, which grows while it keeps dying young. Returns
        whether it was started."""
        now = time.monotonic()
        if self._restart_at == 0.0:
            self._restarts = 0 if now - self._started > HEALTHY_AFTER else self._restarts + 1
            pause = min(LONGEST_PAUSE, 0.5 * 2**self._restarts) if self._restarts else 0.0
            self._restart_at = now + pause
        if now < self._restart_at:
            return False
        self._close_log()
        self._restart_at = 0.0
        self.start()
        return True

    def terminate(self) -> None:
        """Send SIGTERM without waiting."""
        if self._process and self._process.poll() is None:
            self._process.terminate()

    def stop(self) -> None:
        """Send SIGTERM and wait; then send SIGKILL to the process and to everything that it started."""
        process = self._process
        if process is None:
            return
        if process.poll() is None:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(self.stop_timeout)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)  # its process group: nothing else is in it
        process.wait()
        self._close_log()

    def last_log_lines(self, count: int = 12) -> str:
        """The end of the log."""
        with contextlib.suppress(OSError):
            return "\n".join(self.log_path.read_text(errors="replace").splitlines()[-count:])
        return ""

    def _close_log(self) -> None:
        if self._log:
            self._log.close()
            self._log = None
