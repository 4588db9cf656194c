"""A checkpoint holds what training changes; frozen weights come from the base model, which must be the same (T8)."""

from __future__ import annotations

import copy
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from core.errors import TrainingFailed
from models.classifier.rows import Classifier
from models.recognition.video_model import VideoModel
from tests.models.conftest import resnet_base
from tests.worker.training.fit.test_loop import config, parts, run
from worker.training.fit.checkpoints import restore_checkpoint, save_checkpoint
from worker.training.fit.updates import State

BASE = "digest of the base model"
STATISTIC = "tower.visual.bn1.running_mean"


def frozen_trunk() -> tuple[VideoModel, Classifier]:
    """Only the projection and the temporal head are trained."""
    model, classifier = parts()
    model.tower.requires_grad_(requires_grad=False)
    for _, parameter in model.tower.projection_parameters():
        parameter.requires_grad = True
    return model, classifier


def saved(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = torch.load(path, weights_only=True)
    return found


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "checkpoint.pt"


def test_every_tensor_is_copied_to_the_host_once_and_never_on_its_device(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, classifier = parts()
    state = run(config(), model, classifier)
    on_host: list[Tensor] = []

    def cpu(tensor: Tensor) -> Tensor:
        on_host.append(tensor)
        return tensor

    def refuse(tensor: Tensor, _memo: object) -> Tensor:
        raise AssertionError(f"a tensor {tuple(tensor.shape)} is copied on its device")

    monkeypatch.setattr(Tensor, "cpu", cpu)
    monkeypatch.setattr(Tensor, "__deepcopy__", refuse)
    save_checkpoint(path, model, classifier, state, {}, BASE)
    monkeypatch.undo()
    assert state.optimizer is not None
    moments = [tensor for slot in state.optimizer["state"].values() for tensor in slot.values()]
    assert len(on_host) == len(model.state_dict()) + len(classifier.state_dict()) + len(moments)


def test_frozen_weights_are_not_saved_and_come_from_the_base(path: Path) -> None:
    model, classifier = frozen_trunk()
    frozen = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    state = run(config(), model, classifier)
    save_checkpoint(path, model, classifier, state, {"score": 1.0}, BASE)
    names = set(saved(path)["model"])
    assert len(frozen) > 20
    assert names == {*model.state_dict()} - frozen
    fresh, rows = frozen_trunk()
    restored, baseline = restore_checkpoint(path, fresh, rows, BASE)
    assert (restored.step, baseline) == (state.step, {"score": 1.0})
    for name, tensor in model.state_dict().items():
        assert torch.equal(fresh.state_dict()[name], tensor), name


def test_the_statistics_of_batch_norms_are_saved(path: Path) -> None:
    _, classifier = parts()
    model, fresh = (resnet_base().video_model("mean").requires_grad_(requires_grad=False) for _ in range(2))
    model.get_buffer(STATISTIC).fill_(7.0)
    save_checkpoint(path, model, classifier, State(), {}, BASE)
    restore_checkpoint(path, fresh, classifier, BASE)
    assert (fresh.get_buffer(STATISTIC) == 7.0).all()


def test_a_run_does_not_continue_on_another_base_model(path: Path) -> None:
    model, classifier = frozen_trunk()
    save_checkpoint(path, model, classifier, State(step=3), {}, BASE)
    fresh, rows = frozen_trunk()
    before = copy.deepcopy(fresh.state_dict())
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1.0)
    with pytest.raises(TrainingFailed, match="began with another base model"):
        restore_checkpoint(path, fresh, rows, "digest of another model")
    assert all(torch.equal(fresh.state_dict()[name], tensor) for name, tensor in before.items())


def test_a_checkpoint_of_format_1_is_continued(path: Path) -> None:
    """Earlier versions saved all weights and knew no digest."""
    model, classifier = frozen_trunk()
    state = run(config(), model, classifier)
    earlier = {"model": model.state_dict(), "classifier": classifier.state_dict(), "state": asdict(state)}
    torch.save({"format": 1, **earlier, "kept": {"score": 0.5}}, path)
    fresh, rows = frozen_trunk()
    with torch.no_grad():
        next(fresh.tower.parameters()).add_(1.0)
    restored, baseline = restore_checkpoint(path, fresh, rows, BASE)
    assert (restored.step, restored.curve, baseline) == (state.step, state.curve, {"score": 0.5})
    for name, tensor in model.state_dict().items():
        assert torch.equal(fresh.state_dict()[name], tensor), name


@pytest.mark.parametrize("change", ["another shape", "a trained weight is missing", "an unknown weight", "format 4"])
def test_a_checkpoint_that_does_not_fit_is_refused_in_words(path: Path, change: str) -> None:
    model, classifier = frozen_trunk()
    save_checkpoint(path, model, classifier, State(), {}, BASE)
    content = saved(path)
    match change:
        case "another shape":
            content["model"]["logit_scale"] = torch.zeros(2)
        case "a trained weight is missing":
            del content["model"]["logit_scale"]
        case "an unknown weight":
            content["model"]["tower.visual.more"] = torch.zeros(2)
        case _:
            content["format"] = 4
    torch.save(content, path)
    with pytest.raises(TrainingFailed, match="newer version" if change == "format 4" else "does not fit its model"):
        restore_checkpoint(path, *frozen_trunk(), BASE)


def test_rows_that_were_learned_are_restored(path: Path) -> None:
    model, classifier = parts("mean", "learned")
    state = run(config(temporal="mean"), model, classifier)
    save_checkpoint(path, model, classifier, state, {}, BASE)
    again, fresh = parts("mean", "learned")
    assert not torch.equal(fresh.rows(), classifier.rows())
    restore_checkpoint(path, again, fresh, BASE)
    assert torch.equal(fresh.rows(), classifier.rows())
