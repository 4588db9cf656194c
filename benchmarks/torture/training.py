"""`python -m benchmarks.torture.training`: training runs that are killed at 20 random moments end in one version each,
with the weights of a run that nobody disturbed.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx2
import torch

from benchmarks.report import Row, report
from tests import tiny
from tests.e2e.runs import (
    LONG,
    continued,
    finished,
    job,
    start,
    train,
    training_children,
    upload,
    weights,
    zip_of_scenes,
)
from tests.e2e.stack import Stack, running

PER_RUN: Final = 2  # kills, at most: a run that dies three times without a checkpoint between fails, and is meant to
ENVIRONMENT: Final = {"VIREO_MODEL": "tiny", "OMP_NUM_THREADS": "1", "VIREO_LEASE_SECONDS": "4"}


@dataclass(frozen=True, slots=True)
class Killed:
    """A run that was killed `kills` times."""

    kills: int
    state: str
    versions: int
    continuations: int
    difference: float
    """The largest between its weights and those of the undisturbed run."""


def main() -> bool:
    options = _options()
    chance = random.Random(options.seed)
    with tempfile.TemporaryDirectory(prefix="vireo-torture-") as folder:
        tiny.place(Path(folder) / "data")
        with running(Path(folder) / "data", ENVIRONMENT) as stack, stack.http() as http:
            dataset = upload(http, zip_of_scenes(Path(folder)))
            began = time.monotonic()
            train(http, dataset, "calm", **LONG)
            seconds = time.monotonic() - began
            runs: list[Killed] = []
            while (left := options.kills - sum(run.kills for run in runs)) > 0:
                kills = min(PER_RUN, left)
                runs.append(_killed(stack, http, dataset, f"killed-{len(runs)}", kills, seconds, chance))
    return _report(runs, seconds, options.seed)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.torture.training")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def _killed(
    stack: Stack, http: httpx2.Client, dataset: str, name: str, kills: int, seconds: float, chance: random.Random
) -> Killed:
    """`seconds`: that an undisturbed run takes."""
    job_id = start(http, dataset, name, **LONG)
    done = 0
    while done < kills:
        time.sleep(chance.uniform(0.0, seconds))
        if job(http, job_id)["state"] not in ("queued", "running"):
            break
        done += _kill(stack, chance)
    ended = job(http, job_id)
    with suppress(AssertionError):
        ended = finished(http, job_id, seconds=300)
    versions = http.get(f"/v1/models/{name}")
    found = len(versions.json()["versions"]) if versions.status_code == 200 else 0
    state = str(job(http, job_id)["state"])
    difference = _difference(stack, f"{name}:1") if found else float("inf")
    print(
        f"{name}: killed {done} times, {state}, attempts {ended['attempts']}, largest difference {difference}",
        flush=True,
    )
    return Killed(done, state, found, len(continued(http, job_id)), difference)


def _kill(stack: Stack, chance: random.Random) -> bool:
    """Kill the worker, or the child that trains. Whether there was one."""
    try:
        found = [stack.worker("training")] if chance.random() < 0.5 else training_children(stack)
        os.kill(chance.choice(found), signal.SIGKILL)
    except (ValueError, IndexError, ProcessLookupError):  # it has just been killed, and is being started again
        return False
    return True


def _difference(stack: Stack, model: str) -> float:
    calm, other = weights(stack, "calm:1"), weights(stack, model)
    assert calm.keys() == other.keys()
    return max(float((calm[name].float() - other[name].float()).abs().max()) for name in calm if calm[name].numel())


def _report(runs: list[Killed], seconds: float, seed: int) -> bool:
    whole = sum(run.state == "succeeded" and run.versions == 1 for run in runs)
    largest = max(run.difference for run in runs)
    return report(
        "torture_training",
        [
            Row("seed", seed, ""),
            Row("an undisturbed run", seconds, "s"),
            Row("kills", sum(run.kills for run in runs), ""),
            Row("runs that continued from a checkpoint", sum(run.continuations for run in runs), "×"),
            Row("runs with exactly one version", whole, "", f"all {len(runs)}", whole == len(runs)),
            Row("largest difference of a weight", largest, "", "none", largest == 0.0),
            Row("threads of torch", torch.get_num_threads(), ""),
        ],
    )


if __name__ == "__main__":
    sys.exit(not main())
