"""The child process of one attempt: it is started, listened to and stopped here.

The child knows neither Redis nor the store, so it can be killed at any moment.
"""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import Cancelled, VireoError
from core.processes import SAFE_PATH, python_module
from core.records import Progress
from worker.children.messages import Message, parse_message
from worker.jobs.attempt import Interrupted
from worker.jobs.cancellation import CancelToken
from worker.jobs.reporter import Reporter
from worker.training.job.checkpoint_uploads import CheckpointUploads
from worker.training.job.run_metrics import RunMetrics
from worker.training.spec import RunSpec

GRACE_SECONDS = 4.0  # from SIGTERM to SIGKILL; a job must stop within five seconds
SPEC = "spec.json"
TRAINING_CHILD = "worker.training.process.training_child"

# Decode children and arithmetic share the cores. OpenMP threads that spin while they wait take the time of the thread
# that they wait for: up to 50 times slower on a busy machine of 2 cores.
PASSIVE_THREADS = {"OMP_WAIT_POLICY": "PASSIVE"}


@dataclass(frozen=True, slots=True)
class Callbacks:
    """What the parent does for its child."""

    store_checkpoint: Callable[[Path], None]
    claim_version: Callable[[], int]


class ChildProcess:
    def __init__(
        self, spec: RunSpec, token: CancelToken, reporter: Reporter, callbacks: Callbacks, metrics: RunMetrics
    ) -> None:
        self._spec, self._token, self._reporter = spec, token, reporter
        self._callbacks, self._metrics = callbacks, metrics
        self._uploads = CheckpointUploads(callbacks.store_checkpoint, reporter, token)
        self._result: dict[str, Any] | None = None
        self._error: VireoError | None = None

    def run(self) -> dict[str, Any]:
        """Wait for the child's result. Raises: VireoError, Superseded, Interrupted."""
        path = self._spec.scratch / SPEC
        path.write_text(self._spec.model_dump_json(), encoding="utf-8")
        command = python_module(TRAINING_CHILD, str(path))
        environment = PASSIVE_THREADS | os.environ | SAFE_PATH
        try:
            # The uploads end last: they wait until the newest checkpoint is in the store.
            with (
                self._uploads,
                subprocess.Popen(
                    command, stdout=subprocess.PIPE, text=True, encoding="utf-8", env=environment
                ) as process,
            ):
                try:
                    with self._token.on_cancel(lambda: _terminate(process)):
                        self._listen(process)
                        process.wait()
                finally:
                    process.kill()
                    self._metrics.end()
        except Cancelled:
            raise _cancelled(self._spec) from None
        return self._outcome(process.returncode)

    def _listen(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
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
            case "error":
                self._error = VireoError.from_dict(data)
            case _:
                self._reporter.event(name, data)

    def _outcome(self, status: int) -> dict[str, Any]:
        if self._error:
            raise self._error
        if self._result is None:  # killed: by the kernel for its memory, by a person, or by a crash in a library
            raise Interrupted(f"its child ended with status {status} without a result or an error")
        return self._result


def _terminate(process: subprocess.Popen[str]) -> None:
    """SIGTERM, so that the child writes a checkpoint; SIGKILL after the grace period."""
    process.terminate()
    timer = threading.Timer(GRACE_SECONDS, process.kill)
    timer.daemon = True
    timer.start()


def _cancelled(spec: RunSpec) -> Cancelled:
    resume = f"POST /v1/training-jobs/{spec.job}/resume continues from its checkpoint." if spec.training else None
    return Cancelled("The run was cancelled.", hint=resume)
