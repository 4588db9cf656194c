"""`python -m worker.training.process.training_child SPEC`: one run, in a process of its own (or several, by torchrun).

It may be killed at any moment. SIGTERM makes it stop after the micro-batch in hand, with a checkpoint. Decode children
import this module again (that is how Python starts them), so it imports torch only where it is needed.
"""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import TrainingFailed, VireoError
from core.processes import SAFE_PATH, die_with_parent, python_module
from core.settings import Settings
from worker.children.messages import send_message
from worker.decoding.pool import DecodePool
from worker.training.run.stop import Stop, Stopped
from worker.training.spec import Spec

if TYPE_CHECKING:
    from worker.training.run.world import World

log = logging.getLogger(__name__)


def main() -> int:
    die_with_parent()
    stop = Stop()
    stop.listen()
    path = Path(sys.argv[1])
    spec = Spec.read(path)
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("worker").setLevel(spec.settings.log_level.upper())  # open_clip tells its life on the root logger
    try:
        _start(spec, path, stop)
    except Stopped:
        return 0
    except VireoError as error:
        if stop.asked:  # what broke off because of that is no error
            return 0
        send_message("error", **error.to_dict())
        return 1
    except Exception as error:
        log.exception("%s failed", spec.job)
        send_message("error", **_explain(error, spec).to_dict())
        return 1
    return 0


def _start(spec: Spec, path: Path, stop: Stop) -> None:
    from worker.training.process import evaluation, session
    from worker.training.run.world import join, leave, processes

    if spec.training and "RANK" not in os.environ and (count := processes(spec.settings)) > 1:
        _become_several(path, count)
    world = join(spec.settings)
    with _decoders(spec.settings, world) as pool:
        stop.ends(pool.close)
        if spec.training:
            session.run(spec, spec.training, world, pool, stop)
        elif spec.evaluation:
            evaluation.run(spec, spec.evaluation, world, pool, stop)
    leave(world)


def _become_several(path: Path, count: int) -> None:
    """Each of them comes through `main` again, with its rank in the environment."""
    launcher = python_module("torch.distributed.run", "--standalone", f"--nproc-per-node={count}", "-m", __spec__.name)
    os.execve(sys.executable, [*launcher, str(path)], os.environ | SAFE_PATH)  # noqa: S606


def _decoders(settings: Settings, world: World) -> DecodePool:
    return DecodePool(
        processes=max(1, settings.decode_processes // world.size),
        deadline_s=settings.decode_deadline,
        memory_bytes=settings.decode_memory,
        max_pixels=settings.max_video_pixels,
        max_seconds=settings.max_video_seconds,
    )


def _explain(error: Exception, spec: Spec) -> TrainingFailed:
    from torch import OutOfMemoryError

    if isinstance(error, OutOfMemoryError):
        return TrainingFailed(
            "The GPU's memory does not hold one forward and backward pass.",
            hint="Lower micro_batch or frames, or set gradient_checkpointing.",
        )
    return TrainingFailed(
        "Something went wrong in the run.", hint=f"The training worker's log has the details, below {spec.job}."
    )


if __name__ == "__main__":
    sys.exit(main())
