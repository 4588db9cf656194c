"""Whole runs in this process, on rendered clips with a tiny CLIP: every option leads to a usable version."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from core.datasets import ClassCount, Dataset, Item
from core.errors import InvalidTraining
from core.registry import Card
from core.settings import Settings
from core.training_requests import EvaluationRequest, TrainingRequest
from models.files.versions import open_version
from models.recognition.base import Base
from tests import tiny
from tests.clips import SPECS, render
from tests.models.conftest import tiny_base
from worker.decoding.pool import DecodePool
from worker.training.process.evaluation import run_evaluation
from worker.training.process.session import run_training
from worker.training.run.config import resolve_config
from worker.training.run.stop import Stop
from worker.training.run.world import World
from worker.training.spec import RunSpec

CPU = torch.device("cpu")
LABELS = ("bars", "cells", "dots", "lines")


@pytest.fixture(scope="module")
def pool() -> Iterator[DecodePool]:
    with DecodePool(2, 30.0, 2 << 30, 1 << 24, 60.0) as pool:
        yield pool


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data directory with the tiny model, and `clips/` by content."""
    home = tmp_path_factory.mktemp("home")
    tiny.place(home)
    (home / "clips").mkdir()
    return home


@pytest.fixture(scope="module")
def dataset(home: Path) -> Dataset:
    items = []
    for number in range(16):
        label = LABELS[number % 4]
        spec = replace(SPECS["h264"], frames=12 + number, content="bars" if number % 2 else "index", matrix="bt709")
        clip = render(home / f"{number}.mp4", spec)
        sha256 = hashlib.sha256(clip.read_bytes()).hexdigest()
        clip.rename(home / "clips" / sha256)
        split = "val" if number >= 12 else "train"
        items.append(Item(path=f"{label}/{number}.mp4", sha256=sha256, label=label, split=split, seconds=0.5))
    return Dataset(
        id="ds_" + "0" * 24,
        digest="0" * 64,
        name="scenes",
        created_at=time.time(),
        classes=tuple(ClassCount(name=label, train=3, val=1) for label in LABELS),
        splits={"train": 12, "val": 4, "test": 0},
        split_source="given",
        seconds=8.0,
        bytes=1,
        report=(),
        items=tuple(items),
    )


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
    spec = spec_of(home, dataset, scratch, training=request)
    run_training(spec, request, World(0, 1, CPU), pool, Stop())
    card = Card.model_validate_json((spec.output / "card.json").read_text())
    return card, open_version(spec.output, data_dir=home, progress=lambda *_: None)


@pytest.mark.parametrize(
    "options",
    [
        {"temporal": "transformer", "temporal_init": "random"},
        {"temporal": "token_conv"},
        {"tune": "projection"},
        {"tune": "projection", "augment": True, "temporal": "transformer"},
        {"text_inputs": "name"},
        {"text_inputs": "templates", "templates": ["a video of {}.", "a photo of {}."]},
        {"text_inputs": "context"},
        {"classifier": "text:minilm"},
        {"classifier": "orthogonal"},
        {"classifier": "random"},
        {"classifier": "lda"},
        {"classifier": "learned"},
        {"recipe": "text4vis"},
        {"recipe": "text4vis-2023", "epochs": 2},
        {"gradient_checkpointing": True, "micro_batch": 3},
        {"cache_frames": True, "epochs": 2},
        {"precision": "bf16"},
        {"frames": 3, "views": "2x3"},
        {"augment": False},
    ],
    ids=str,
)
def test_every_option_leads_to_a_version(
    home: Path, dataset: Dataset, tmp_path: Path, pool: DecodePool, options: dict[str, Any]
) -> None:
    card, base = train(home, dataset, tmp_path, pool, **options)
    recognizer = base.recognizer(CPU, torch.float32)
    assert card.classes == LABELS
    assert card.recipe == options.get("recipe", "default")
    assert card.temporal["kind"] == options.get("temporal", base.temporal_kind)
    assert card.open_labels is options.get("classifier", "text").startswith("text")
    assert (recognizer.fixed_rows is None) is card.open_labels
    assert card.metrics["views"].keys() == {"1x1", options.get("views", "1x1")}
    assert card.profile["frames"] == options.get("frames", 8)
    if card.open_labels:
        vectors, _ = recognizer.encode_texts(["something else", "a cat"])
        assert vectors.shape == (2, card.dim)
    for name in ("model.safetensors", "report.json", "report.html", "confusion.png", "curves.png"):
        assert (tmp_path / "output" / name).stat().st_size > 100, name


def test_w_of_the_version_is_w_of_the_training(home: Path, dataset: Dataset, tmp_path: Path, pool: DecodePool) -> None:
    """The trained classes, sent as labels of a request, get the rows that were trained against."""
    from safetensors.torch import load_file

    from models.classifier.ensemble import build_rows

    card, base = train(home, dataset, tmp_path, pool)
    recognizer = base.recognizer(CPU, torch.float32)
    asked = [(label, None) for label in card.classes]
    rows, _ = build_rows(recognizer.encode_texts, asked, recognizer.profile.templates, normalise=True)
    trained = load_file(tmp_path / "output" / "model.safetensors")["classifier.rows"]
    torch.testing.assert_close(rows, trained, rtol=0, atol=1e-6)


