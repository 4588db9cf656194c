"""What a run's looks at its clips cost: forward passes and decoding (T11); and two processes look as one does."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from core.datasets import Dataset, Item
from core.training_requests import TrainingRequest
from models.image.towers import VitTower
from tests.worker.training.process.runs import spec_of, train, train_in_processes
from worker.decoding.pool import DecodePool, DecodeTask
from worker.training.judging import kept

OPTIONS: dict[str, dict[str, Any]] = {
    tune: {"tune": tune, "epochs": 2, "batch_size": 4, "seed": 1, "temporal": "mean"}
    for tune in ("projection", "tower")
}
T = 8  # frames of a clip
TRAIN, VAL = 12, 4  # clips


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, bool]]:
    """Of each pass of a trunk: the number of frames, and whether it was part of a look, not of training."""
    found: list[tuple[int, bool]] = []
    trunk = VitTower.trunk

    def counted(self: VitTower, pixels: Tensor, clip: int = 1) -> Tensor:
        found.append((len(pixels), torch.is_inference_mode_enabled()))
        return trunk(self, pixels, clip)

    monkeypatch.setattr(VitTower, "trunk", counted)
    return found


def test_a_frozen_trunk_sees_the_judged_clips_once(
    home: Path, dataset: Dataset, tmp_path: Path, pool: DecodePool, passes: list[tuple[int, bool]]
) -> None:
    """For the numbers before training, ten checks and the probe, and to judge what was written."""
    card, _ = train(home, dataset, tmp_path, pool, tune="projection", epochs=10)
    report = json.loads((tmp_path / "output" / "report.json").read_text())
    assert len(report["curves"]["val"]) == 10
    assert card.base_to_novel is not None
    assert sum(frames for frames, look in passes if look) == VAL * T
    assert sum(frames for frames, look in passes if not look) == (TRAIN + 1) * T  # and a clip to see what fits


def test_a_check_of_the_val_split_is_one_pass_and_published_numbers_are_a_pass_per_clip(
    home: Path, dataset: Dataset, tmp_path: Path, pool: DecodePool, passes: list[tuple[int, bool]]
) -> None:
    train(home, dataset, tmp_path, pool, epochs=2)
    assert [frames for frames, look in passes if look] == [*[T] * VAL, VAL * T, VAL * T, *[T] * VAL]


@pytest.mark.parametrize(("room", "times"), [(kept.MAX_FRAME_BYTES, 1), (0, 4)])
def test_clips_are_decoded_once_for_all_looks(
    home: Path,
    dataset: Dataset,
    tmp_path: Path,
    pool: DecodePool,
    monkeypatch: pytest.MonkeyPatch,
    room: int,
    times: int,
) -> None:
    """Before training, two checks, after training."""
    decoded: Counter[str] = Counter()
    submit = pool.submit

    def counted(path: Path, **options: Any) -> DecodeTask:
        decoded[path.name] += 1
        return submit(path, **options)

    monkeypatch.setattr(pool, "submit", counted)
    monkeypatch.setattr(kept, "MAX_FRAME_BYTES", room)
    train(home, dataset, tmp_path, pool, epochs=2)
    assert {decoded[item.sha256] for item in dataset.of("val")} == {times}


@pytest.fixture(scope="module")
def damaged(home: Path, dataset: Dataset) -> Dataset:
    """With two more val clips, of which nothing can be decoded: one for each of two processes."""
    items = list(dataset.items)
    for number in range(2):
        sha256 = str(number) * 64
        (home / "clips" / sha256).write_bytes(b"this is no video")
        items.append(Item(path=f"bars/broken{number}.mp4", sha256=sha256, label="bars", split="val", seconds=0.5))
    return dataset.model_copy(update={"items": tuple(items)})


def results(output: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    lines = (output / "predictions.jsonl").read_text().splitlines()
    return json.loads((output / "report.json").read_text()), [json.loads(line) for line in lines]


@pytest.fixture(scope="module")
def by_two(home: Path, damaged: Dataset, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """What two processes wrote, by the part that they trained."""
    specs = {}
    for tune, options in OPTIONS.items():
        request = TrainingRequest.model_validate({"name": "scenes", "dataset": damaged.id, "base": "tiny"} | options)
        specs[tune] = spec_of(home, damaged, tmp_path_factory.mktemp(tune), training=request)
    train_in_processes(list(specs.values()), 2)
    return {tune: spec.output for tune, spec in specs.items()}


@pytest.mark.parametrize("tune", OPTIONS)
def test_two_processes_look_at_all_clips_as_one_does(
    home: Path, damaged: Dataset, tmp_path: Path, pool: DecodePool, by_two: dict[str, Path], tune: str
) -> None:
    train(home, damaged, tmp_path, pool, **OPTIONS[tune])
    (one, said), (two, said_by_two) = results(tmp_path / "output"), results(by_two[tune])
    assert two["before"]["metrics"] == one["before"]["metrics"]
    assert [line["clip"] for line in said_by_two] == [line["clip"] for line in said]
    assert len(said) == VAL
    assert [line["score"] for line in said_by_two] == pytest.approx([line["score"] for line in said], abs=1e-3)
    assert len(one["curves"]["val"]) == 2
    for mine, other in zip(two["curves"]["val"], one["curves"]["val"], strict=True):
        assert mine == pytest.approx(other, abs=1e-3)
    assert two["base_to_novel"] == one["base_to_novel"]
    assert (one["base_to_novel"] is not None) is (tune == "projection")
    broken = [{"clip": f"bars/broken{number}.mp4", "reason": "not_a_video"} for number in range(2)]
    assert two["skipped"] == one["skipped"] == broken
