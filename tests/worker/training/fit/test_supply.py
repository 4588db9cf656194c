"""A step that does not fit into memory is begun again with smaller micro-batches, and ends with the same weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from core.vocabulary import MethodName
from tests.worker.training.fit.test_batch_norms import resnet
from tests.worker.training.fit.test_batch_norms import settings as with_statistics
from tests.worker.training.fit.test_loop import CPU, LOSS, SeededPixels, order
from tests.worker.training.fit.test_methods import Parts, fit, losses, parts, settings, weights
from worker.training.fit.checkpoints import restore_checkpoint, save_checkpoint
from worker.training.fit.loop import fit_encoder
from worker.training.fit.updates import State
from worker.training.run.stop import Stop, Stopped

CPU_MESSAGE = "[enforce fail at alloc_cpu.cpp:118] DefaultCPUAllocator: not enough memory: you tried to allocate"


@contextmanager
def short(model: nn.Module, most: int, error: Exception, *, backward: bool = False) -> Iterator[list[int]]:
    """Passes of more than so many clips fail, forward or backward. → the clips of those that failed."""
    failed: list[int] = []

    def check(count: int) -> None:
        if count > most and torch.is_grad_enabled():
            failed.append(count)
            raise error

    def forward(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        count = len(inputs[0])
        if not backward:
            check(count)
        elif output.requires_grad:
            # Gradients of what comes after the tower have been added already when this one is asked for.
            output.register_hook(lambda gradient: _fail(gradient, count))  # type: ignore[no-untyped-call]

    def _fail(gradient: Tensor, count: int) -> Tensor:
        with torch.enable_grad():
            check(count)
        return gradient

    handle = model.temporal.register_forward_hook(forward)  # type: ignore[union-attr]
    try:
        yield failed
    finally:
        handle.remove()


@pytest.mark.parametrize("name", ["text4vis", "vifi", "contrastive"])
@pytest.mark.parametrize("backward", [False, True])
def test_a_step_that_does_not_fit_is_begun_again_with_half(name: MethodName, backward: bool) -> None:
    asked = settings(name, micro=5)
    small, cut, state = parts(asked), parts(asked), State()
    fit(settings(name, micro=3), small, expected := State())
    with short(cut[0], 3, torch.OutOfMemoryError("CUDA out of memory"), backward=backward) as failed:
        fit(asked, cut, state)
    assert failed == [5]  # once in the whole run
    assert (state.micro, expected.micro) == (3, None)
    assert losses(state) == losses(expected)
    assert all(torch.equal(tensor, weights(small)[key]) for key, tensor in weights(cut).items())


def test_the_size_is_remembered_by_a_resumed_run(tmp_path: Path) -> None:
    asked = settings("text4vis", micro=5)
    first, state, path = parts(asked), State(), tmp_path / "checkpoint.pt"
    with short(first[0], 2, RuntimeError(CPU_MESSAGE)) as failed, pytest.raises(Stopped):
        fit(asked, first, state, until=4)
    assert failed == [5, 3]  # 5, then 3, then 2
    save_checkpoint(path, *first, state, {}, "base")
    second = parts(asked)
    state, _ = restore_checkpoint(path, *second, "base")
    with short(second[0], 2, MemoryError()) as failed:
        fit(asked, second, state)
    assert (failed, state.micro) == ([], 2)


@pytest.mark.parametrize("error", [RuntimeError("something else"), ValueError("something else")])
def test_other_errors_end_the_run(error: Exception) -> None:
    asked = settings("text4vis", micro=5)
    made: Parts = parts(asked)
    with short(made[0], 3, error), pytest.raises(type(error), match="something else"):
        fit(asked, made, State())


def test_a_clip_alone_that_does_not_fit_ends_the_run() -> None:
    asked = settings("text4vis", micro=5)
    made = parts(asked)
    with short(made[0], 0, MemoryError()) as failed, pytest.raises(MemoryError):
        fit(asked, made, State())
    assert failed == [5, 3, 2, 1]


def test_a_run_whose_batch_norms_see_the_micro_batch_is_not_changed() -> None:
    asked: Any = with_statistics(batch=10)
    asked = replace(asked, recipe=replace(asked.recipe, epochs=1.0))
    model, classifier = resnet(asked)
    share = order(asked)
    with short(model, 3, MemoryError()) as failed, pytest.raises(MemoryError):
        fit_encoder(asked, model, classifier, LOSS, SeededPixels(), share, State(), CPU, Stop(), lambda *_: None)
    assert failed == [share.micro]
