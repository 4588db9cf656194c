"""The child process of one attempt: it is started, listened to and stopped here.

The child knows neither Redis nor the store, so it can be killed at any moment.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterable
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import Cancelled, VireoError
from core.processes import SAFE_PATH
from core.records import Progress
from worker.children.channel import ChannelClosed
from worker.children.fork_server import ForkServer
from worker.children.messages import Message, parse_message
from worker.jobs.attempt import Interrupted
from worker.jobs.cancellation import CancelToken
from worker.jobs.reporter import Reporter
from worker.training.job.checkpoint_uploads import CheckpointUploads
from worker.training.job.run_metrics import RunMetrics
from worker.training.spec import RunSpec

GRACE_SECONDS = 4.0  # from SIGTERM to SIGKILL; a job must stop within five seconds
SPEC = "spec.json"
FORK_SERVER = "worker.training.process.fork_server"
LOAD_SECONDS = 600.0  # until the fork server has loaded torch, on the busiest machine

# Decode children and arithmetic share the cores. OpenMP threads that spin while they wait take the time of the thread
# that they wait for: up to 50 times slower on a busy machine of 2 cores.
PASSIVE_THREADS = {"OMP_WAIT_POLICY": "PASSIVE"}


@dataclass(frozen=True, slots=True)
class Callbacks:
    """What the parent does for its child."""

    store_checkpoint: Callable[[Path], None]
    claim_version: Callable[[], int]


def start_fork_server() -> ForkServer:
    """It loads when the first run needs it, and stays: each later run starts in milliseconds."""
    return ForkServer(FORK_SERVER, PASSIVE_THREADS | os.environ | SAFE_PATH, LOAD_SECONDS)


class ChildProcess:
    def __init__(
        self,
        server: ForkServer,
        spec: RunSpec,
        token: CancelToken,
        reporter: Reporter,
        callbacks: Callbacks,
        metrics: RunMetrics,
    ) -> None:
        self._server, self._spec, self._token, self._reporter = server, spec, token, reporter
        self._callbacks, self._metrics = callbacks, metrics
        self._uploads = CheckpointUploads(callbacks.store_checkpoint, reporter, token)
        self._result: dict[str, Any] | None = None
        self._error: VireoError | None = None

    def run(self) -> dict[str, Any]:
        """Wait for the child's result. Raises: VireoError, Superseded, Interrupted."""
        path = self._spec.scratch / SPEC
        path.write_text(self._spec.model_dump_json(), encoding="utf-8")
        try:
            # The uploads end last: they wait until the newest checkpoint is in the store.
            with self._uploads, ExitStack() as started:
                with self._token.on_cancel(self._server.kill):  # it may be loading
                    child = started.enter_context(closing(_Child(self._server, path)))
                started.callback(self._metrics.end)
                with self._token.on_cancel(child.terminate):
                    self._listen(child.output)
                    status = child.wait()
        except ChannelClosed:
            raise self._cancelled() if self._token.cancelled else Interrupted("its fork server died") from None
        except Cancelled:
            raise self._cancelled() from None
        return self._outcome(status)

    def _listen(self, lines: Iterable[str]) -> None:
        for line in lines:
            if message := parse_message(line):
                self._metrics.observe(message)
                self._handle(message)

    def _handle(self, message: Message) -> None:
        """Raises: Superseded, redis.RedisError."""
        name, data = message["name"], message["data"]
        match name:
            case "progress":
                self._reporter.progress(Progress.model_validate(data))
            case "checkpoint":
                self._uploads.add(Path(data.pop("path")), data)
            case "ready":
                number = self._callbacks.claim_version()
                self._reporter.progress(Progress(phase="publishing"))
                part = self._spec.number.with_suffix(".part")
                part.write_text(str(number), encoding="utf-8")
                part.replace(self._spec.number)
            case "result":
                self._result = data
            case "gpu_memory":
                pass  # a metric and no event
            case "error":
                self._error = VireoError.from_dict(data)
            case _:
                self._reporter.event(name, data)

    def _outcome(self, status: int | None) -> dict[str, Any]:
        if self._error:
            raise self._error
        if self._result is None:  # killed: by the kernel for its memory, by a person, or by a crash in a library
            how = "when its fork server died" if status is None else f"with status {status}"
            raise Interrupted(f"its child ended {how}, without a result or an error")
        return self._result

    def _cancelled(self) -> Cancelled:
        resume = f"POST /v1/training-jobs/{self._spec.job}/resume continues from its checkpoint."
        return Cancelled("The run was cancelled.", hint=resume if self._spec.training else None)


class _Child:
    """The process itself. It belongs to one thread; another one may call `terminate`."""

    def __init__(self, server: ForkServer, spec: Path) -> None:
        """Raises: ChannelClosed."""
        self._server = server
        self._lock = threading.Lock()
        self._ended = False
        reading, writing = os.pipe()
        self.output = open(reading, encoding="utf-8")  # noqa: PTH123, SIM115 - a descriptor; `close` closes it
        try:
            self._pid = server.fork(str(spec), writing)
        except ChannelClosed:
            self.output.close()
            raise
        finally:
            os.close(writing)

    def terminate(self) -> None:
        """SIGTERM, so that the child writes a checkpoint; SIGKILL after the grace period."""
        self._send(signal.SIGTERM)
        timer = threading.Timer(GRACE_SECONDS, self._send, [signal.SIGKILL])
        timer.daemon = True
        timer.start()

    def wait(self) -> int | None:
        """→ its exit status; None if that is not known, because the fork server died."""
        status = self._server.wait(self._pid)
        with self._lock:
            self._ended = True
        return status

    def close(self) -> None:
        if not self._ended:
            self._send(signal.SIGKILL)
            self.wait()
        self.output.close()

    def _send(self, number: int) -> None:
        with self._lock, suppress(ProcessLookupError):
            if not self._ended:  # then the number may be another process's
                os.kill(self._pid, number)
