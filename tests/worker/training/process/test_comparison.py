"""Two models on the same held-out clips, as they are served, without the clips that one of them has learned from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from core.datasets import Dataset
from core.errors import InvalidRequest
from core.training_requests import ComparisonRequest
from tests.models.conftest import CPU
from tests.worker.training.process.runs import spec_of, train
from tests.worker.training.process.test_evaluation import evaluated
from worker.decoding.pool import DecodePool
from worker.training.process.comparison import run_comparison
from worker.training.run.stop import Stop
from worker.training.run.world import World


@pytest.fixture(scope="module")
def version(home: Path, dataset: Dataset, pool: DecodePool, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """It reads other frames than the base."""
    scratch = tmp_path_factory.mktemp("compared")
    train(home, dataset, scratch, pool, epochs=None, batch_size=None, frames=4)
    return scratch / "output"


def right(output: Path) -> int:
    lines = [json.loads(line) for line in (output / "predictions.jsonl").read_text().splitlines()]
    return sum(line["given"] == line["true"] for line in lines)


def test_both_are_judged_as_they_are_served(
    home: Path,
    dataset: Dataset,
    tmp_path: Path,
    pool: DecodePool,
    version: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    request = ComparisonRequest(candidate="scenes:1", standing="tiny", dataset=dataset.id)
    spec = spec_of(home, dataset, tmp_path / "a", comparison=request)
    seen = frozenset({dataset.of("val")[0].sha256})
    spec = spec.model_copy(update={"model": "scenes:1", "version": version, "trained_on": seen})

    def compared(**changes: Any) -> dict[str, Any]:
        run_comparison(spec.model_copy(update=changes), request, World(0, 1, CPU), pool, Stop())
        messages = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        found: dict[str, Any] = [message["data"] for message in messages if message["name"] == "result"][-1]
        return found

    found = compared(trained_on=frozenset())
    assert (found["candidate"], found["standing"], found["clips"]) == ("scenes:1", "tiny", 4)
    assert found["candidate_top1"] == right(version) / 4
    assert found["standing_top1"] == right(evaluated(home, dataset, tmp_path / "b", pool)) / 4
    fewer = compared()
    assert fewer["clips"] == 3
    assert "Not counted: 1 clips" in fewer["sentence"]
    with pytest.raises(InvalidRequest, match="has learned from all"):
        compared(trained_on=frozenset(item.sha256 for item in dataset.items))
