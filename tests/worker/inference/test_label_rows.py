"""Text is read beside the video, and what can be refused without any work is."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from core.errors import InvalidLabels, InvalidRequest, VireoError
from models.recognition.recognizer import Recognizer
from models.recognition.temporal import TemporalTransformer
from tests.clips import rendered
from tests.worker.inference.conftest import TextTower
from tests.worker.inference.test_handlers import classify, keep
from worker.decoding.pool import DecodePool
from worker.inference.loading import opening
from worker.inference.runtime import Runtime

Load = Callable[..., None]


@pytest.fixture
def video(runtime: Runtime, tmp_path: Path) -> str:
    return keep(runtime, tmp_path, rendered("h264", tmp_path).read_bytes())


@pytest.fixture
def load(tiny: Recognizer, texts: TextTower, monkeypatch: pytest.MonkeyPatch) -> Load:
    def loaded(**changes: Any) -> None:
        recognizer = replace(tiny, text_tower=texts, **changes)
        monkeypatch.setattr(opening, "load_model", lambda *_, **__: recognizer)

    return loaded


def test_text_is_encoded_while_the_video_is_decoded(
    runtime: Runtime, video: str, texts: TextTower, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading, submit = threading.Event(), DecodePool.submit
    texts.hold = reading.set

    def after_the_text(*args: Any, **kwargs: Any) -> Any:
        assert reading.wait(20), "the text waits for the video"
        return submit(*args, **kwargs)

    monkeypatch.setattr(DecodePool, "submit", after_the_text)
    answer = classify(runtime, video, ["a", "b"])
    assert answer["predictions"]
    assert answer["timings_ms"]["text"] > 0


def test_rows_in_memory_take_no_thread(runtime: Runtime, video: str, monkeypatch: pytest.MonkeyPatch) -> None:
    first = classify(runtime, video, ["a", "b"])

    def submit(*_: Any) -> None:
        raise AssertionError("a thread was asked for")

    monkeypatch.setattr(runtime.beside, "submit", submit)
    again = classify(runtime, video, ["a", "b"])
    assert (again["predictions"], again["cache"]["classifier"]) == (first["predictions"], "hit")


@pytest.mark.parametrize(
    ("changes", "question", "error", "words"),
    [
        ({"most_frames": 8}, {"frames": 9}, InvalidRequest, "at most 8 frames, not 9"),
        ({"classes": ("a", "b"), "fixed_rows": torch.eye(2, 32)}, {}, InvalidLabels, "'a cat' is not one"),
        ({}, {"templates": [f"{number} {{}}" for number in range(41)]}, InvalidRequest, "at most 40 are allowed"),
    ],
)
def test_what_cannot_be_answered_costs_no_decoding(
    changes: dict[str, Any],
    question: dict[str, Any],
    error: type[VireoError],
    words: str,
    runtime: Runtime,
    video: str,
    load: Load,
    texts: TextTower,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    load(**changes)
    monkeypatch.setattr(DecodePool, "submit", lambda *_, **__: pytest.fail("the video was decoded"))
    with pytest.raises(error, match=words):
        classify(runtime, video, ["a cat"], **question)
    assert not texts.passes


def test_a_temporal_transformer_says_how_many_frames_it_reads() -> None:
    assert TemporalTransformer(64, 1, positions=12).most_frames == 12
