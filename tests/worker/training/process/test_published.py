"""What is published is what was judged: the numbers of a report are those that requests get from the version (T7)."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from core.datasets import Dataset
from core.registry import Card
from core.settings import Settings
from core.training_requests import EvaluationRequest, TrainingRequest
from core.vocabulary import Precision
from models.classifier.ensemble import build_rows
from models.files.loader import load_model, load_version
from models.files.saving import save_version
from models.frames.sampling import Views
from models.recognition.recognizer import Recognizer
from models.recognition.scoring import score
from models.recognition.video_model import VideoModel
from tests.models.conftest import CPU
from tests.worker.training.process.runs import spec_of, train
from worker.decoding.pool import DecodePool
from worker.training.judging.measures import row_correlation
from worker.training.process.evaluation import run_evaluation
from worker.training.process.session import run_training
from worker.training.run.stop import Stop
from worker.training.run.world import World

Answers = dict[tuple[str, str], tuple[str, float]]
"""(view, clip) → label, score."""

MOST = 20  # frames in one forward pass


def ask(
    recognizer: Recognizer, home: Path, dataset: Dataset, pool: DecodePool, views: tuple[str, ...], normalise: bool
) -> Answers:
    """What the inference worker says about each val clip, one request after the other."""
    asked = [(label, None) for label in dataset.labels]
    rows, _ = build_rows(recognizer.encode_texts, asked, recognizer.profile.templates, normalise)
    if recognizer.fixed_rows is not None:
        rows = recognizer.fixed_rows
    found: Answers = {}
    for view in views:
        for item in dataset.of("val"):
            decoding = pool.submit(
                home / "clips" / item.sha256,
                profile=recognizer.profile,
                views=Views.parse(view),
                frames=recognizer.profile.frames,
            )
            vectors = recognizer.video_vectors(decoding.result().frames, MOST)  # [V, d]
            scores = score(vectors, rows, recognizer.logit_scale, recognizer.profile.aggregate)
            best = int(scores.probabilities.argmax())
            found[view, item.path] = dataset.labels[best], round(float(scores.probabilities[best]), 6)
    return found


def reported(output: Path) -> Answers:
    lines = [json.loads(line) for line in (output / "predictions.jsonl").read_text().splitlines()]
    return {(line["view"], line["clip"]): (line["given"], line["score"]) for line in lines}


def report(output: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((output / "report.json").read_text())
    return found


@pytest.mark.parametrize(
    ("precision", "options"),
    [
        ("fp32", {"temporal": "transformer", "temporal_init": "random", "learning_rate": 1e-2}),
        ("bf16", {"temporal": "token_conv", "learning_rate": 1e-2}),
        ("bf16", {"tune": "projection", "classifier": "learned"}),
        ("fp32", {"text_inputs": "context"}),
    ],
    ids=str,
)
def test_the_report_is_about_the_written_version_as_it_is_served(
    home: Path,
    dataset: Dataset,
    tmp_path: Path,
    pool: DecodePool,
    monkeypatch: pytest.MonkeyPatch,
    precision: Precision,
    options: dict[str, Any],
) -> None:
    """The model in memory is destroyed as soon as it is written, and the numbers are still right, to the bit."""

    def save_and_destroy(directory: Path, model: VideoModel, *rest: Any, **more: Any) -> dict[str, Any]:
        saved = save_version(directory, model, *rest, **more)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.zero_()
        return saved

    monkeypatch.setattr("worker.training.result.version.save_version", save_and_destroy)
    fields = {"name": "scenes", "dataset": dataset.id, "base": "tiny", "epochs": 1, "batch_size": 4, "views": "2x3"}
    request = TrainingRequest.model_validate(fields | options)
    spec = spec_of(home, dataset, tmp_path, training=request)
    spec = spec.model_copy(update={"settings": Settings(data_dir=home, precision=precision, batch_frames=MOST)})
    run_training(spec, request, World(0, 1, CPU), pool, Stop())
    served = load_version(spec.output, data_dir=home, device="cpu", precision=precision, progress=lambda *_: None)
    answers = ask(served, home, dataset, pool, ("1x1", "2x3"), normalise=True)
    assert reported(spec.output) == answers
    single = {clip: given for (view, clip), (given, _) in answers.items() if view == "1x1"}
    right = sum(given == clip.split("/")[0] for clip, given in single.items())
    card = Card.model_validate_json((spec.output / "card.json").read_text())
    assert card.metrics["views"]["1x1"]["top1"] == report(spec.output)["views"]["1x1"]["top1"] == right / len(single)
    assert card.metrics["precision"] == report(spec.output)["model"]["precision"] == precision


@pytest.fixture(scope="module")
def trained(home: Path, dataset: Dataset, tmp_path_factory: pytest.TempPathFactory, pool: DecodePool) -> Path:
    """A version."""
    scratch = tmp_path_factory.mktemp("trained")
    train(home, dataset, scratch, pool, epochs=0.1)
    return scratch / "output"


def test_the_numbers_before_training_are_those_of_the_base_model_as_it_is_served(
    home: Path, dataset: Dataset, tmp_path: Path, pool: DecodePool, trained: Path
) -> None:
    request = EvaluationRequest(model="tiny", dataset=dataset.id, normalize_labels=True)
    spec = spec_of(home, dataset, tmp_path, evaluation=request)
    run_evaluation(spec, request, World(0, 1, CPU), pool, Stop())
    assert report(spec.output)["views"]["1x1"] == report(trained)["before"]["metrics"]
    base = load_model("tiny", data_dir=home, device="cpu", progress=lambda *_: None)
    assert reported(spec.output) == ask(base, home, dataset, pool, ("1x1",), normalise=True)


@pytest.mark.parametrize(
    ("of_card", "asked", "expected"), [(False, None, False), (True, None, True), (False, True, True)]
)
def test_an_evaluation_reads_labels_as_questions_to_the_version_do(
    home: Path,
    dataset: Dataset,
    tmp_path: Path,
    pool: DecodePool,
    trained: Path,
    of_card: bool,
    asked: bool | None,
    expected: bool,
) -> None:
    labels = ("BrushHair", "ride_bike", "HandStand", "sit_up")
    published = tmp_path / "published"
    shutil.copytree(trained, published)
    card = Card.model_validate_json((trained / "card.json").read_text())
    edited = card.model_copy(update={"classifier": card.classifier | {"normalize_labels": of_card}})
    (published / "card.json").write_text(edited.model_dump_json())
    request = EvaluationRequest(model="scenes:1", dataset=dataset.id, labels=labels, normalize_labels=asked)
    spec = spec_of(home, dataset, tmp_path / "evaluation", evaluation=request)
    spec = spec.model_copy(update={"version": published, "model": "scenes:1"})
    run_evaluation(spec, request, World(0, 1, CPU), pool, Stop())
    served = load_version(published, data_dir=home, device="cpu", progress=lambda *_: None)
    rows = {
        normalise: build_rows(
            served.encode_texts, [(label, None) for label in labels], served.profile.templates, normalise
        )[0]
        for normalise in (True, False)
    }
    found = np.array(report(spec.output)["classifier_correlation"]["W"])
    np.testing.assert_allclose(found, row_correlation(rows[expected].numpy()), atol=2e-4)
    assert not np.allclose(found, row_correlation(rows[not expected].numpy()), atol=2e-3)
