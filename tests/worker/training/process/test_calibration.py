"""A calibration on rendered clips: of a model of the zoo, of a label set, and of a version fitted in closed form."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from core.calibration import request as needs
from core.calibration.record import Calibration
from core.calibration.request import CalibrationRequest
from core.calibration.shelf import ANY, scope_of
from core.datasets import Dataset
from core.errors import InvalidRequest
from core.questions import Label
from models.calibration.logistic import Logistic
from models.classifier.ensemble import build_rows
from tests.models.conftest import CPU
from tests.worker.training.process.runs import LABELS, spec_of, train
from worker.decoding.pool import DecodePool
from worker.training.calibration import diagram
from worker.training.calibration.similarities import null_rows, readings_of
from worker.training.process.calibration import run_calibration
from worker.training.run.base_model import as_served, open_base_model
from worker.training.run.stop import Stop
from worker.training.run.world import World


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clips of these tests are 16, of four classes."""
    monkeypatch.setattr(needs, "FEWEST_CLIPS", 16)


@dataclass(frozen=True)
class Bench:
    home: Path
    dataset: Dataset
    pool: DecodePool

    def calibrate(self, scratch: Path, changes: dict[str, Any] | None = None, **fields: Any) -> Calibration:
        request = CalibrationRequest(dataset=self.dataset.id, model="tiny", **fields)
        spec = spec_of(self.home, self.dataset, scratch, calibration=request).model_copy(update=changes or {})
        spec = spec.model_copy(update={"job": "job_" + "a" * 24})
        run_calibration(spec, request, World(0, 1, CPU), self.pool, Stop())
        return Calibration.model_validate_json((spec.output / "calibration.json").read_text())


@pytest.fixture(scope="module")
def bench(home: Path, dataset: Dataset, pool: DecodePool) -> Bench:
    return Bench(home, dataset, pool)


