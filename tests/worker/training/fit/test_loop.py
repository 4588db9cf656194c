"""The loop: accumulation, processes and interruptions change nothing; frozen parts stay as they are."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from core.errors import TrainingFailed
from core.vocabulary import TemporalKind
from models.classifier.inputs import TextInputs
from models.classifier.rows import Classifier, build_classifier
from models.fitting.methods import METHODS
from models.fitting.objectives import CrossEntropy
from models.fitting.recipes import RECIPES
from models.image.precision import DTYPES, autocasting
from models.recognition.video_model import VideoModel
from tests.models.conftest import tiny_base
from worker.training.fit.checkpoints import restore_checkpoint, save_checkpoint
from worker.training.fit.gradients import StepGradients
from worker.training.fit.loop import StepReport, fit_encoder
from worker.training.fit.updates import MOST_SKIPPED, State
from worker.training.run.config import Config
from worker.training.run.feeds import MicroBatch, mixed
from worker.training.run.order import Order, Pick
from worker.training.run.stop import Stop, Stopped

CPU = torch.device("cpu")
FRAMES, CLIPS = 4, 10
LOSS = CrossEntropy()


class SeededPixels:
    """A stand-in for FrameFeed: its pixels are noise, but always the same for the same pick."""

    from_trunk = False

    def __init__(self, size: int = 32) -> None:
        self.size = size

    def stream(self, plan: Iterable[Sequence[Pick]]) -> Iterator[MicroBatch]:
        for picks in plan:
            targets = torch.tensor([pick.clip % 2 for pick in picks])
            weights = torch.tensor([pick.weight for pick in picks])
            batch = MicroBatch(torch.stack([self._clip(pick.clip, pick.seed) for pick in picks]), targets, weights)
            partners = [pick.partner for pick in picks if pick.partner]
            if partners:
                row_of = {partner: row for row, partner in enumerate(partners)}
                pixels = torch.stack([self._clip(*partner) for partner in partners])
                batch = mixed(batch, picks, row_of, pixels, np.array([clip % 2 for clip, _ in partners]))
            yield batch

    def _clip(self, clip: int, seed: int) -> Tensor:
        generator = torch.Generator().manual_seed(1000 * clip + seed % 997)
        return torch.randn(FRAMES, 3, self.size, self.size, generator=generator) + (clip % 2)


def config(**changes: object) -> Config:
    plain = Config(
        method=METHODS["text4vis"],
        recipe=replace(RECIPES["default"], epochs=4.0, warmup_epochs=0.5),
        classifier="text",
        inputs=TextInputs(),
        temporal="transformer",
        temporal_init="identity",
        solver="gradient",
        tune="tower",
        frames=FRAMES,
        lr=1e-3,
        batch=5,
        micro=5,
        repeats=1,
        seed=0,
        augment=None,
        fusion="embedding",
        contrast=None,
        views="1x1",
        precision="fp32",
        gradient_checkpointing=False,
        cache_frames=False,
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def parts(temporal: TemporalKind = "transformer", kind: str = "text") -> tuple[VideoModel, Classifier]:
    torch.manual_seed(0)
    base = tiny_base()
    inputs = TextInputs()
    classifier = build_classifier(
        kind, labels=("a cat", "a dog"), encoder=base.text_encoder, inputs=inputs, dim=base.dim, seed=0
    )
    return base.video_model(temporal, "identity"), classifier


def order(settings: Config, rank: int = 0, world: int = 1) -> Order:
    numbers = CLIPS, settings.repeats, settings.batch, settings.micro, settings.seed
    return Order(*numbers, rank, world, mixing=settings.mixing, side=32)


def run(settings: Config, model: VideoModel, classifier: Classifier, state: State | None = None) -> State:
    state = state or State()
    fit_encoder(
        settings,
        model,
        classifier,
        LOSS,
        SeededPixels(),
        order(settings),
        state,
        CPU,
        Stop(),
        lambda *_: None,
    )
    return state


def losses(state: State) -> list[float]:
    return [point["loss"] or 0.0 for point in state.curve]


def test_the_model_learns_and_w_stays_bit_identical() -> None:
    model, classifier = parts()
    before = classifier.rows().clone()
    eager = replace(config().recipe, pretrained_ratio=1.0, epochs=10.0)
    state = run(config(recipe=eager, batch=10), model, classifier)
    assert losses(state)[-1] < 0.5 * losses(state)[0]
    assert torch.equal(classifier.rows(), before)


@pytest.mark.parametrize("micro", [1, 2, 3])
def test_gradient_accumulation_is_the_same_global_batch(micro: int) -> None:
    whole = losses(run(config(), *parts()))
    split = losses(run(config(micro=micro), *parts()))
    assert split == pytest.approx(whole, abs=1e-4)


def test_two_epochs_and_two_more_are_four(tmp_path: Path) -> None:
    settings = config()
    whole_model, classifier = parts()
    whole = run(settings, whole_model, classifier)
    model, classifier = parts()
    stop, state, path = Stop(), State(), tmp_path / "checkpoint.pt"

    def after(done: StepReport, _: State) -> None:
        stop.requested = done.step == 4  # of 8: two epochs

    with pytest.raises(Stopped):
        fit_encoder(settings, model, classifier, LOSS, SeededPixels(), order(settings), state, CPU, stop, after)
    save_checkpoint(path, model, classifier, state, {}, "base")
    model, classifier = parts()
    state, _ = restore_checkpoint(path, model, classifier, "base")
    assert state.step == 4
    resumed = run(settings, model, classifier, state)
    assert losses(resumed) == pytest.approx(losses(whole), abs=1e-6)
    for name, tensor in whole_model.state_dict().items():
        torch.testing.assert_close(model.state_dict()[name], tensor, rtol=0, atol=1e-6)


def test_a_loss_that_is_never_finite_ends_the_run_in_words() -> None:
    model, classifier = parts()
    with torch.no_grad():
        model.logit_scale.fill_(float("nan"))
    with pytest.raises(TrainingFailed, match="not finite in 8 steps in a row, up to step 7; the loss was nan"):
        run(config(), model, classifier)


def test_many_steps_in_a_row_without_finite_gradients_end_the_run() -> None:
    model, classifier = parts("mean")
    model.logit_scale.register_hook(lambda gradient: gradient * float("inf"))  # type: ignore[no-untyped-call]
    state = State()
    with pytest.raises(TrainingFailed, match=f"not finite in {MOST_SKIPPED} steps in a row"):
        run(config(temporal="mean", recipe=replace(RECIPES["default"], epochs=50.0)), model, classifier, state)
    assert state.skipped == MOST_SKIPPED
    assert finite(model)


@pytest.mark.parametrize("grad_clip", [None, 1.0])
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_a_gradient_that_is_not_a_number_never_reaches_the_weights(precision: str, grad_clip: float | None) -> None:
    """The loss is finite; GradScaler runs on a CPU too."""
    model, classifier = parts("mean")
    parameter = next(parameter for name, parameter in model.named_parameters() if name.endswith("conv1.weight"))
    state, weights = State(), [parameter.detach().clone()]
    poisoned = 3

    def poison(gradient: Tensor) -> Tensor:
        return gradient * float("nan") if state.step == poisoned else gradient

    parameter.register_hook(poison)  # type: ignore[no-untyped-call]
    recipe = replace(RECIPES["default"], epochs=4.0, warmup_epochs=0.5, grad_clip=grad_clip)
    fit_encoder(
        config(temporal="mean", precision=precision, recipe=recipe),
        model,
        classifier,
        LOSS,
        SeededPixels(),
        order(config()),
        state,
        CPU,
        Stop(),
        lambda *_: weights.append(parameter.detach().clone()),
    )
    assert finite(model)
    changed = [not torch.equal(before, after) for before, after in pairwise(weights)]
    assert changed[1:] == [step != poisoned for step in range(1, 8)]  # at step 0 the rate is 0
    assert (state.skipped, state.skipped_in_row) == (1, 0)
    assert state.optimizer is not None
    moments = [tensor for slot in state.optimizer["state"].values() for tensor in slot.values()]
    assert all(torch.isfinite(tensor).all() for tensor in moments)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_the_loss_is_float32_in_every_precision(precision: str) -> None:
    """Method §7. In bf16 only the tower differs: the loss of the same features is that of float64."""
    model, classifier = parts("mean")
    with torch.no_grad():
        model.logit_scale.fill_(math.log(100.0))
    features: list[Tensor] = []
    model.register_forward_hook(lambda _module, _inputs, video: features.append(video.detach()))
    (batch,) = SeededPixels().stream([next(order(config()).steps(0, 1))[0]])
    gradients = StepGradients(model, classifier, LOSS, from_trunk=False, device=CPU, compute=DTYPES[precision])
    with autocasting(CPU, DTYPES[precision]):
        loss = gradients.loss(batch, classifier.rows(0))
    video = torch.nn.functional.normalize(features[0].double(), dim=-1)
    scores = 100 * video @ classifier.rows(0).double().T
    expected = torch.nn.functional.cross_entropy(scores, batch.targets, reduction="sum")
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss.detach().double(), expected, rtol=0, atol=1e-3)


def test_a_checkpoint_is_never_written_with_weights_that_are_not_finite(tmp_path: Path) -> None:
    model, classifier = parts()
    with torch.no_grad():
        next(model.tower.parameters()).view(-1)[0] = float("nan")
    with pytest.raises(TrainingFailed, match="not finite after step 4"):
        save_checkpoint(tmp_path / "checkpoint.pt", model, classifier, State(step=4), {}, "base")
    assert not list(tmp_path.iterdir())


def finite(model: VideoModel) -> bool:
    return all(bool(torch.isfinite(tensor).all()) for tensor in model.state_dict().values())


def test_a_clip_without_weight_does_not_count() -> None:
    """Fillers, and clips that could not be decoded."""
    model, classifier = parts("mean")
    rows = classifier.rows(0)
    gradients = StepGradients(model, classifier, LOSS, False, CPU, torch.float32)
    (whole,) = SeededPixels().stream([next(order(config()).steps(0, 1))[0]])
    weights = torch.tensor([1.0, 0.0, 1.0, 0.0, 1.0])
    kept = weights > 0
    some = gradients.loss(replace(whole, weights=weights), rows)
    alone = gradients.loss(MicroBatch(whole.x[kept], whole.targets[kept], weights[kept]), rows)
    torch.testing.assert_close(some, alone, rtol=1e-4, atol=1e-4)
    assert float(some.detach()) < float(gradients.loss(whole, rows).detach())


def test_a_learned_classifier_moves() -> None:
    model, classifier = parts("mean", "learned")
    before = classifier.rows().detach().clone()
    run(config(temporal="mean"), model, classifier)
    assert not torch.equal(classifier.rows(), before)


def test_gradient_checkpointing_changes_nothing() -> None:
    model, classifier = parts()
    model.tower.set_grad_checkpointing(True)
    assert losses(run(config(), model, classifier)) == pytest.approx(losses(run(config(), *parts())), abs=1e-5)
