"""A run of `default` on tens of clips: previewed, fitted in closed form, published, and served with any labels."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from core.datasets import Dataset
from core.errors import InvalidTraining, TrainingFailed
from core.records import Progress
from core.registry import Card
from core.training_requests import PreviewRequest, TrainingRequest
from models.classifier.ensemble import build_rows
from models.files.versions import open_version
from models.fitting.recipes import RECIPES
from models.recognition.base import Base
from tests.models.conftest import CPU
from tests.worker.training.process.runs import LABELS, spec_of, train, train_in_processes
from worker.children.messages import parse_message
from worker.decoding.pool import DecodePool, DecodeTask
from worker.training.job.run_metrics import RunMetrics
from worker.training.preview import measure
from worker.training.process.session import run_preview, run_training
from worker.training.run.stop import Stop, Stopped
from worker.training.run.world import World

SMALL: dict[str, Any] = {"epochs": None, "batch_size": None}  # nothing about the loop


@dataclass(frozen=True)
class Run:
    card: Card
    base: Base
    output: Path

    @property
    def report(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.output / "report.json").read_text())
        return found


@pytest.fixture(scope="module")
def small(home: Path, dataset: Dataset, pool: DecodePool, tmp_path_factory: pytest.TempPathFactory) -> Run:
    scratch = tmp_path_factory.mktemp("small")
    card, base = train(home, dataset, scratch, pool, **SMALL)
    return Run(card, base, scratch / "output")


def test_small_data_is_fitted_in_closed_form(small: Run) -> None:
    numbers = small.card.hyperparameters
    assert numbers["solver"] == "closed_form"
    assert numbers["heads"] == ["lda"]
    assert 0.5 < numbers["mix"] <= 0.95
    assert "epochs" not in numbers
    assert small.report["curves"]["train"] == []
    assert len(small.report["curves"]["val"]) == 1


def test_no_weight_of_the_base_changes(small: Run, home: Path) -> None:
    start, end = load_file(home / "weights" / "tiny.safetensors"), load_file(small.output / "model.safetensors")
    assert all(torch.equal(end[name], tensor) for name, tensor in start.items() if name != "logit_scale")
    assert end["extension.weight"].shape[1] == len(LABELS)


def test_other_labels_are_recognised_as_by_the_base(small: Run, home: Path) -> None:
    """A video's scores of labels that are unlike the trained classes are those of the base, times a constant."""
    from models.files.bases import open_base

    tiny = open_base("tiny", data_dir=home, progress=lambda *_: None)
    frames = torch.randint(0, 255, (1, 8, tiny.profile.size, tiny.profile.size, 3), dtype=torch.uint8).numpy()
    found = []
    for base in (tiny, small.base):
        recognizer = base.recognizer(CPU, torch.float32)
        vectors = recognizer.video_vectors(frames)[0]  # [d]
        rows, _ = build_rows(recognizer.encode_texts, [(name, None) for name in ("x", "y", "z")], ("{}",), True)
        found.append((vectors, rows))
    (plain, plain_rows), (extended, rows) = found
    width = len(plain)
    torch.testing.assert_close(extended[:width], plain, rtol=1e-4, atol=1e-5)
    cosines = rows[:, :width] @ plain_rows.T  # the text half is the base's own
    assert float(cosines.diagonal().min()) > 0.98
    assert small.base.dim == width + len(LABELS) == len(extended)


def test_w_of_the_version_is_what_questions_get(small: Run) -> None:
    recognizer = small.base.recognizer(CPU, torch.float32)
    asked = [(label, None) for label in small.card.classes]
    rows, _ = build_rows(recognizer.encode_texts, asked, recognizer.profile.templates, normalise=True)
    stored = load_file(small.output / "model.safetensors")["classifier.rows"]
    torch.testing.assert_close(rows, stored, rtol=0, atol=1e-5)
    added = rows[:, -len(LABELS) :]
    assert (added.argmax(dim=1) == torch.arange(len(LABELS))).all()


def test_the_report_keeps_the_preview_and_quotes_the_cross_validated_figure(small: Run) -> None:
    preview, headline = small.report["preview"], small.report["headline"]
    heads = {head["name"]: head for head in preview["heads"]}
    assert list(heads) == ["zero_shot", "ncm", "ridge", "lda", "default"]
    assert preview["judged_clips"] == 12
    assert preview["shots"] == 3
    assert headline["how"] == "cross_validated"
    assert headline["clips"] == 12
    assert headline["top1"] == pytest.approx(heads["default"]["top1"])
    assert headline["interval"] == heads["default"]["interval"]
    assert ("the two cannot be told apart" in headline["sentence"]) is not headline["told_apart"]
    assert small.card.metrics["headline"] == headline
    page = (small.output / "report.html").read_text()
    assert headline["sentence"] in page
    assert preview["advice"]["sentence"] in page
    assert f"{100 * small.card.hyperparameters['mix']:.1f}\N{NO-BREAK SPACE}% of the scores" in page


