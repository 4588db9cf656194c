"""The two towers behind their batchers: the order of answers, and the settings that bound a forward pass."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from prometheus_client import REGISTRY

from core.settings import Settings
from models.recognition.engine import LanePlan
from worker.inference.batching.gpu_memory import observe_gpu_memory
from worker.inference.batching.towers import MOST_TEXTS_ON_CPU, Frames, TextEncoder, TextVectors, Towers
from worker.jobs.cancellation import CancelToken

ONE_LANE = LanePlan(lanes=1, threads=1, batch=64)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path, batch_frames=6, batch_texts=3, batch_wait_ms=5.0, inference_deadline=70.0)


@pytest.fixture
def passes() -> list[list[str]]:
    return []


@pytest.fixture
def towers(settings: Settings, passes: list[list[str]]) -> Iterator[Towers]:
    def encode_texts(texts: list[str]) -> tuple[torch.Tensor, list[bool]]:
        """The length of a text is its vector; long ones are cut."""
        passes.append(texts)
        return torch.tensor([[float(len(text))] for text in texts]), [len(text) > 5 for text in texts]

    def encode_frames(frames: Frames, clip: int = 1) -> torch.Tensor:
        passes.append([str(len(frames))])
        return torch.from_numpy(frames[:, 0, 0, :1].astype(np.float32))  # [N, 1]

    towers = Towers(encode_frames, encode_texts, ONE_LANE, settings)
    yield towers
    towers.close()


def lengths(found: TextVectors) -> list[int]:
    return [int(value) for value in found.vectors[:, 0]]


def test_texts_come_back_in_the_order_asked_and_each_is_encoded_once(towers: Towers, passes: list[list[str]]) -> None:
    texts = towers.texts
    assert lengths(texts.encode(["aa", "a", "aa", "longer", "aaa"], CancelToken())) == [2, 1, 2, 6, 3]
    found = texts.encode(["longer", "new!", "a"], CancelToken())
    assert (lengths(found), found.truncated) == ([6, 4, 1], [True, False, False])
    assert sorted(text for texts in passes for text in texts) == ["a", "aa", "aaa", "longer", "new!"]
    assert max(map(len, passes)) <= 3


def test_vectors_that_are_remembered_are_not_slices_of_a_whole_pass(towers: Towers) -> None:
    found = towers.texts.encode(["a", "bb", "ccc"], CancelToken())
    found.vectors.zero_()
    assert lengths(towers.texts.encode(["bb"], CancelToken())) == [2]


def test_the_settings_bound_each_pass_in_items_and_in_time(towers: Towers, passes: list[list[str]]) -> None:
    stack = np.arange(20, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 2, 3), np.uint8)  # [20, 2, 2, 3]
    with ThreadPoolExecutor(2) as pool:
        rows = list(pool.map(lambda _: towers.frames.encode(stack, CancelToken()), range(2)))
    assert all(found[:, 0].tolist() == list(range(20)) for found in rows)
    assert max(int(size) for [size] in passes) <= 6
    for batcher in (towers.frames, towers.texts._batcher):
        assert batcher._max_wait == pytest.approx(0.005)
        assert batcher._stuck_after == 70.0


@pytest.mark.parametrize(("on_cpu", "most"), [(True, MOST_TEXTS_ON_CPU), (False, 100)])
def test_a_pass_on_a_cpu_is_short_so_that_others_wait_less(tmp_path: Path, on_cpu: bool, most: int) -> None:
    sizes: list[int] = []

    def encode(texts: list[str]) -> tuple[torch.Tensor, list[bool]]:
        sizes.append(len(texts))
        return torch.ones(len(texts), 1), [False] * len(texts)

    encoder = TextEncoder(encode, ONE_LANE, Settings(data_dir=tmp_path, batch_texts=100), on_cpu=on_cpu)
    encoder.encode([str(number) for number in range(200)], CancelToken())
    encoder.close()
    assert (max(sizes), sum(sizes)) == (most, 200)


def test_an_encoder_that_is_closed_still_answers(settings: Settings) -> None:
    encoder = TextEncoder(lambda texts: (torch.ones(len(texts), 1), [False] * len(texts)), ONE_LANE, settings)
    encoder.close()
    assert len(encoder.encode(["a", "b"], CancelToken())) == 2


def test_the_wait_for_a_forward_pass_is_measured_for_each_tower(towers: Towers) -> None:
    def waits(tower: str) -> tuple[float, float]:
        names = ("vireo_batch_wait_seconds_count", "vireo_batch_wait_seconds_sum")
        count, seconds = (REGISTRY.get_sample_value(name, {"tower": tower}) or 0.0 for name in names)
        return count, seconds

    before = {tower: waits(tower) for tower in ("image", "text")}
    towers.frames.encode(np.zeros((2, 4, 4, 3), np.uint8), CancelToken())
    towers.texts.encode(["a"], CancelToken())
    for tower, (count, seconds) in before.items():
        assert waits(tower)[0] == count + 1, tower
        assert waits(tower)[1] > seconds, tower


def test_the_memory_of_a_gpu_is_measured_where_models_are_on_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (3 << 30, (8 + device.index) << 30))
    observe_gpu_memory({torch.device("cpu"), torch.device("cuda", 5)})
    found = {
        kind: REGISTRY.get_sample_value("vireo_gpu_memory_bytes", {"device": "5", "kind": kind})
        for kind in ("used", "total")
    }
    assert found == {"used": 10 << 30, "total": 13 << 30}
