"""The loop: accumulation, processes and interruptions change nothing; what is frozen stays as it was."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import Tensor
from torch.multiprocessing.spawn import spawn

from core.errors import TrainingFailed
from core.vocabulary import TemporalKind
from models.classifier.inputs import TextInputs
from models.classifier.rows import Classifier, build_classifier
from models.fitting.recipes import RECIPES
from models.recognition.video_model import VideoModel
from tests.models.conftest import tiny_base
from worker.training.run import checkpoints
from worker.training.run.config import Config
from worker.training.run.feeds import MicroBatch
from worker.training.run.loop import State, Step, train
from worker.training.run.order import Order, Pick
from worker.training.run.stop import Stop, Stopped

CPU = torch.device("cpu")
FRAMES, CLIPS = 4, 10


class SeededPixels:
    """A double of FrameFeed: pixels that are noise, but always the same for the same pick."""

    from_trunk = False

    def __init__(self, size: int = 32) -> None:
        self.size = size

    def stream(self, plan: Iterable[Sequence[Pick]]) -> Iterator[MicroBatch]:
        for picks in plan:
            clips = [self._clip(pick) for pick in picks]
            targets = torch.tensor([pick.clip % 2 for pick in picks])
            yield MicroBatch(torch.stack(clips), targets, torch.tensor([pick.weight for pick in picks]))

    def _clip(self, pick: Pick) -> Tensor:
        generator = torch.Generator().manual_seed(1000 * pick.clip + pick.seed % 997)
        return torch.randn(FRAMES, 3, self.size, self.size, generator=generator) + (pick.clip % 2)


def config(**changes: object) -> Config:
    plain = Config(
        recipe=replace(RECIPES["default"], epochs=4.0, warmup_epochs=0.5),
        classifier="text",
        inputs=TextInputs(),
        temporal="transformer",
        temporal_init="identity",
        tune="tower",
        frames=FRAMES,
        lr=1e-3,
        batch=5,
        micro=5,
        repeats=1,
        seed=0,
        augment=None,
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
    return Order(CLIPS, settings.repeats, settings.batch, settings.micro, settings.seed, rank, world)


def run(settings: Config, model: VideoModel, classifier: Classifier, state: State | None = None) -> State:
    state = state or State()
    train(settings, model, classifier, SeededPixels(), order(settings), state, CPU, Stop(), lambda *_: None)
    return state


def losses(state: State) -> list[float]:
    return [point["loss"] or 0.0 for point in state.curve]


def test_it_learns_and_w_stays_bit_identical() -> None:
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

    def after(done: Step, _: State) -> None:
        stop.asked = done.step == 4  # of 8: two epochs

    with pytest.raises(Stopped):
        train(settings, model, classifier, SeededPixels(), order(settings), state, CPU, stop, after)
    checkpoints.save(path, model, classifier, state, {})
    model, classifier = parts()
    state, _ = checkpoints.restore(path, model, classifier)
    assert state.step == 4
    resumed = run(settings, model, classifier, state)
    assert losses(resumed) == pytest.approx(losses(whole), abs=1e-6)
    for name, tensor in whole_model.state_dict().items():
        torch.testing.assert_close(model.state_dict()[name], tensor, rtol=0, atol=1e-6)


def test_a_loss_that_is_no_number_ends_the_run() -> None:
    model, classifier = parts()
    with torch.no_grad():
        model.logit_scale.fill_(float("nan"))
    with pytest.raises(TrainingFailed, match="loss is nan at step 0"):
        run(config(), model, classifier)


def test_a_learned_classifier_moves() -> None:
    model, classifier = parts("mean", "learned")
    before = classifier.rows().detach().clone()
    run(config(temporal="mean"), model, classifier)
    assert not torch.equal(classifier.rows(), before)


def test_gradient_checkpointing_changes_nothing() -> None:
    model, classifier = parts()
    model.tower.set_grad_checkpointing(True)
    assert losses(run(config(), model, classifier)) == pytest.approx(losses(run(config(), *parts())), abs=1e-5)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def rank_main(rank: int, port: int, out: str) -> None:
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    dist.init_process_group("gloo", rank=rank, world_size=2)
    model, classifier = parts()
    settings, state = config(micro=2), State()
    train(settings, model, classifier, SeededPixels(), order(settings, rank, 2), state, CPU, Stop(), lambda *_: None)
    if rank == 0:
        torch.save(losses(state), out)
    dist.destroy_process_group()


def test_two_processes_have_the_loss_of_one(tmp_path: Path) -> None:
    """DDP over gloo, the same global batch of 5: 3 clips here, 2 and a filler there."""
    out = tmp_path / "losses.pt"
    spawn(rank_main, args=(free_port(), str(out)), nprocs=2)  # type: ignore[no-untyped-call]
    assert torch.load(out, weights_only=True) == pytest.approx(losses(run(config(), *parts())), abs=1e-4)
