"""The learning curves of a run: points of the training loss, and of the checks on the val split."""

from __future__ import annotations

from typing import TypedDict


class TrainPoint(TypedDict):
    step: int
    epoch: float
    loss: float | None
    lr: float


class ValPoint(TypedDict):
    epoch: float
    loss: float | None
    top1: float


class Curves(TypedDict):
    train: list[TrainPoint]
    val: list[ValPoint]
