"""A new version is compared with the base, and with the version that the alias points to, on the same clips."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from core.datasets import Dataset
from core.registry import Card
from core.settings import Settings
from core.training_requests import TrainingRequest
from tests.models.conftest import CPU
from tests.worker.training.process.runs import spec_of, train
from worker.decoding.pool import DecodePool, DecodeTask
from worker.training.process.session import run_training
from worker.training.run.stop import Stop
from worker.training.run.world import World


def test_a_version_is_compared_with_the_base_and_with_the_standing_version(
    home: Path, dataset: Dataset, tmp_path: Path, pool: DecodePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    options: dict[str, Any] = {"epochs": None, "batch_size": None, "promote": "production"}
    first, _ = train(home, dataset, tmp_path / "first", pool, **options, frames=4)
    alone: dict[str, Any] = first.metrics["promotion"]
    assert [found["standing"] for found in alone["comparisons"]] == ["tiny before training"]
    assert alone["standing"] is None
    assert not alone["promoted"]  # four clips tell nothing
    assert "cannot be told apart" in alone["reason"]

    # It sees twice as many frames, and the standing version is asked with its own.
    request = TrainingRequest(name="scenes", dataset=dataset.id, base="tiny", promote="production", frames=8)
    spec = spec_of(home, dataset, tmp_path / "second", training=request)
    anew = Settings(data_dir=home, feature_bytes=0)  # so that all clips are decoded
    spec = spec.model_copy(update={"standing": (1, tmp_path / "first" / "output"), "settings": anew})
    seen: set[int] = set()
    submit = pool.submit

    def counted(path: Path, **options: Any) -> DecodeTask:
        seen.add(options["frames"])
        return submit(path, **options)

    monkeypatch.setattr(pool, "submit", counted)
    run_training(spec, request, World(0, 1, CPU), pool, Stop())
    second = Card.model_validate_json((spec.output / "card.json").read_text())
    found = second.metrics["promotion"]
    assert found["standing"] == 1
    against = found["comparisons"][1]
    assert (against["standing"], against["clips"]) == ("scenes:1", 4)
    assert seen == {4, 8}
    assert against["standing_top1"] == first.metrics["views"]["1x1"]["top1"]
    assert against["candidate_top1"] == second.metrics["views"]["1x1"]["top1"]
    assert '"before":' in (spec.output / "predictions.jsonl").read_text()
