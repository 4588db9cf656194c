"""Whole runs, in this process or in several."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from core.datasets import Dataset
from core.registry import Card
from core.settings import Settings
from core.training_requests import TrainingRequest
from models.files.versions import open_version
from models.recognition.base import Base
from tests.models.conftest import CPU
from tests.worker.training.ranks import run_in_processes
from worker.decoding.pool import DecodePool
from worker.training.process.session import run_training
from worker.training.run.stop import Stop
from worker.training.run.world import World, join_world, leave_world
from worker.training.spec import RunSpec

LABELS = ("bars", "cells", "dots", "lines")


def spec_of(home: Path, dataset: Dataset, scratch: Path, **requests: Any) -> RunSpec:
    (scratch / "output").mkdir(parents=True, exist_ok=True)
    (scratch / "number").write_text("1")
    return RunSpec(
        job="job_test",
        model="tiny",
        version=None,
        dataset=dataset,
        clips=home / "clips",
        checkpoint=None,
        scratch=scratch,
        frames=scratch / "frames",
        settings=Settings(data_dir=home),
        **({"training": None, "evaluation": None} | requests),
    )


def train(home: Path, dataset: Dataset, scratch: Path, pool: DecodePool, **options: Any) -> tuple[Card, Base]:
    fields = {"name": "scenes", "dataset": dataset.id, "base": "tiny", "epochs": 1, "batch_size": 4} | options
    request = TrainingRequest.model_validate(fields)
    spec = spec_of(home, dataset, scratch, training=request).model_copy(update={"model": request.base})
    run_training(spec, request, World(0, 1, CPU), pool, Stop())
    card = Card.model_validate_json((spec.output / "card.json").read_text())
    return card, open_version(spec.output, data_dir=home, progress=lambda *_: None)


def train_in_processes(specs: Sequence[RunSpec], size: int) -> None:
    """One training after the other, each in the same `size` processes."""
    run_in_processes(_train_rank, size, [spec.model_dump_json() for spec in specs])


def _train_rank(rank: int, texts: Sequence[str]) -> None:
    specs = [RunSpec.model_validate_json(text) for text in texts]
    world = join_world(specs[0].settings)
    with (
        Path(os.devnull).open("w") as nowhere,
        contextlib.redirect_stdout(nowhere),
        DecodePool(1, 60.0, 2 << 30, 1 << 24, 60.0) as pool,
    ):
        for spec in specs:
            assert spec.training is not None
            run_training(spec, spec.training, world, pool, Stop())
    leave_world(world)
