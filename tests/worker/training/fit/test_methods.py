"""For every method: an interruption, accumulation and several processes change nothing, and what it freezes stays."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
import torch.distributed as dist
from torch import Tensor

from core.vocabulary import Fusion, MethodName
from models.classifier.inputs import TextInputs
from models.classifier.rows import Classifier
from models.fitting.methods import METHODS
from models.fitting.mixing import Mixing
from models.frames.augmentation import Augment
from models.recognition.video_model import VideoModel
from tests.models.conftest import tiny_base
from tests.worker.training.fit.test_loop import CPU, SeededPixels, config, order
from tests.worker.training.ranks import run_in_processes
from worker.training.fit.checkpoints import restore_checkpoint, save_checkpoint
from worker.training.fit.gradients import StepGradients
from worker.training.fit.loop import StepReport, fit_encoder
from worker.training.fit.updates import State
from worker.training.run.config import Config
from worker.training.run.parts import new_classifier, new_model
from worker.training.run.stop import Stop, Stopped

LABELS = ("a cat", "a dog", "two birds")
NAMES: tuple[MethodName, ...] = get_args(MethodName)
STEPS = 8  # four epochs of two
# So that mixing, smoothing and the other levels of fusion are among the runs
VARIED: dict[MethodName, dict[str, Any]] = {"vifi": {"mixing": Mixing(), "smoothing": 0.1}}
FUSIONS: dict[MethodName, Fusion] = {"image_only": "decision", "text_only": "image"}


def settings(name: MethodName, **changes: object) -> Config:
    """Batches of five: two processes share them unequally."""
    method = METHODS[name]
    recipe = replace(method.recipe("default"), epochs=4.0, warmup_epochs=0.5)
    recipe = replace(recipe, **VARIED.get(name, {}))
    plain = config(
        method=method,
        contrast="kl" if method.contrastive else None,
        recipe=recipe,
        fusion=FUSIONS.get(name, "embedding"),
        augment=Augment(),  # `SeededPixels` changes no pixels, but mixes clips
        classifier=method.classifier or "text",
        temporal="mean" if method.mean or method.prompted else "transformer",
        inputs=TextInputs("context") if method.prompted else TextInputs("templates", ("a video of {}.", "{}")),
        tune="tower" if method.trains_images else None,
        lr=1e-3,
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


Parts = tuple[VideoModel, Classifier]


def parts(settings: Config) -> Parts:
    base = tiny_base()
    return new_model(base, settings, CPU), new_classifier(settings, LABELS, base.text_encoder, base.dim, CPU)


def fit(settings: Config, made: Parts, state: State, rank: int = 0, world: int = 1, until: int = STEPS) -> None:
    """Up to a step. Raises: Stopped, if it is not the last."""
    stop = Stop()

    def after(done: StepReport, _: State) -> None:
        stop.requested = done.step == until != STEPS

    share, loss = order(settings, rank, world), settings.objective
    fit_encoder(settings, *made, loss, SeededPixels(), share, state, CPU, stop, after)


def weights(made: Parts) -> dict[str, Tensor]:
    return {
        f"{kind}.{name}": tensor.detach().clone()
        for kind, module in zip(("model", "classifier"), made, strict=True)
        for name, tensor in module.state_dict().items()
    }


def losses(state: State) -> list[float]:
    return [point["loss"] or 0.0 for point in state.curve]


@pytest.fixture(scope="module")
def whole() -> dict[MethodName, tuple[list[float], dict[str, Tensor]]]:
    """Losses and weights of uninterrupted runs."""
    found = {}
    for name in NAMES:
        made, state = parts(settings(name)), State()
        fit(settings(name), made, state)
        found[name] = losses(state), weights(made)
    return found


@pytest.mark.parametrize("name", NAMES)
def test_two_epochs_and_two_more_are_four(
    name: MethodName, tmp_path: Path, whole: dict[MethodName, tuple[list[float], dict[str, Tensor]]]
) -> None:
    first, state, path = parts(settings(name)), State(), tmp_path / "checkpoint.pt"
    with pytest.raises(Stopped):
        fit(settings(name), first, state, until=4)
    save_checkpoint(path, *first, state, {}, "base")
    second = parts(settings(name))
    state, _ = restore_checkpoint(path, *second, "base")
    fit(settings(name), second, state)
    assert losses(state) == pytest.approx(whole[name][0], abs=1e-6)
    for parameter, tensor in weights(second).items():
        torch.testing.assert_close(tensor, whole[name][1][parameter], rtol=0, atol=1e-6, msg=parameter)


@pytest.mark.parametrize("name", NAMES)
def test_accumulation_changes_nothing(
    name: MethodName, whole: dict[MethodName, tuple[list[float], dict[str, Tensor]]]
) -> None:
    state = State()
    fit(settings(name, micro=2), parts(settings(name)), state)
    assert losses(state) == pytest.approx(whole[name][0], abs=1e-4)


def rank_main(rank: int, folder: str) -> None:
    dist.init_process_group("gloo", rank=rank, world_size=2)
    found = {}
    for name in NAMES:
        made, state = parts(settings(name)), State()
        fit(settings(name, micro=2), made, state, rank, 2)
        found[name] = losses(state), weights(made)
    torch.save(found, Path(folder) / f"{rank}.pt")
    dist.destroy_process_group()


def test_two_processes_are_one(
    whole: dict[MethodName, tuple[list[float], dict[str, Tensor]]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("ranks")
    run_in_processes(rank_main, 2, str(folder))
    first, second = (torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(2))
    for name in NAMES:
        assert first[name][0] == pytest.approx(whole[name][0], abs=1e-4), name
        for parameter, tensor in first[name][1].items():
            assert torch.equal(tensor, second[name][1][parameter]), (name, parameter)


@pytest.mark.parametrize("name", NAMES)
def test_exactly_what_the_method_moves_moves(
    name: MethodName, whole: dict[MethodName, tuple[list[float], dict[str, Tensor]]]
) -> None:
    """And the table of word embeddings never does (method §16 #12)."""
    start = weights(parts(settings(name)))
    moved = {each for each, tensor in whole[name][1].items() if not torch.equal(tensor, start[each])}
    expected = {
        "text4vis": {"image_tower", "head", "scale"},
        "vision_only": {"image_tower", "head", "scale"},
        "vifi": {"image_tower", "text_tower", "scale"},
        "image_only": {"image_tower"},
        "text_only": {"text_tower"},
        "contrastive": {"image_tower", "text_tower", "head", "scale"},
        "vl_prompt": {"prompts"},
    }[name]
    model, classifier = parts(settings(name))
    roles = {f"model.{each}": role for role, each, _ in model.parameters_by_role()}
    roles |= {f"classifier.{each}": role for role, each, _ in classifier.parameters_by_role()}
    assert {roles[each] for each in moved} == expected
    assert not [each for each in moved if "token_embedding" in each]


def test_w_is_encoded_once_per_step_whatever_the_accumulation(monkeypatch: pytest.MonkeyPatch) -> None:
    made = parts(settings("vifi", micro=1))
    calls: list[int | None] = []
    rows = made[1].rows

    def counted(step: int | None = None) -> Tensor:
        calls.append(step)
        return rows(step)

    monkeypatch.setattr(made[1], "rows", counted)
    fit(settings("vifi", micro=1), made, State())
    assert calls == list(range(STEPS))


@pytest.mark.parametrize("name", ["vifi", "text_only"])
def test_the_text_tower_has_the_gradient_of_the_whole_batch(name: MethodName) -> None:
    """Against one graph without accumulation: the mean cross-entropy over all classes (method §12)."""
    plain = settings(name, fusion="embedding", recipe=replace(settings(name).recipe, mixing=None, smoothing=0.0))
    made = parts(plain)
    model, classifier = made
    (picks,) = next(order(plain).steps(0, 1))
    (batch,) = SeededPixels().stream([picks])
    video = torch.nn.functional.normalize(model(batch.x), dim=-1)
    scores = model.logit_scale.exp() * video @ classifier.rows(0).T
    moving = [parameter for _, _, parameter in classifier.parameters_by_role() if parameter.requires_grad]
    expected = torch.autograd.grad(torch.nn.functional.cross_entropy(scores, batch.targets), moving, allow_unused=True)

    gradients = StepGradients(model, classifier, plain.objective, False, CPU, torch.float32)
    groups = next(order(replace(plain, micro=2)).steps(0, 1))

    def backward(loss: Tensor) -> None:
        torch.autograd.backward([loss])

    gradients.accumulate(0, SeededPixels().stream(groups), len(picks), backward)
    for parameter, gradient in zip(moving, expected, strict=True):
        assert gradient is not None
        assert parameter.grad is not None
        rounding = 1e-5 * float(gradient.abs().max())
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-4, atol=rounding)