def test_a_model_of_the_zoo_is_calibrated_on_all_clips(
    bench: Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = bench.calibrate(tmp_path)
    (sent,) = [
        message["data"]
        for line in capsys.readouterr().out.splitlines()
        if (message := json.loads(line))["name"] == "result"
    ]
    assert Calibration.model_validate(sent) == found
    assert (found.id, found.model, found.scope) == ("cal_" + "a" * 24, "tiny", ANY)
    assert (found.clips, found.classes, found.left_out, found.skipped) == (16, 4, "classes", 0)
    (measured,) = found.measures
    assert measured["reading"] == "labels"
    assert measured["questions"] == 10 * 16 * 4
    assert sum(each["count"] for each in measured["after"]["diagram"]) == measured["questions"]
    picture = Image.open(io.BytesIO((tmp_path / "output" / "reliability.png").read_bytes()))
    assert picture.size == (2 * diagram.PANEL[0], diagram.PANEL[1])


def test_clips_that_it_has_learned_from_and_those_that_cannot_be_decoded_are_left_out(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learned = {"trained_on": frozenset({bench.dataset.items[0].sha256})}
    with pytest.raises(InvalidRequest, match="the model has learned from them"):
        bench.calibrate(tmp_path / "a", learned)
    monkeypatch.setattr(needs, "FEWEST_CLIPS", 14)
    damaged = tmp_path / "clips"
    damaged.mkdir()
    for number, item in enumerate(bench.dataset.items):
        content = (bench.home / "clips" / item.sha256).read_bytes()
        (damaged / item.sha256).write_bytes(content if number != 1 else b"no video")
    found = bench.calibrate(tmp_path / "b", learned | {"clips": damaged})
    assert (found.clips, found.skipped) == (14, 1)
    monkeypatch.setattr(needs, "FEWEST_CLIPS", 15)
    with pytest.raises(InvalidRequest, match="14 clips of 4 classes"):
        bench.calibrate(tmp_path / "c", learned | {"clips": damaged})


def test_a_label_set_is_calibrated_on_clips_of_its_labels(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its prompts and templates are read, its labels without clips are asked about, and clips are left out."""
    monkeypatch.setattr(needs, "FEWEST_CLIPS_OF_SET", 8)
    labels = (Label(name="Bars", prompts=("stripes of colour.",)), Label(name="dots"), Label(name="nothing"))
    found = bench.calibrate(tmp_path, label_set="shapes:2", labels=labels, templates=("a {}.",))
    assert (found.label_set, found.left_out, found.clips, found.classes) == ("shapes:2", "clips", 8, 2)
    assert found.scope == scope_of(labels, ("a {}.",), normalise=False)
    spec = spec_of(bench.home, bench.dataset, tmp_path / "read")
    base = open_base_model(spec)
    recognizer = as_served(base, spec, CPU)
    (read,) = readings_of(base, recognizer, labels, ("a {}.",), normalise=False).values()
    texts = [("Bars", ("stripes of colour.",)), ("dots", None), ("nothing", None)]
    torch.testing.assert_close(read, build_rows(recognizer.encode_texts, texts, ("a {}.",), False)[0])


def test_confidence_of_labels_that_a_closed_form_fit_was_not_trained_on(
    bench: Bench, tmp_path: Path, home: Path, dataset: Dataset, pool: DecodePool
) -> None:
    """Its logit scale is fitted to the trained classes. The softmax is sure about any other labels as well; confidence
    is not, because each class is also read as if it had never been trained."""
    train(home, dataset, tmp_path / "small", pool, epochs=None, batch_size=None)
    version = {"model": "scenes:1", "version": tmp_path / "small" / "output"}
    found = bench.calibrate(tmp_path / "calibrated", version)
    trained, untrained = found.measures
    assert (trained["reading"], untrained["reading"]) == ("trained", "untrained")
    assert trained["top1"] > untrained["top1"]
    for measured in found.measures:
        assert measured["after"]["ece"] is not None
        assert measured["before"]["ece"] is not None
        assert measured["after"]["ece"] < measured["before"]["ece"]

    spec = spec_of(home, dataset, tmp_path / "serve").model_copy(update=version)
    recognizer = as_served(open_base_model(spec), spec, CPU)
    frames = np.random.default_rng(0).integers(0, 255, (1, 8, 32, 32, 3), np.uint8)
    video = torch.nn.functional.normalize(recognizer.video_vectors(frames)[0], dim=-1)  # [d]
    asked = ["a box", "a ball", "a cat"]
    rows, _ = build_rows(recognizer.encode_texts, [(name, None) for name in asked], ("{}",), True)
    similarities = (rows @ video).double()
    confidence = Logistic(found.bias, (found.above_mean, found.above_best))(
        similarities.numpy(), (null_rows(recognizer) @ video).numpy()
    )
    score = float((recognizer.logit_scale * similarities).softmax(dim=0).max())
    assert float(confidence.max()) < score
    assert float(confidence.max()) < 0.7


def test_labels_that_a_closed_model_does_not_know_are_refused(
    bench: Bench, tmp_path: Path, home: Path, dataset: Dataset, pool: DecodePool
) -> None:
    train(home, dataset, tmp_path / "closed", pool, classifier="orthogonal", epochs=1)
    version = {"model": "scenes:1", "version": tmp_path / "closed" / "output"}
    found = bench.calibrate(tmp_path / "known", version)
    assert [measured["reading"] for measured in found.measures] == ["labels"]
    renamed = tuple(item.model_copy(update={"label": item.label + "!"}) for item in dataset.items)
    other = dataset.model_copy(
        update={
            "items": renamed,
            "classes": tuple(each.model_copy(update={"name": each.name + "!"}) for each in dataset.classes),
        }
    )
    with pytest.raises(InvalidRequest, match="'bars!' is not one"):
        bench.calibrate(tmp_path / "unknown", version | {"dataset": other})
    assert set(LABELS) == {each.name for each in dataset.classes}
