"""Batch norms: `text4vis` trains their statistics with the tower, as the original does; `default` does not (T10)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from core.vocabulary import RecipeName
from models.classifier.rows import Classifier
from models.files.saving import save_version
from models.fitting.recipes import RECIPES
from models.recognition.video_model import VideoModel
from tests.models.conftest import resnet_base
from tests.worker.training.fit.test_loop import CPU, LOSS, SeededPixels, config, order, parts
from worker.training.fit.checkpoints import restore_checkpoint, save_checkpoint
from worker.training.fit.loop import fit_encoder
from worker.training.fit.updates import State
from worker.training.run.config import Config
from worker.training.run.parts import new_model
from worker.training.run.stop import Stop, Stopped

MEAN = "tower.visual.bn1.running_mean"


def settings(recipe: RecipeName = "text4vis", **changes: object) -> Config:
    short = replace(RECIPES[recipe], epochs=1.0, warmup_epochs=0.0)
    return config(recipe=short, temporal="mean", **changes)


def resnet(config: Config) -> tuple[VideoModel, Classifier]:
    return new_model(resnet_base(), config, CPU), parts("mean")[1]


def statistics(model: VideoModel) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items() if "running_" in name or "num_" in name}


def fit(
    config: Config,
    model: VideoModel,
    classifier: Classifier,
    state: State,
    stop: Stop | None = None,
    after: Callable[..., None] = lambda *_: None,
) -> None:
    fit_encoder(config, model, classifier, LOSS, SeededPixels(), order(config), state, CPU, stop or Stop(), after)


@pytest.mark.parametrize(
    ("recipe", "tune", "trained"),
    [
        ("text4vis", "tower", True),
        ("text4vis-2023", "tower", True),
        ("text4vis", "projection", False),
        ("default", "tower", False),
    ],
)
def test_the_recipe_says_whether_statistics_are_trained(recipe: RecipeName, tune: str, trained: bool) -> None:
    chosen = settings(recipe, tune=tune)
    model, classifier = resnet(chosen)
    before = statistics(model)
    fit(chosen, model, classifier, State())
    after = statistics(model)
    assert len(before) > 30
    assert [not torch.equal(after[name], tensor) for name, tensor in before.items()] == [trained] * len(before)
    model.eval()(torch.randn(1, 4, 3, 32, 32))
    assert all(torch.equal(statistics(model)[name], tensor) for name, tensor in after.items())


def test_they_are_part_of_the_version(tmp_path: Path) -> None:
    chosen = settings()
    model, classifier = resnet(chosen)
    fit(chosen, model, classifier, State())
    base = resnet_base()
    save_version(tmp_path, model, base, encoder=base.text_encoder, classifier=classifier.state())
    saved = load_file(tmp_path / "model.safetensors")
    for name, tensor in statistics(model).items():
        assert torch.equal(saved[name.removeprefix("tower.")], tensor), name


def test_a_block_that_is_computed_twice_collects_once() -> None:
    """With gradient checkpointing the backward pass computes each block again."""
    collected = []
    for checkpointing in (False, True):
        chosen = settings(gradient_checkpointing=checkpointing)
        model, classifier = resnet(chosen)
        fit(chosen, model, classifier, State())
        collected.append(statistics(model))
    for name, tensor in collected[0].items():
        torch.testing.assert_close(collected[1][name], tensor, msg=name)


def test_a_step_that_is_skipped_leaves_no_trace() -> None:
    """Its activations may be infinite, which would stay in the statistics for ever."""
    chosen = settings()
    model, classifier = resnet(chosen)
    seen, state = [statistics(model)], State()

    def overflow(_module: object, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
        return (inputs[0] * float("inf"),) if state.step == 1 and model.training else None

    model.tower.visual.bn1.register_forward_pre_hook(overflow)  # type: ignore[union-attr]
    fit(replace(chosen, batch=3), model, classifier, state, after=lambda *_: seen.append(statistics(model)))
    assert state.skipped == 1
    changed = [not torch.equal(one[MEAN], other[MEAN]) for one, other in pairwise(seen)]
    assert changed == [True, False, True, True]
    assert all(torch.isfinite(tensor).all() for tensor in statistics(model).values())


def test_a_run_that_is_stopped_within_a_step_continues_to_the_same_statistics(tmp_path: Path) -> None:
    chosen, path = settings(micro=1), tmp_path / "checkpoint.pt"
    whole, classifier = resnet(chosen)
    fit(chosen, whole, classifier, State())

    class Interrupted(Stop):
        calls = 0

        def check(self) -> None:
            self.calls += 1
            if self.calls == 8:  # after two of the second step's five micro-batches
                raise Stopped

    model, classifier = resnet(chosen)
    state = State()
    with pytest.raises(Stopped):
        fit(chosen, model, classifier, state, Interrupted())
    assert state.step == 1
    save_checkpoint(path, model, classifier, state, {}, "base")
    model, classifier = resnet(chosen)
    state, _ = restore_checkpoint(path, model, classifier, "base")
    fit(chosen, model, classifier, state)
    for name, tensor in statistics(whole).items():
        torch.testing.assert_close(statistics(model)[name], tensor, rtol=0, atol=1e-6, msg=name)