def test_a_version_can_be_fitted_again(
    small: Run, home: Path, dataset: Dataset, tmp_path: Path, pool: DecodePool
) -> None:
    """The second fit replaces what the first one added."""
    fields = TrainingRequest(name="again", dataset=dataset.id, base="scenes:1")
    spec = spec_of(home, dataset, tmp_path, training=fields).model_copy(update={"version": small.output})
    run_training(spec, fields, World(0, 1, CPU), pool, Stop())
    again = load_file(spec.output / "model.safetensors")
    first = load_file(small.output / "model.safetensors")
    torch.testing.assert_close(again["extension.weight"], first["extension.weight"], rtol=1e-4, atol=1e-5)


def test_heads_see_the_root_of_what_a_rectifier_gives(
    small: Run, home: Path, dataset: Dataset, tmp_path: Path, pool: DecodePool
) -> None:
    """A ResNet's trunk ends with one, a vision transformer's does not."""
    assert not bool(load_file(small.output / "model.safetensors")["extension.rooted"])
    card, base = train(home, dataset, tmp_path, pool, **SMALL, base="tiny-rn")
    assert card.hyperparameters["rooted"] is True
    stored = load_file(tmp_path / "output" / "model.safetensors")
    pixels = torch.rand(2, 3, base.profile.size, base.profile.size)
    with torch.no_grad():
        seen = base.tower.eval().trunk(pixels).mean(dim=(2, 3))  # [2, w]
        added = base.tower(pixels)[:, -len(LABELS) :]  # [2, C]
    assert float(seen.min()) >= 0
    expected = seen.sqrt() @ stored["extension.weight"] + stored["extension.bias"]
    torch.testing.assert_close(added, expected, rtol=1e-4, atol=1e-4)


def test_a_version_of_earlier_days_has_no_root(small: Run, home: Path, tmp_path: Path) -> None:
    shutil.copytree(small.output, tmp_path / "old")
    state = load_file(tmp_path / "old" / "model.safetensors")
    del state["extension.rooted"]
    save_file(state, tmp_path / "old" / "model.safetensors")
    old = open_version(tmp_path / "old", data_dir=home, progress=lambda *_: None)
    assert old.tower.extension is not None
    assert old.tower.extension.takes_root is False


def test_two_processes_make_the_version_of_one(small: Run, home: Path, dataset: Dataset, tmp_path: Path) -> None:
    fields = {"name": "scenes", "dataset": dataset.id, "base": "tiny"}
    spec = spec_of(home, dataset, tmp_path, training=TrainingRequest.model_validate(fields))
    train_in_processes([spec], 2)
    assert Card.model_validate_json((spec.output / "card.json").read_text()).digest == small.card.digest


def test_a_preview_is_the_first_phase_alone(
    home: Path, dataset: Dataset, tmp_path: Path, pool: DecodePool, capsys: pytest.CaptureFixture[str], small: Run
) -> None:
    request = PreviewRequest(dataset=dataset.id, base="tiny")
    spec = spec_of(home, dataset, tmp_path, preview=request)
    run_preview(spec, request, World(0, 1, CPU), pool, Stop())
    messages = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    (result,) = [message["data"] for message in messages if message["name"] == "result"]
    assert result["heads"] == small.report["preview"]["heads"]
    assert result["advice"]["sentence"]
    assert not list(spec.output.iterdir())


def _one_clip_each(dataset: Dataset) -> Dataset:
    train = dataset.of("train")[:4]
    return dataset.model_copy(update={"items": (*train, *dataset.of("val"))})


def test_with_one_clip_per_class_lda_is_left_out_in_words(
    home: Path, dataset: Dataset, tmp_path: Path, pool: DecodePool
) -> None:
    card, _ = train(home, _one_clip_each(dataset), tmp_path, pool, **SMALL)
    report = json.loads((tmp_path / "output" / "report.json").read_text())
    assert card.hyperparameters["heads"] == ["ncm", "ridge"]
    assert "one clip" in next(head["note"] for head in report["preview"]["heads"] if head["name"] == "lda")
    assert report["preview"]["advice"]["action"] == "label_more"
    assert report["headline"]["how"] == "held_out"  # nothing could be left out


