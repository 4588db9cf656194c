"""One run, in a process of its own. For several processes, torchrun starts `python -m … SPEC`.

It may be killed at any moment. SIGTERM makes it write a checkpoint and stop after the current micro-batch.
"""

from __future__ import annotations

import logging
import os
import shutil
import sys
from pathlib import Path
from typing import NoReturn

from torch import OutOfMemoryError

from core.errors import StorageUnavailable, TrainingFailed, VireoError
from core.logs.belonging import belong_to
from core.logs.lines import configure_logs
from core.processes import SAFE_PATH, die_with_parent, python_module
from core.storage.failures import disk_is_full
from worker.children.messages import send_message
from worker.decoding.frame_cache import MAX_ENTRY_BYTES
from worker.decoding.pool import DecodePool
from worker.training.process.calibration import run_calibration
from worker.training.process.comparison import run_comparison
from worker.training.process.evaluation import run_evaluation
from worker.training.process.session import run_preview, run_training
from worker.training.result.protocol_report import report_protocol
from worker.training.run.stop import Stop, Stopped
from worker.training.run.world import join_world, leave_world, process_count
from worker.training.spec import RunSpec

log = logging.getLogger(__name__)

_FULL = 1 << 20  # bytes: a disk with less room is full
TORCHRUN_SECONDS = 10.0  # at most, until torchrun has noticed that a process died and stops the others


def main(path: Path) -> int:
    """path: of the run's specification. → the exit status."""
    stop = Stop()
    stop.install()
    spec = RunSpec.read(path)
    configure_logs(spec.settings)
    logging.getLogger().setLevel(logging.WARNING)  # open_clip logs there
    logging.getLogger("worker").setLevel(spec.settings.log_level.upper())
    belong_to(spec.job, spec.request_id)
    try:
        _start(spec, path, stop)
    except Stopped:
        return 0
    except VireoError as error:
        if stop.requested:  # an error that the stop itself caused
            return 0
        send_message("error", **error.to_dict())
        return 1
    except Exception as error:
        if _several_processes() and stop.wait(TORCHRUN_SECONDS):
            # Another process of the run died, and this one lost its connection. Without a message the run is started
            # again from its checkpoint.
            log.warning("%s lost another process of its run: %s", spec.job, error)
            return 1
        log.exception("%s failed", spec.job)
        send_message("error", **_failure(error, spec).to_dict())
        return 1
    return 0


def _start(spec: RunSpec, path: Path, stop: Stop) -> None:
    if spec.evaluation and spec.outcomes:
        report_protocol(spec, spec.evaluation)
        return
    if spec.training and "RANK" not in os.environ and (count := process_count(spec.settings)) > 1:
        _restart_under_torchrun(path, count)
    world = join_world(spec.settings)
    decoders = max(1, spec.settings.decoders // world.size)
    with DecodePool.from_settings(spec.settings, decoders, MAX_ENTRY_BYTES) as pool:
        stop.on_request(pool.close)
        if spec.training:
            run_training(spec, spec.training, world, pool, stop)
        elif spec.preview:
            run_preview(spec, spec.preview, world, pool, stop)
        elif spec.evaluation:
            run_evaluation(spec, spec.evaluation, world, pool, stop)
        elif spec.comparison:
            run_comparison(spec, spec.comparison, world, pool, stop)
        elif spec.calibration:
            run_calibration(spec, spec.calibration, world, pool, stop)
    leave_world(world)


def _several_processes() -> bool:
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def _restart_under_torchrun(path: Path, count: int) -> NoReturn:
    """Replace this process by torchrun, which starts `count` processes. Each of them runs `main`, with its rank in the
    environment."""
    launcher = python_module("torch.distributed.run", "--standalone", f"--nproc-per-node={count}", "-m", __spec__.name)
    os.execve(sys.executable, [*launcher, str(path)], os.environ | SAFE_PATH)  # noqa: S606


def _failure(error: Exception, spec: RunSpec) -> VireoError:
    if disk_is_full(error) or shutil.disk_usage(spec.scratch).free < _FULL:  # torch says only "unexpected pos"
        again = f"POST /v1/training-jobs/{spec.job}/resume then continues from the last checkpoint."
        return StorageUnavailable(
            "The disk of the training worker is full.",
            hint=f"Make room there. {again}" if spec.training else "Make room there, then send the request again.",
        )
    if isinstance(error, OutOfMemoryError):
        return TrainingFailed(
            "The GPU's memory is too small for one forward and backward pass.",
            hint="Lower micro_batch or frames, or set gradient_checkpointing.",
        )
    return TrainingFailed(
        "An unexpected error ended the run.", hint=f"The training worker's log has the details; look for {spec.job}."
    )


if __name__ == "__main__":
    die_with_parent()  # torchrun's agent
    sys.exit(main(Path(sys.argv[1])))
