"""A runtime with a tiny random model, whose text tower records its passes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from core.settings import Settings
from models.recognition.recognizer import Recognizer
from worker.inference.loading import opening
from worker.inference.runtime import Runtime

BATCH_TEXTS = 4


class TextTower:
    """The tiny model's text tower. It records its passes and waits for `hold` before each."""

    def __init__(self, recognizer: Recognizer) -> None:
        self.passes: list[list[str]] = []
        self.hold: Callable[[], object] = lambda: None
        self._tower = recognizer.text_tower

    def __call__(self, texts: list[str]) -> tuple[torch.Tensor, list[bool]]:
        self.hold()
        self.passes.append(texts)
        return self._tower(texts)

    @property
    def texts(self) -> list[str]:
        return [text for texts in self.passes for text in texts]


@pytest.fixture
def texts(tiny: Recognizer) -> TextTower:
    return TextTower(tiny)


@pytest.fixture
def runtime(
    tmp_path: Path, redis_url: str, tiny: Recognizer, texts: TextTower, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Runtime]:
    recognizer = replace(tiny, text_tower=texts)
    monkeypatch.setattr(opening, "load_model", lambda *_, **__: recognizer)
    settings = Settings(
        data_dir=tmp_path,
        model="lite",
        redis_url=redis_url,
        decode_processes=1,
        batch_texts=BATCH_TEXTS,
        max_texts=40,
        allowed_hosts=frozenset({"localhost"}),
    )
    runtime = Runtime.open(settings, lambda _: None)
    yield runtime
    runtime.close()