def test_few_shot_draws_are_recorded_and_the_same_again(
    home: Path, dataset: Dataset, tmp_path: Path, pool: DecodePool
) -> None:
    first, _ = train(home, dataset, tmp_path / "a", pool, shots=2, seed=5)
    again, _ = train(home, dataset, tmp_path / "b", pool, shots=2, seed=5)
    assert first.shots == again.shots
    assert first.shots is not None
    assert {label: len(clips) for label, clips in first.shots["clips"].items()} == dict.fromkeys(LABELS, 2)
    assert first.digest == again.digest
    assert first.hyperparameters["repeats"] == 1  # 12 clips by 8 drawn ones


def test_classes_left_out_measure_what_training_costs(
    home: Path, dataset: Dataset, tmp_path: Path, pool: DecodePool
) -> None:
    card, _ = train(home, dataset, tmp_path, pool, novel=["dots", "lines"])
    assert card.classes == ("bars", "cells")
    assert card.base_to_novel is not None
    assert card.base_to_novel["novel_classes"] == ["dots", "lines"]
    assert card.base_to_novel["novel_clips"] == 8
    for when in ("before", "after"):
        found = card.base_to_novel[when]
        total = found["base"] + found["novel"]
        expected = 2 * found["base"] * found["novel"] / total if total else 0.0
        assert found["harmonic_mean"] == pytest.approx(expected)


def test_a_cheap_run_measures_with_a_probe_what_it_costs_other_labels(
    home: Path, dataset: Dataset, tmp_path: Path, pool: DecodePool
) -> None:
    card, _ = train(home, dataset, tmp_path, pool, tune="projection")
    assert card.classes == LABELS
    assert card.base_to_novel is not None
    assert card.base_to_novel["how"] == "probe"
    assert (card.base_to_novel["base_classes"], card.base_to_novel["novel_classes"]) == (
        ["bars", "cells"],
        ["dots", "lines"],
    )
    assert (card.base_to_novel["base_clips"], card.base_to_novel["novel_clips"]) == (2, 2)


def test_a_version_can_be_trained_further(home: Path, dataset: Dataset, tmp_path: Path, pool: DecodePool) -> None:
    card, base = train(home, dataset, tmp_path / "first", pool, temporal="transformer")
    request = TrainingRequest(name="scenes", dataset=dataset.id, base="scenes:1", temporal="transformer", epochs=1)
    spec = spec_of(home, dataset, tmp_path / "second", training=request)
    spec = spec.model_copy(update={"version": tmp_path / "first" / "output", "model": "scenes:1"})
    run_training(spec, request, World(0, 1, CPU), pool, Stop())
    second = Card.model_validate_json((spec.output / "card.json").read_text())
    assert second.base == "scenes:1"
    assert second.digest != card.digest
    assert base.temporal_kind == "transformer"


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"temporal": "conv"}, "temporal"),
        ({"shots": 9}, "shots"),
        ({"novel": ["no such class", "bars"]}, "novel"),
        ({"text_inputs": "template", "templates": ["{} a", "{} b"]}, "templates"),
        ({"text_inputs": "context", "classifier": "text:minilm"}, "classifier"),
    ],
)
def test_an_error_names_the_field_that_does_not_fit(
    home: Path, dataset: Dataset, tmp_path: Path, pool: DecodePool, options: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidTraining) as caught:
        train(home, dataset, tmp_path, pool, **options)
    assert caught.value.details["field"] == field


@pytest.mark.parametrize(
    ("labels", "flip"), [(("turn_left", "turnRight"), 0.0), (("leftovers", "copyright"), 0.5)], ids=str
)
def test_classes_about_left_and_right_are_not_flipped(labels: tuple[str, ...], flip: float) -> None:
    request = TrainingRequest(name="sides", dataset="ds_" + "0" * 24, tune="tower")
    augment = resolve_config(request, tiny_base(), labels, 100, 100, CPU).augment
    assert augment is not None
    assert augment.flip == flip


def test_an_evaluation_with_other_labels(
    home: Path, dataset: Dataset, tmp_path: Path, pool: DecodePool, capsys: pytest.CaptureFixture[str]
) -> None:
    request = EvaluationRequest(
        model="tiny", dataset=dataset.id, split="all", protocol="half_class", labels=("a", "b", "c", "d")
    )
    spec = spec_of(home, dataset, tmp_path, evaluation=request)
    run_evaluation(spec, request, World(0, 1, CPU), pool, Stop())
    messages = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    result = messages[-1]["data"]
    assert result["metrics"]["clips"] == 16
    assert len(result["half_class"]["splits"]) == 10
    report = json.loads((spec.output / "report.json").read_text())
    assert report["classes"] == ["a", "b", "c", "d"]
