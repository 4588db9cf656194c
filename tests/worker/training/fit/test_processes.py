"""The loop in two processes, over gloo: the same losses as in one, and little that is exchanged."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor

from tests.worker.training.fit.test_batch_norms import MEAN, resnet, settings, statistics
from tests.worker.training.fit.test_loop import CLIPS, CPU, LOSS, SeededPixels, config, losses, order, parts, run
from tests.worker.training.fit.test_supply import short
from tests.worker.training.ranks import run_in_processes
from worker.training.fit.loop import fit_encoder
from worker.training.fit.updates import State
from worker.training.run.config import Config
from worker.training.run.stop import Stop

LOSSES = config(micro=2)  # a batch of five clips: one process has three, the other two and a filler
PAIR = settings(batch=10)  # a batch is an epoch, and each process has five clips of it
STATISTICS = replace(PAIR, recipe=replace(PAIR.recipe, epochs=2.0))


def rank_main(rank: int, folder: str) -> None:
    dist.init_process_group("gloo", rank=rank, world_size=2)

    def fit(config: Config, model: Any, classifier: Any, after: Any = lambda *_: None) -> State:
        state, share = State(), order(config, rank, 2)
        fit_encoder(config, model, classifier, LOSS, SeededPixels(), share, state, CPU, Stop(), after)
        return state

    model, classifier = resnet(STATISTICS)
    model.register_buffer("mark", torch.tensor(float(rank)))
    steps: list[dict[str, Tensor]] = []

    def after(*_: object) -> None:
        mark = model.get_buffer("mark")
        steps.append(statistics(model) | {"mark": mark.clone()})
        mark.fill_(10.0 + rank)

    fit(STATISTICS, model, classifier, after)
    model, classifier = parts()
    with short(model, 2 if rank == 1 else CLIPS, MemoryError()):
        small = fit(config(), model, classifier)
    found = {"losses": losses(fit(LOSSES, *parts())), "steps": steps, "small": losses(small), "micro": small.micro}
    torch.save(found, Path(folder) / f"{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each of the two processes has seen."""
    folder = tmp_path_factory.mktemp("ranks")
    run_in_processes(rank_main, 2, str(folder))
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(2)]


def test_two_processes_have_the_loss_of_one(found: list[dict[str, Any]]) -> None:
    """With the same global batch."""
    assert found[0]["losses"] == pytest.approx(losses(run(config(), *parts())), abs=1e-4)


def test_all_processes_take_the_size_that_fits_into_the_memory_of_each(found: list[dict[str, Any]]) -> None:
    assert [process["micro"] for process in found] == [2, 2]
    assert found[0]["small"] == found[1]["small"] == found[0]["losses"]


def test_statistics_of_batch_norms_are_the_mean_over_processes(found: list[dict[str, Any]]) -> None:
    own = []
    for rank in range(2):
        model, _ = resnet(STATISTICS)
        (picks,) = next(order(replace(STATISTICS, micro=5), rank, 2).steps(0, 1))
        (batch,) = SeededPixels().stream([picks])
        model.train()(batch.x)
        own.append(statistics(model))
    assert not torch.allclose(own[0][MEAN], own[1][MEAN], atol=1e-4)
    for name, tensor in own[0].items():
        expected = (tensor + own[1][name]) / 2 if tensor.is_floating_point() else tensor
        for process in found:
            torch.testing.assert_close(process["steps"][0][name], expected, rtol=1e-4, atol=1e-5, msg=name)


def test_buffers_are_sent_once(found: list[dict[str, Any]]) -> None:
    """W does not change, and it may be large. The mark is the first process's at the start; what each process writes
    into it afterwards stays."""
    assert [[float(step["mark"]) for step in process["steps"]] for process in found] == [[0.0, 10.0], [0.0, 11.0]]
