"""The text tower is on the training device while W is made, and not while the loop runs (T10)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from core.datasets import Dataset
from core.training_requests import TrainingRequest
from models.text.clip_encoder import ClipTextEncoder
from tests.worker.training.process.runs import spec_of
from worker.decoding.pool import DecodePool
from worker.training.fit import loop
from worker.training.process import session
from worker.training.process.session import run_training
from worker.training.run.stop import Stop
from worker.training.run.world import World

DEVICE = torch.device("cpu", 0)  # stands for a GPU: the name differs from that of the host's memory


class Places:
    """Where text towers were moved, and what they were used for there."""

    def __init__(self) -> None:
        self.now = "cpu"
        self.seen: list[tuple[str, str]] = []

    def use(self, purpose: str) -> None:
        if (purpose, self.now) not in self.seen:
            self.seen.append((purpose, self.now))


@pytest.fixture
def places(monkeypatch: pytest.MonkeyPatch) -> Places:
    places = Places()
    move, encode, fit = nn.Module.to, ClipTextEncoder.encode, loop.fit_encoder

    def to(module: nn.Module, *args: Any, **kwargs: Any) -> nn.Module:
        if hasattr(module, "token_embedding"):  # open_clip's text tower
            places.now = str((*args, *kwargs.values())[0])
        return move(module, *args, **kwargs)

    def encoding(encoder: ClipTextEncoder, texts: list[str]) -> Any:
        places.use("encode")
        return encode(encoder, texts)

    def fitting(*args: Any) -> None:
        places.use("loop")
        fit(*args)

    monkeypatch.setattr("models.files.loader.choose_device", torch.device)
    monkeypatch.setattr(nn.Module, "to", to)
    monkeypatch.setattr(ClipTextEncoder, "encode", encoding)
    monkeypatch.setattr(session, "fit_encoder", fitting)
    return places


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"text_inputs": "template"}, [("encode", "cpu:0"), ("loop", "cpu")]),
        ({"text_inputs": "context"}, [("encode", "cpu:0"), ("loop", "cpu:0")]),
    ],
    ids=["frozen rows", "learned context"],
)
def test_the_text_tower_leaves_the_device_before_the_loop(
    home: Path,
    dataset: Dataset,
    tmp_path: Path,
    pool: DecodePool,
    places: Places,
    options: dict[str, Any],
    expected: list[tuple[str, str]],
) -> None:
    request = TrainingRequest(
        name="scenes", dataset=dataset.id, base="tiny", epochs=1, batch_size=12, augment=False, **options
    )
    spec = spec_of(home, dataset, tmp_path, training=request)
    run_training(spec, request, World(0, 1, DEVICE), pool, Stop())
    assert places.seen[: len(expected)] == expected
    assert (spec.output / "card.json").exists()
