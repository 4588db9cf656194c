"""Maps of video vectors: neighbours stay neighbours, the same vectors give the same map, and few clips give none."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from models.frames.arrays import FloatArray
from tests.worker.training.result.test_plots import names, pixels
from tests.worker.training.result.test_report import report_of, scored
from worker.training.judging.comparison import base_to_novel_record
from worker.training.judging.gallery import _embedded
from worker.training.judging.scored import Embedded
from worker.training.result.maps import FEWEST, map_vectors
from worker.training.result.plots import GAIN, MAP, bars_png, map_png
from worker.training.result.report import write_report


def embedded(count: int, classes: int = 3, noise: float = 0.05, seed: int = 0) -> Embedded:
    """Clips around one random direction per class."""
    drawn = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    vectors = np.eye(16)[labels] + noise * drawn.normal(size=(count, 16))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return Embedded([f"{number}.mp4" for number in range(count)], labels, vectors.astype(np.float32))


def own_neighbours(places: list[list[float]], labels: list[int]) -> float:
    """Share of the clips whose nearest clip has their class."""
    points = np.array(places)
    distances = np.linalg.norm(points[:, None] - points[None], axis=2) + np.diag([np.inf] * len(points))
    return float((np.array(labels)[distances.argmin(axis=1)] == np.array(labels)).mean())


def test_classes_that_training_separates_are_islands() -> None:
    found = map_vectors(embedded(60, noise=2.0), embedded(60))
    assert found
    assert found["before"]
    assert found["after"]
    assert own_neighbours(found["after"], found["labels"]) == 1.0
    assert own_neighbours(found["before"], found["labels"]) < 0.8
    assert (found["note"], found["perplexity"]) == (None, 19.67)


@pytest.mark.parametrize("count", [FEWEST, 60, 230])
def test_the_same_vectors_give_the_same_map(count: int) -> None:
    assert map_vectors(None, embedded(count)) == map_vectors(None, embedded(count))


def test_few_clips_have_no_map_but_a_reason() -> None:
    found = map_vectors(None, embedded(FEWEST - 1))
    assert found
    assert (found["before"], found["after"]) == (None, None)
    assert found["note"] == "A map of video vectors needs at least 12 judged clips; there are 11."
    assert map_vectors(None, None) is None


def test_a_clip_that_only_one_of_both_could_read_is_left_out() -> None:
    before, after = embedded(20), embedded(20, seed=1)
    without = Embedded(after.ids[1:], after.labels[1:], after.vectors[1:])
    found = map_vectors(before, without)
    assert found
    assert found["clips"] == list(before.ids[1:])
    assert found["labels"] == [number % 3 for number in range(1, 20)]
    alone = map_vectors(None, Embedded(before.ids[1:], before.labels[1:], before.vectors[1:]))
    assert alone
    assert found["before"] == alone["after"]


def test_equal_vectors_lie_in_one_place() -> None:
    same = embedded(15)
    found = map_vectors(None, Embedded(same.ids, same.labels, np.ones_like(same.vectors) / 4))
    assert found
    assert found["after"] == [[0.0, 0.0]] * 15


@pytest.mark.parametrize("classes", [2, 11, 21])
def test_the_picture_of_a_map_has_its_size_and_a_colour_per_class(classes: int) -> None:
    places: FloatArray = np.random.default_rng(0).normal(size=(3 * classes, 2))
    labels = np.arange(3 * classes, dtype=np.int64) % classes
    drawn = pixels(map_png({"before": places, "after": places}, labels, [*names(classes - 1), "a $x$ 跑 <b>"]))
    assert drawn.shape == (MAP[1], 2 * MAP[0], 3)
    other = pixels(map_png({"before": places, "after": places}, labels[::-1].copy(), names(classes)))
    assert not np.array_equal(drawn, other)


def test_bars_are_as_high_as_their_shares() -> None:
    low = {"before training": {"trained": 0.1, "other": 0.9}, "after training": {"trained": 0.2, "other": 0.8}}
    high = {"before training": {"trained": 0.6, "other": 0.9}, "after training": {"trained": 0.2, "other": 0.8}}
    pictures = [pixels(bars_png(each)) for each in (low, high)]
    assert pictures[0].shape == (GAIN[1], GAIN[0], 3)
    grey = [int((np.abs(each.astype(int) - 0xB5).max(axis=2) < 3).sum()) for each in pictures]
    assert grey[1] / grey[0] == pytest.approx(1.5 / 1.0, rel=0.05)


def test_a_report_has_the_maps_and_the_bars_as_files(tmp_path: Path) -> None:
    after = scored(4, 20)
    record = base_to_novel_record((scored(2, 8), scored(2, 8)), (scored(2, 8), scored(2, 8)), names(2), names(2))
    report = report_of(
        names(4), after, base_to_novel=record, vectors=map_vectors(embedded(20, 4), embedded(20, 4, 0.5))
    )
    write_report(report, tmp_path)
    for name in ("vectors.png", "base-to-novel.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
    page = (tmp_path / "report.html").read_text()
    assert "Maps of the clips" in page
    assert "perplexity 6.33" in page
    assert len(json.loads((tmp_path / "report.json").read_text())["vectors"]["after"]) == 20
    write_report(report_of(names(4), after, vectors=map_vectors(None, embedded(5))), tmp_path / "few")
    assert not (tmp_path / "few" / "vectors.png").exists()
    assert "needs at least 12 judged clips" in (tmp_path / "few" / "report.html").read_text()


def test_the_vectors_of_many_clips_are_drawn_at_equal_distances() -> None:
    """Five of 5, and 500 of 1100: the first, the last, and none twice. Views are averaged, lengths are 1."""
    for count in (5, 1100):
        vectors = torch.randn(count, 2, 8) * 3  # [n, V, d]
        found = _embedded([str(number) for number in range(count)], np.arange(count), vectors)
        assert len(set(found.ids)) == len(found.ids) == min(count, 500)
        assert (found.ids[0], found.ids[-1], found.labels[-1]) == ("0", str(count - 1), count - 1)
        last = torch.nn.functional.normalize(vectors[-1].mean(dim=0), dim=0)
        np.testing.assert_allclose(found.vectors[-1], last, rtol=1e-5)
