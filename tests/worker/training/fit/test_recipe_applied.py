"""The loop applies its recipe: its first 60 steps against an independent loop, written from method §7 and §8."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.optim.optimizer import register_optimizer_step_pre_hook

from core.vocabulary import RecipeName
from models.classifier.inputs import TextInputs
from models.classifier.rows import Classifier, build_classifier
from models.fitting.recipes import RECIPES
from models.recognition.video_model import VideoModel
from tests.models.conftest import tiny_base
from tests.worker.training.fit.test_loop import CPU, LOSS, SeededPixels, config
from worker.training.fit.loop import fit_encoder
from worker.training.fit.updates import State
from worker.training.run.config import Config
from worker.training.run.order import Order
from worker.training.run.stop import Stop, Stopped

STEPS = 60
CLIPS, BATCH = 46, 4  # 12 steps per epoch; the last has 2 clips
EPOCHS = 8.0
SCALE = 5.0  # exp(s), at which gradients are not so steep that rounding grows within 60 steps
TEMPLATES = ("a video of {}.", "{}", "a photo of {}.")

# Method §8, by hand: rates at the peak of tower and new modules, betas, decay of matrices and of the rest, steps
# between two changes of the rate, largest gradient norm, largest exp(s).
TABLE: dict[RecipeName, tuple[float, float, tuple[float, float], float, float, int, float | None, float | None]] = {
    "text4vis": (5e-6, 5e-5, (0.9, 0.98), 0.2, 0.2, 10, None, None),
    "text4vis-2023": (5e-6, 5e-5, (0.9, 0.999), 0.2, 0.2, 10, None, None),
    "default": (5e-6, 5e-5, (0.9, 0.98), 0.2, 0.0, 1, 1.0, 100.0),
}


@dataclass
class Seen:
    """Facts of one optimiser step: for each parameter, by its name."""

    lr: dict[str, float]
    decay: dict[str, float]
    betas: set[tuple[float, float]]
    norm: float  # of all gradients


def parts(scale: float) -> tuple[VideoModel, Classifier]:
    """scale: exp(s) at the start."""
    base = tiny_base()
    classifier = build_classifier(
        "text",
        labels=("a cat", "a dog"),
        encoder=base.text_encoder,
        inputs=TextInputs("templates", TEMPLATES),
        dim=base.dim,
        seed=7,
    )
    torch.manual_seed(0)
    model = base.video_model("transformer", "random")
    with torch.no_grad():
        model.logit_scale.fill_(math.log(scale))
    return model, classifier


def settings_of(name: RecipeName) -> Config:
    recipe = RECIPES[name].with_epochs(EPOCHS)
    return config(recipe=recipe, lr=recipe.lr, batch=BATCH, micro=3, seed=5)


def order_of(settings: Config) -> Order:
    return Order(CLIPS, settings.repeats, settings.batch, settings.micro, settings.seed)


@contextmanager
def watched(model: VideoModel) -> Iterator[list[Seen]]:
    seen: list[Seen] = []
    names = {id(parameter): name for name, parameter in model.named_parameters()}

    def look(optimizer: Any, _args: Any, _kwargs: Any) -> None:
        groups = [(group, parameter) for group in optimizer.param_groups for parameter in group["params"]]
        seen.append(
            Seen(
                {names[id(parameter)]: group["lr"] for group, parameter in groups},
                {names[id(parameter)]: group["weight_decay"] for group, parameter in groups},
                {tuple(group["betas"]) for group, _ in groups},
                math.sqrt(sum(float(parameter.grad.double().square().sum()) for _, parameter in groups)),
            )
        )

    handle = register_optimizer_step_pre_hook(look)
    try:
        yield seen
    finally:
        handle.remove()


def expected_rate(peak: float, step: int, every: int) -> float:
    """Linear warm-up from 0 over 5 of 30 parts of the run, cosine to 0; the rate changes in an epoch's first iteration
    and then in every tenth one (T4V train.py 337-339)."""
    epoch, iteration = divmod(step, 12)
    if every == 10:
        iteration = 9 if iteration >= 9 else 0
    at, warmup = epoch + iteration / 12, EPOCHS * 5 / 30
    if at < warmup:
        return peak * at / warmup
    return peak * 0.5 * (1 + math.cos(math.pi * (at - warmup) / (EPOCHS - warmup)))


@pytest.mark.parametrize("name", TABLE)
def test_rates_decay_betas_and_clipping_of_sixty_steps(name: RecipeName) -> None:
    tower, new, betas, matrices, rest, every, clip, bound = TABLE[name]
    model, classifier = parts(99.9999 if bound else 101.0)
    # every step makes exp(s) larger
    model.logit_scale.register_hook(lambda gradient: -1 - gradient.abs())  # type: ignore[no-untyped-call]
    seen: list[Seen] = []
    scales = trained(name, model, classifier, seen)
    assert len(seen) == STEPS
    for step, facts in enumerate(seen):
        for parameter, rate in facts.lr.items():
            peak = new if parameter.startswith("temporal") else tower
            assert rate == pytest.approx(expected_rate(peak, step, every), abs=1e-12), (step, parameter)
        for parameter, tensor in model.named_parameters():
            decays = tensor.ndim >= 2
            assert facts.decay[parameter] == (matrices if decays else rest), parameter
        assert facts.betas == {betas}
    norms = [facts.norm for facts in seen]
    if clip is None:
        assert max(norms) > 1.5, "the tiny model's gradients are long enough to be clipped"
    else:
        assert max(norms) == pytest.approx(clip, rel=1e-4)
    if bound is not None:
        assert scales[-1] == pytest.approx(bound, rel=1e-6)
    else:
        assert min(scales) > 100.9


def trained(name: RecipeName, model: VideoModel, classifier: Classifier, into: list[Seen]) -> list[float]:
    """60 steps of the loop; returns exp(s) after each of them."""
    settings, stop, state = settings_of(name), Stop(), State()
    scales: list[float] = []

    def after(*_: object) -> None:
        scales.append(float(model.logit_scale.detach().exp()))
        stop.requested = state.step == STEPS

    with watched(model) as seen, pytest.raises(Stopped):
        fit_encoder(settings, model, classifier, LOSS, SeededPixels(), order_of(settings), state, CPU, stop, after)
    into += seen
    return scales


@pytest.mark.parametrize("name", TABLE)
def test_the_weights_after_sixty_steps_are_those_of_an_independent_loop(name: RecipeName) -> None:
    """The key biases of an attention have no gradient but rounding, which Adam makes as large as any other. So the mean
    distance of a parameter is compared with the mean length of its way."""
    model, classifier = parts(SCALE)
    start = {parameter: tensor.detach().clone() for parameter, tensor in model.named_parameters()}
    trained(name, model, classifier, [])
    reference = independent(name)
    for parameter, tensor in model.named_parameters():
        distance = (tensor.detach() - reference[parameter]).abs().mean()
        way = (reference[parameter] - start[parameter]).abs().mean()
        assert float(distance) < 0.03 * float(way), parameter


def independent(name: RecipeName) -> dict[str, Tensor]:
    """AdamW (Loshchilov and Hutter 2019, Algorithm 2) by hand over the mean loss of each global batch."""
    tower, new, (beta1, beta2), matrices, rest, every, clip, bound = TABLE[name]
    settings = settings_of(name)
    model, classifier = parts(SCALE)
    table: Tensor = classifier.table  # type: ignore[assignment]
    model.train()
    parameters = dict(model.named_parameters())
    first = {each: torch.zeros_like(tensor) for each, tensor in parameters.items()}
    second = {each: torch.zeros_like(tensor) for each, tensor in parameters.items()}
    whole = replace(order_of(settings), micro=BATCH)
    for step, groups in enumerate(whole.steps(0, STEPS)):
        (batch,) = SeededPixels().stream(groups)
        rows = table[int(np.random.default_rng((7, step)).integers(len(TEMPLATES)))]  # one template per step
        video = torch.nn.functional.normalize(model(batch.x), dim=-1)
        scores = model.logit_scale.exp() * video @ rows.T
        log_likelihood = scores.log_softmax(dim=-1)[torch.arange(len(scores)), batch.targets]
        gradients = dict(
            zip(parameters, torch.autograd.grad(-log_likelihood.mean(), [*parameters.values()]), strict=True)
        )
        norm = math.sqrt(sum(float(gradient.double().square().sum()) for gradient in gradients.values()))
        shrink = min(1.0, clip / norm) if clip else 1.0
        with torch.no_grad():
            for each, tensor in parameters.items():
                rate = expected_rate(new if each.startswith("temporal") else tower, step, every)
                gradient = gradients[each] * shrink
                first[each] = beta1 * first[each] + (1 - beta1) * gradient
                second[each] = beta2 * second[each] + (1 - beta2) * gradient**2
                mean, square = first[each] / (1 - beta1 ** (step + 1)), second[each] / (1 - beta2 ** (step + 1))
                tensor.sub_(rate * (matrices if tensor.ndim >= 2 else rest) * tensor)
                tensor.sub_(rate * mean / (square.sqrt() + 1e-8))
            if bound is not None:
                model.logit_scale.clamp_(max=math.log(bound))
    return {each: tensor.detach() for each, tensor in parameters.items()}
