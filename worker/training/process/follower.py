"""What happens beside the loop, in the process that speaks for the run: progress, learning curves, checkpoints."""

from __future__ import annotations

import time
from math import ceil
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn.functional import nll_loss

from worker.children.messages import send_message
from worker.training.result.plots import ValPoint
from worker.training.run import checkpoints
from worker.training.run.loop import State, Step, epochs_ended

if TYPE_CHECKING:
    from worker.training.process.session import Session

TELL_SECONDS = 0.2  # between two words about progress
SECURE_SECONDS = 300.0  # a run that is killed loses no more than this, or an epoch
REST_SECONDS = 2.0  # between two checkpoints, where epochs are shorter than that
CHECKS = 10  # looks at the val split in a run


class Follower:
    """Told of every step."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._told = self._secured = 0.0
        self._check_every = max(1, ceil(session.config.epochs / CHECKS))
        self._loss: list[float] = []

    def step(self, done: Step, state: State) -> None:
        session, now = self._session, time.monotonic()
        self._loss.append(done.loss)
        last = done.step == done.steps
        ended = list(epochs_ended(done.step - 1, done.step, session.order.per_epoch))
        if now - self._told >= TELL_SECONDS or last:
            self._told = now
            self._tell(done)
        if ended or last:
            send_message("metric", split="train", epoch=done.epoch, loss=float(np.mean(self._loss)), lr=done.lr)
            self._loss.clear()
        if last or any(epoch % self._check_every == 0 for epoch in ended):
            self._check(done, state)
        if (ended and now - self._secured > REST_SECONDS) or now - self._secured > SECURE_SECONDS or last:
            self.secure()

    def secure(self) -> None:
        session, self._secured = self._session, time.monotonic()
        path = session.spec.scratch / f"checkpoint-{session.state.step}.pt"
        checkpoints.save(path, session.model, session.classifier, session.state, session.kept)
        epoch = session.state.step / session.order.per_epoch
        send_message("checkpoint", path=str(path), step=session.state.step, epoch=epoch)

    def _tell(self, done: Step) -> None:
        self._session.tell(
            "training",
            epoch=round(done.epoch, 3),
            epochs=self._session.config.epochs,
            step=done.step,
            steps=done.steps,
            loss=done.loss,
            lr=done.lr,
            samples_per_s=round(done.samples_per_s, 3),
            eta_s=round(done.eta_s, 1),
        )

    def _check(self, done: Step, state: State) -> None:
        if len(self._session.val) and (check := validate(self._session, round(done.epoch, 3))):
            state.checks.append(check)
            send_message("metric", split="val", **check)


def validate(session: Session, epoch: float) -> ValPoint | None:
    """How the model does on the val split: for the learning curve, never to choose by (method §17)."""
    scored = session.score(session.val, session.model, session.classifier.rows(), session.scale)
    if not scored.ids:  # none of them could be decoded
        return None
    probabilities = torch.from_numpy(scored.probabilities)  # [n, C]
    loss = nll_loss(probabilities.clamp_min(1e-12).log(), torch.from_numpy(scored.labels))
    return {"epoch": epoch, "loss": float(loss), "top1": float(scored.hits.mean())}
