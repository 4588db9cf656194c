"""What a run measures about labels that it is not trained on: whose scores are compared, and with which rows of W."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from core.datasets import Dataset
from tests.worker.training.process.runs import train
from worker.decoding.pool import DecodePool
from worker.training.judging import probe
from worker.training.judging.scored import Scored
from worker.training.result import version


@pytest.mark.parametrize(
    ("module", "options"),
    [(probe, {"tune": "projection"}), (version, {"novel": ["dots", "lines"]})],
    ids=["probe", "held out"],
)
def test_a_run_that_learns_nothing_scores_every_label_as_its_base_does(
    home: Path,
    dataset: Dataset,
    tmp_path: Path,
    pool: DecodePool,
    monkeypatch: pytest.MonkeyPatch,
    module: ModuleType,
    options: dict[str, Any],
) -> None:
    pairs: list[tuple[Scored, Scored]] = []
    record = module.base_to_novel_record

    def noted(base: tuple[Scored, Scored], novel: tuple[Scored, Scored], *classes: Any, **how: Any) -> Any:
        pairs.extend((base, novel))
        return record(base, novel, *classes, **how)

    monkeypatch.setattr(module, "base_to_novel_record", noted)
    train(home, dataset, tmp_path, pool, learning_rate=1e-12, **options)
    assert len(pairs) == 2
    for before, after in pairs:
        assert before.ids == after.ids
        assert before.labels.tolist() == after.labels.tolist()
        # The probe's `before` are the columns of these labels in the scores among all classes.
        expected = before.probabilities / before.probabilities.sum(axis=1, keepdims=True)
        np.testing.assert_allclose(expected, after.probabilities, atol=1e-5)
        assert expected.std() > 1e-3  # otherwise the comparison would show little


def test_the_probe_learns_the_classes_that_it_is_given(
    home: Path, dataset: Dataset, tmp_path: Path, pool: DecodePool
) -> None:
    card, _ = train(home, dataset, tmp_path, pool, tune="projection", epochs=40, learning_rate=1e-2)
    assert card.base_to_novel is not None
    assert card.base_to_novel["after"]["base"] == 1.0