def test_clips_that_cannot_be_decoded_end_the_run_in_words(
    home: Path, dataset: Dataset, tmp_path: Path, pool: DecodePool
) -> None:
    (home / "nothing").mkdir(exist_ok=True)
    for item in dataset.items:
        (home / "nothing" / item.sha256).write_bytes(b"no video")
    request = PreviewRequest(dataset=dataset.id, base="tiny")
    spec = spec_of(home, dataset, tmp_path, preview=request).model_copy(update={"clips": home / "nothing"})
    with pytest.raises(TrainingFailed, match="could be decoded") as raised:
        run_preview(spec, request, World(0, 1, CPU), pool, Stop())
    assert "its report says" in (raised.value.hint or "")


def test_the_tower_is_trained_where_the_preview_finds_enough_clips(
    home: Path, dataset: Dataset, tmp_path: Path, pool: DecodePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measure, "_tower_is_worth_it", lambda *_: True)
    monkeypatch.setitem(RECIPES, "default", replace(RECIPES["default"], epochs=1, warmup_epochs=0))
    card, _ = train(home, dataset, tmp_path / "tower", pool, **SMALL)
    report = json.loads((tmp_path / "tower" / "output" / "report.json").read_text())
    assert (card.hyperparameters["solver"], card.hyperparameters["tune"]) == ("gradient", "tower")
    assert report["preview"]["tower"] is True
    assert len(report["curves"]["train"]) > 0
    asked, _ = train(home, dataset, tmp_path / "asked", pool, **SMALL, solver="closed_form")
    assert asked.hyperparameters["solver"] == "closed_form"  # as the request says


@pytest.mark.parametrize("phase", ["features", "preview", "training"])
def test_a_run_that_is_cancelled_in_the_closed_form_leaves_no_version(
    home: Path, dataset: Dataset, tmp_path: Path, pool: DecodePool, monkeypatch: pytest.MonkeyPatch, phase: str
) -> None:
    stop, report_phase = Stop(), World.report_phase

    def cancelled(self: World, name: str, **details: Any) -> None:
        report_phase(self, name, **details)
        stop.requested = stop.requested or name == phase

    monkeypatch.setattr(World, "report_phase", cancelled)
    request = TrainingRequest(name="scenes", dataset=dataset.id, base="tiny")
    spec = spec_of(home, dataset, tmp_path, training=request)
    with pytest.raises(Stopped):
        run_training(spec, request, World(0, 1, CPU), pool, stop)


@pytest.mark.parametrize(
    "options", [{"epochs": 1}, {"tune": "projection", "epochs": 1}, {"classifier": "learned", "epochs": 1}]
)
def test_a_request_about_the_loop_gets_the_loop(
    home: Path, dataset: Dataset, tmp_path: Path, pool: DecodePool, options: dict[str, Any]
) -> None:
    card, _ = train(home, dataset, tmp_path, pool, **options)
    assert card.hyperparameters["solver"] == "gradient"
    assert "preview" in json.loads((tmp_path / "output" / "report.json").read_text())


def test_the_closed_form_is_refused_for_rows_that_are_not_text(
    home: Path, dataset: Dataset, tmp_path: Path, pool: DecodePool
) -> None:
    with pytest.raises(InvalidTraining, match="closed form"):
        train(home, dataset, tmp_path, pool, **SMALL, classifier="learned", solver="closed_form")


def test_the_training_after_a_preview_uses_its_features(
    home: Path, dataset: Dataset, tmp_path: Path, pool: DecodePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = PreviewRequest(dataset=dataset.id, base="tiny")
    run_preview(spec_of(home, dataset, tmp_path / "a", preview=request), request, World(0, 1, CPU), pool, Stop())
    decoded: list[str] = []
    submit = pool.submit

    def counted(path: Path, **options: Any) -> DecodeTask:
        decoded.append(path.name)
        return submit(path, **options)

    monkeypatch.setattr(pool, "submit", counted)
    train(home, dataset, tmp_path / "b", pool, **SMALL)
    assert not set(decoded) & {item.sha256 for item in dataset.of("train")}
    assert set(decoded) == {item.sha256 for item in dataset.of("val")}


def test_the_parent_understands_all_that_the_child_reports(
    home: Path, dataset: Dataset, tmp_path: Path, pool: DecodePool, capsys: pytest.CaptureFixture[str]
) -> None:
    train(home, dataset, tmp_path, pool, **SMALL)
    metrics = RunMetrics("small")
    phases = []
    for line in capsys.readouterr().out.splitlines():
        message = parse_message(line)
        assert message is not None
        metrics.observe(message)
        if message["name"] == "progress":
            phases.append(Progress.model_validate(message["data"]).phase)
    metrics.end()
    seen = ["preparing", "evaluating", "features", "preview", "training", "evaluating", "publishing"]
    assert list(dict.fromkeys(phases)) == list(dict.fromkeys(seen))
