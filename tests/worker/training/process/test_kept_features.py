"""What frozen trunks made of clips serves later runs, resumes, previews and evaluations."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from core.datasets import Dataset
from core.settings import Settings
from core.training_requests import EvaluationRequest, TrainingRequest
from models.image.towers import VitTower
from tests.models.conftest import CPU, tiny_base
from tests.worker.training.process.runs import spec_of, train
from worker.decoding.pool import DecodePool
from worker.training.features.files import FeatureFiles
from worker.training.fit.closed_form import frozen_features
from worker.training.process.evaluation import run_evaluation
from worker.training.process.session import run_training
from worker.training.run.parts import open_feed, open_run
from worker.training.run.stop import Stop
from worker.training.run.world import World

TRAIN, VAL, T = 12, 4, 8
FROZEN: dict[str, Any] = {"tune": "projection", "epochs": 2}

Passes = Callable[[], int]


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> Passes:
    """How many frames trunks have seen since it was last asked, without the clip that tells what fits."""
    frames: list[int] = []
    trunk = VitTower.trunk

    def counted(self: VitTower, pixels: Tensor, clip: int = 1) -> Tensor:
        if bool(pixels.any()):
            frames.append(len(pixels))
        return trunk(self, pixels, clip)

    def since() -> int:
        found = sum(frames)
        frames.clear()
        return found

    monkeypatch.setattr(VitTower, "trunk", counted)
    return since


def weights(scratch: Path) -> bytes:
    return (scratch / "output" / "model.safetensors").read_bytes()


def test_a_second_run_encodes_no_clip_again_and_ends_with_the_same_bits(
    home: Path, dataset: Dataset, tmp_path: Path, pool: DecodePool, passes: Passes
) -> None:
    train(home, dataset, tmp_path / "first", pool, **FROZEN)
    assert passes() == (TRAIN + VAL) * T
    train(home, dataset, tmp_path / "second", pool, **FROZEN)
    assert passes() == 0
    assert weights(tmp_path / "first") == weights(tmp_path / "second")
    report, again = (json.loads((tmp_path / run / "output" / "report.json").read_text()) for run in ("first", "second"))
    assert (again["views"], again["before"], again["curves"]) == (report["views"], report["before"], report["curves"])
    train(home, dataset, tmp_path / "head", pool, **FROZEN | {"classifier": "learned", "temporal": "transformer"})
    train(home, dataset, tmp_path / "solver", pool, epochs=None, batch_size=None)  # the closed form
    assert passes() == 0
    more = dataset.items[0].model_copy(update={"sha256": dataset.items[12].sha256, "path": "more.mp4"})
    grown = dataset.model_copy(update={"id": "ds_" + "1" * 24, "items": (more, *dataset.items[1:])})
    train(home, grown, tmp_path / "grown", pool, **FROZEN)
    assert passes() == T  # a val clip is a train clip now, which is another road


def test_an_evaluation_of_a_new_version_finds_what_its_base_made_of_the_clips(
    home: Path, dataset: Dataset, tmp_path: Path, pool: DecodePool, passes: Passes
) -> None:
    train(home, dataset, tmp_path / "run", pool, **FROZEN)
    passes()
    request = EvaluationRequest(dataset=dataset.id, model="scenes:1", split="val")
    spec = spec_of(home, dataset, tmp_path / "eval", evaluation=request)
    spec = spec.model_copy(update={"version": tmp_path / "run" / "output"})
    run_evaluation(spec, request, World(0, 1, CPU), pool, Stop())
    assert passes() == 0
    reports = [json.loads((tmp_path / name / "output" / "report.json").read_text()) for name in ("run", "eval")]
    assert reports[0]["views"]["1x1"] == reports[1]["views"]["1x1"]


def test_random_draws_and_trained_towers_share_the_looks_alone(
    home: Path, dataset: Dataset, tmp_path: Path, pool: DecodePool, passes: Passes
) -> None:
    """Frames that are drawn anew in each epoch cannot be found; what the base makes of the judged clips, and the
    preview of the train clips, can."""
    train(home, dataset, tmp_path / "first", pool)
    first = passes()
    train(home, dataset, tmp_path / "second", pool)
    # The written version is that of the first run, bit for bit, so its look is found as well.
    assert first - passes() == (TRAIN + VAL + VAL) * T
    assert weights(tmp_path / "first") == weights(tmp_path / "second")


@pytest.mark.parametrize("change", ["project", "setting"])
def test_another_project_finds_nothing_and_a_setting_turns_it_off(
    home: Path, dataset: Dataset, tmp_path: Path, pool: DecodePool, passes: Passes, change: str
) -> None:
    train(home, dataset, tmp_path / "first", pool, **FROZEN)
    whole = passes()
    request = TrainingRequest.model_validate(
        {"name": "scenes", "dataset": dataset.id, "base": "tiny", "batch_size": 4} | FROZEN
    )
    spec = spec_of(home, dataset, tmp_path / "second", training=request)
    off = Settings(data_dir=home, feature_bytes=0)
    spec = spec.model_copy(update={"project": "acme"} if change == "project" else {"settings": off})
    run_training(spec, request, World(0, 1, CPU), pool, Stop())
    assert passes() == whole + (0 if change == "project" else VAL * T)  # the written version is looked at again
    assert weights(tmp_path / "first") == weights(tmp_path / "second")


def test_processes_share_the_clips_and_find_those_of_the_others(
    home: Path, dataset: Dataset, tmp_path: Path, pool: DecodePool, passes: Passes
) -> None:
    met: list[int] = []

    class OneOfTwo(World):
        def gather(self, value: Any) -> list[Any]:
            met.append(passes())
            return [value]

    fields = {"name": "scenes", "dataset": dataset.id, "base": "tiny"} | FROZEN
    request = TrainingRequest.model_validate(fields)
    spec = spec_of(home, dataset, tmp_path, training=request)
    for rank in (0, 1):
        open_feed(open_run(spec, request, OneOfTwo(rank, 2, CPU), pool, Stop()))
    assert met == [TRAIN // 2 * T, TRAIN // 2 * T]


@torch.no_grad()
def test_features_do_not_depend_on_what_was_found() -> None:
    """Folds of the cross-validation are drawn by place, and sums depend on the order."""
    model = tiny_base().video_model("mean")
    x = model.trunk(torch.randn(3, 2, 3, 32, 32))  # [3, T, …]
    groups = [(x[place : place + 1], torch.tensor([place]), [place]) for place in range(3)]
    first, second = (frozen_features(order, model, 0.0) for order in (groups, groups[::-1]))
    assert torch.equal(first.features, second.features)
    assert torch.equal(first.labels, second.labels)
    assert first.places == second.places


def test_a_run_claims_the_clips_of_its_dataset(home: Path, dataset: Dataset, tmp_path: Path) -> None:
    request = TrainingRequest(name="scenes", dataset=dataset.id, base="tiny")
    assert isinstance(spec_of(home, dataset, tmp_path, training=request).feature_files(), FeatureFiles)
    listed = (Settings(data_dir=home).features_dir / "default" / "datasets" / dataset.id).read_text().split()
    assert listed == [item.sha256 for item in dataset.items]
