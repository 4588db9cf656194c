"""Whole runs in this process, on rendered clips with a tiny CLIP: every option leads to a usable version."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from core.datasets import Dataset
from core.errors import InvalidTraining
from core.registry import Card
from core.training_requests import EvaluationRequest, TrainingRequest
from models.recognition.base import Base
from tests.models.conftest import CPU
from tests.worker.training.process.runs import LABELS, spec_of, train
from worker.decoding.pool import DecodePool
from worker.training.process.evaluation import run_evaluation
from worker.training.process.session import run_training
from worker.training.run.stop import Stop
from worker.training.run.world import World


@pytest.mark.parametrize(
    "options",
    [
        {"temporal": "transformer", "temporal_init": "random"},
        {"temporal": "token_conv"},
        {"base": "tiny-rn", "temporal": "conv"},
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
        {"recipe": "text4vis", "epochs": 2},  # in the first of few steps its rate is 0
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
    assert (card.recipe, card.base) == (options.get("recipe", "default"), options.get("base", "tiny"))
    assert card.temporal["kind"] == options.get("temporal", base.temporal_kind)
    assert card.open_labels is options.get("classifier", "text").startswith("text")
    assert (recognizer.fixed_rows is None) is card.open_labels
    assert card.metrics["views"].keys() == {"1x1", options.get("views", "1x1")}
    assert card.profile["frames"] == options.get("frames", 8)
    said = decided(card)
    assert {name: said[name] for name in options if name in said} == {
        name: value for name, value in options.items() if name in said
    }
    start = load_file(home / "weights" / f"{card.base}.safetensors")
    assert trained_parts(base, start) == ({"neck"} if options.get("tune") == "projection" else {"trunk", "neck"})
    if card.open_labels:
        vectors, _ = recognizer.encode_texts(["something else", "a cat"])
        assert vectors.shape == (2, card.dim)
    for name in ("model.safetensors", "report.json", "report.html"):
        assert (tmp_path / "output" / name).stat().st_size > 100, name


def decided(card: Card) -> dict[str, Any]:
    """What the card says that the run has done, by the names of the request."""
    numbers = card.hyperparameters
    texts = {"text_inputs": card.classifier["text_inputs"], "templates": card.classifier["templates"]}
    same = ("tune", "frames", "precision", "gradient_checkpointing", "cache_frames", "epochs")
    return (
        {name: numbers[name] for name in same}
        | texts
        | {
            "classifier": card.classifier["kind"],
            "augment": numbers["augment"] is not None,
            "micro_batch": numbers["micro_batch"],
            "batch_size": numbers["global_batch"],
        }
    )


def trained_parts(base: Base, start: dict[str, Tensor]) -> set[str]:
    """The parts of the image tower whose weights are no longer those of the base model."""
    neck = {name for name, _ in base.tower.projection_parameters()}
    return {
        "neck" if name in neck else "trunk"
        for name, parameter in base.tower.named_parameters()
        if name in start and not torch.equal(parameter, start[name])
    }


@pytest.mark.usefixtures("drawn")
def test_a_version_comes_with_the_pictures_of_its_report(
    home: Path, dataset: Dataset, tmp_path: Path, pool: DecodePool
) -> None:
    train(home, dataset, tmp_path, pool)
    pictures = {path.name for path in (tmp_path / "output").glob("*.png") if path.stat().st_size > 5000}
    assert pictures >= {"confusion.png", "correlation.png", "curves.png"}


def test_w_of_the_version_is_w_of_the_training(home: Path, dataset: Dataset, tmp_path: Path, pool: DecodePool) -> None:
    """The trained classes, sent as labels of a request, get the rows that were trained against."""
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


def test_an_evaluation_with_other_labels(
    home: Path, dataset: Dataset, tmp_path: Path, pool: DecodePool, capsys: pytest.CaptureFixture[str]
) -> None:
    request = EvaluationRequest(
        model="tiny", dataset=dataset.id, split="all", protocol="half-class", labels=("a", "b", "c", "d")
    )
    spec = spec_of(home, dataset, tmp_path, evaluation=request)
    run_evaluation(spec, request, World(0, 1, CPU), pool, Stop())
    messages = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    result = messages[-1]["data"]
    assert result["metrics"]["clips"] == 16
    draws = result["protocol"]["draws"]
    assert [draw["name"] for draw in draws] == [f"seed {seed}" for seed in range(10)]
    assert all(set(draw["classes"]) < set(dataset.labels) for draw in draws)
    report = json.loads((spec.output / "report.json").read_text())
    assert report["classes"] == ["a", "b", "c", "d"]
