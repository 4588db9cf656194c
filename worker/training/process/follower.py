"""What a run does between its steps: progress, learning curves and checkpoints."""

from __future__ import annotations

import time
from math import ceil
from typing import Any

import numpy as np
import torch
from torch.nn.functional import nll_loss

from worker.children.messages import send_message
from worker.training.fit.checkpoints import save_checkpoint
from worker.training.fit.curves import ValPoint
from worker.training.fit.loop import StepReport, epochs_ended
from worker.training.fit.updates import State
from worker.training.judging.gallery import Gallery, score_trained
from worker.training.run.parts import TrainingRun

PROGRESS_SECONDS = 0.2  # between two `progress` messages
CHECKPOINT_SECONDS = 300.0  # at most: a run that is killed loses no more than this, or an epoch
CHECKPOINT_SHARE = 0.05  # of a run's time, at most, goes into checkpoints, however short its epochs are
VAL_CHECKS = 10  # of the val split in a run, at most


class Follower:
    def __init__(self, run: TrainingRun, val: Gallery, state: State, kept: dict[str, Any]) -> None:
        """`state` is the one that the loop changes. Every process has a follower: all of them score the val split, and
        the leading one reports. `kept`: what every checkpoint holds besides."""
        self._run, self._val, self._state = run, val, state
        self._kept = kept
        self._reported = self._saved = self._rest = 0.0
        self._saved_step: int | None = None
        self._check_every = max(1, ceil(run.config.epochs / VAL_CHECKS))  # epochs
        self._losses: list[float] = []  # finite ones since the last `metric` message
        self._skipped, self._micro = state.skipped, state.micro

    def after_step(self, done: StepReport, state: State) -> None:
        last = done.step == done.steps
        ended = list(epochs_ended(done.step - 1, done.step, self._run.order.per_epoch))
        if self._run.world.leads:
            self._report_step(done, state, ended=bool(ended), last=last)
        if last or any(epoch % self._check_every == 0 for epoch in ended):
            self._check(done, state)
        since = time.monotonic() - self._saved
        if self._run.world.leads and ((ended and since > self._rest) or since > CHECKPOINT_SECONDS or last):
            self.save()

    def _report_step(self, done: StepReport, state: State, *, ended: bool, last: bool) -> None:
        """ended: an epoch."""
        now = time.monotonic()
        if done.loss is not None:
            self._losses.append(done.loss)
        if state.skipped > self._skipped:
            self._skipped = state.skipped
            send_message("log", message=f"step {done.step} was skipped: its loss or gradients were not finite")
        if state.micro != self._micro:
            self._micro = state.micro
            send_message("log", message=f"memory was too small: from now on, {state.micro} clips in one forward pass")
        if now - self._reported >= PROGRESS_SECONDS or last:
            self._reported = now
            self._report(done)
        if ended or last:
            mean = float(np.mean(self._losses)) if self._losses else None
            send_message("metric", split="train", epoch=done.epoch, loss=mean, lr=done.lr)
            self._losses.clear()

    def save(self) -> None:
        """Write a checkpoint and announce it, unless there is one of this step. The file then belongs to the parent,
        which uploads and deletes it while the run goes on: no other checkpoint has its name."""
        run, step, began = self._run, self._state.step, time.monotonic()
        if step == self._saved_step:
            return
        path = run.spec.scratch / f"checkpoint-{step}.pt"
        save_checkpoint(path, run.model, run.classifier, self._state, self._kept, run.base.digest)
        send_message("checkpoint", path=str(path), step=step, epoch=step / run.order.per_epoch)
        self._saved, self._saved_step = time.monotonic(), step
        self._rest = (self._saved - began) / CHECKPOINT_SHARE

    def _report(self, done: StepReport) -> None:
        self._run.world.report_phase(
            "training",
            epoch=round(done.epoch, 3),
            epochs=self._run.config.epochs,
            step=done.step,
            steps=done.steps,
            loss=done.loss,
            lr=done.lr,
            samples_per_s=round(done.samples_per_s, 3),
            eta_s=round(done.eta_s, 1),
        )

    def _check(self, done: StepReport, state: State) -> None:
        if len(self._val) and (point := val_point(self._run, self._val, round(done.epoch, 3))):
            state.checks.append(point)
            if self._run.world.leads:
                send_message("metric", split="val", **point)


def val_point(run: TrainingRun, val: Gallery, epoch: float) -> ValPoint | None:
    """How the model does on the val split. It serves the learning curve only; nothing is chosen by it (method §17).
    None if no clip could be decoded."""
    scored = score_trained(run, val)
    if not scored.ids:
        return None
    probabilities = torch.from_numpy(scored.probabilities)  # [n, C]
    loss = nll_loss(probabilities.clamp_min(1e-12).log(), torch.from_numpy(scored.labels))
    return {"epoch": epoch, "loss": float(loss), "top1": float(scored.hits.mean())}
