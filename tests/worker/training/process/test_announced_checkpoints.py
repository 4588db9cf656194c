"""A checkpoint that was announced belongs to the worker that uploads it: its file is never written again (T8)."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.worker.training.fit.test_loop import parts
from worker.training.fit.updates import State
from worker.training.process.follower import Follower


def test_no_two_checkpoints_have_the_same_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A run that is stopped right after a checkpoint saves at the same step again."""
    model, classifier = parts()
    run = SimpleNamespace(
        spec=SimpleNamespace(scratch=tmp_path),
        model=model,
        classifier=classifier,
        base=SimpleNamespace(digest="base"),
        config=SimpleNamespace(epochs=4),
        order=SimpleNamespace(per_epoch=2),
    )
    state = State()
    follower = Follower(cast(Any, run), cast(Any, ()), state, {})
    for step in (0, 2, 2, 3):
        state.step = step
        follower.save()
    announced = [json.loads(line)["data"] for line in capsys.readouterr().out.splitlines()]
    assert [(data["step"], data["epoch"]) for data in announced] == [(0, 0.0), (2, 1.0), (3, 1.5)]
    paths = [data["path"] for data in announced]
    assert len({*paths}) == 3
    assert sorted(paths) == sorted(map(str, tmp_path.iterdir()))
