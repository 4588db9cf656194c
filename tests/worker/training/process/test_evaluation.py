"""An evaluation does what its request says: how views are merged, which words are read, how many frames are seen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from core.datasets import Dataset
from core.errors import InvalidRequest
from core.protocols.catalogue import protocol_of
from core.training_requests import EvaluationRequest
from models.classifier.ensemble import build_rows
from models.files.loader import load_model
from models.recognition.recognizer import Recognizer
from tests.models.conftest import CPU
from tests.worker.training.process.runs import spec_of
from tests.worker.training.process.test_published import ask, report, reported
from worker.decoding.pool import DecodePool
from worker.training.judging.measures import row_correlation
from worker.training.process.evaluation import run_evaluation
from worker.training.run.stop import Stop
from worker.training.run.world import World


@pytest.fixture(scope="module")
def tiny(home: Path) -> Recognizer:
    return load_model("tiny", data_dir=home, device="cpu", progress=lambda *_: None)


def evaluated(home: Path, dataset: Dataset, scratch: Path, pool: DecodePool, **options: Any) -> Path:
    request = EvaluationRequest.model_validate({"model": "tiny", "dataset": dataset.id} | options)
    spec = spec_of(home, dataset, scratch, evaluation=request)
    run_evaluation(spec, request, World(0, 1, CPU), pool, Stop())
    return spec.output


def test_views_are_merged_as_requested(
    home: Path, dataset: Dataset, tmp_path: Path, pool: DecodePool, tiny: Recognizer
) -> None:
    views = ("1x1", "3x1")
    found = reported(evaluated(home, dataset, tmp_path, pool, views="3x1", aggregate="probabilities"))
    merged = replace(tiny, profile=replace(tiny.profile, aggregate="probabilities"))
    assert found == ask(merged, home, dataset, pool, views, normalise=False)
    assert found != ask(tiny, home, dataset, pool, views, normalise=False)


def test_frames_and_templates_are_the_requested_ones(
    home: Path, dataset: Dataset, tmp_path: Path, pool: DecodePool, tiny: Recognizer
) -> None:
    templates = ("{} indeed", "no {} at all")
    output = evaluated(home, dataset, tmp_path, pool, frames=2, templates=templates)
    asked = replace(tiny, profile=replace(tiny.profile, frames=2, templates=templates))
    assert reported(output) == ask(asked, home, dataset, pool, ("1x1",), normalise=False)
    found = report(output)["classifier_correlation"]["W"]
    assert found == row_correlation(rows(tiny, dataset, templates).numpy())
    assert found != row_correlation(rows(tiny, dataset, tiny.profile.templates).numpy())


def rows(recognizer: Recognizer, dataset: Dataset, templates: tuple[str, ...]) -> Tensor:
    return build_rows(recognizer.encode_texts, [(label, None) for label in dataset.labels], templates, False)[0]


def test_val_is_test_where_there_is_no_val(home: Path, dataset: Dataset, tmp_path: Path, pool: DecodePool) -> None:
    items = tuple(item.model_copy(update={"split": "test"}) if item.split == "val" else item for item in dataset.items)
    other = dataset.model_copy(update={"items": items})
    output = evaluated(home, other, tmp_path, pool, split="val")
    assert (report(output)["split"], report(output)["views"]["1x1"]["clips"]) == ("test", 4)
    with pytest.raises(InvalidRequest, match="no clips"):
        evaluated(home, dataset, tmp_path / "none", pool, split="test")


def test_there_is_one_label_for_each_class(home: Path, dataset: Dataset, tmp_path: Path, pool: DecodePool) -> None:
    with pytest.raises(InvalidRequest, match="3 labels were given for 4 classes"):
        evaluated(home, dataset, tmp_path, pool, labels=("a", "b", "c"))


def test_fixed_splits_judge_their_own_clips_among_their_own_classes(
    home: Path, dataset: Dataset, tmp_path: Path, pool: DecodePool
) -> None:
    """Clip n has the class n mod 4. The first split has the classes 0 and 1, the second all."""
    items = tuple(
        item.model_copy(update={"splits": {"2": "test"} | ({"1": "test"} if number % 4 < 2 and number < 8 else {})})
        for number, item in enumerate(dataset.items)
        if number < 12
    )
    other = dataset.model_copy(update={"items": items, "split_columns": ("1", "2")})
    found = report(evaluated(home, other, tmp_path, pool, protocol="fixed-splits"))
    draws = found["protocol_result"]["draws"]
    assert [(draw["name"], draw["clips"], draw["classes"]) for draw in draws] == [
        ("split:1", 4, ["bars", "cells"]),
        ("split:2", 12, ["bars", "cells", "dots", "lines"]),
    ]
    assert (found["views"]["1x1"]["clips"], found["split"]) == (12, "split:1, split:2")
    assert draws[1]["numbers"]["top1"] == found["views"]["1x1"]["top1"]


def test_an_image_is_one_frame(
    home: Path, dataset: Dataset, tmp_path: Path, pool: DecodePool, tiny: Recognizer
) -> None:
    request = EvaluationRequest(model="tiny", dataset=dataset.id, protocol="image")
    frames = protocol_of(request).settle(request).frames
    output = evaluated(home, dataset, tmp_path, pool, protocol="image", frames=frames)
    asked = replace(tiny, profile=replace(tiny.profile, frames=1))
    assert reported(output) == ask(asked, home, dataset, pool, ("1x1",), normalise=False)
