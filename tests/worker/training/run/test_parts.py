"""The parts of a run, as its request, its base and its data decide them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch

from core.settings import Settings
from core.training_requests import TrainingRequest
from models.classifier.lda import VIDEOS_PER_CLASS
from models.frames.arrays import UInt8Array
from models.frames.sampling import Views
from models.recognition.base import Base
from tests import tiny
from tests.models.conftest import CPU, resnet_base, tiny_base
from tests.worker.training.fit.test_loop import config
from tests.worker.training.run.test_division import dataset
from worker.decoding.dataset_clips import ClipReader, Sample
from worker.decoding.pool import DecodePool
from worker.training.run import parts
from worker.training.run.feeds import FrameFeed, TrunkFeed
from worker.training.run.parts import TrainingRun, new_classifier, new_model, open_feed, open_run
from worker.training.run.stop import Stop
from worker.training.run.world import World
from worker.training.spec import RunSpec

NO_POOL = cast("DecodePool", None)  # nothing is decoded


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with the tiny model."""
    home = tmp_path_factory.mktemp("home")
    tiny.place(home)
    return home


class Readers:
    """The readers of a run, with what they were opened with."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.opened: dict[int, dict[str, Any]] = {}

        def opened(*arguments: Any, **options: Any) -> ClipReader:
            reader = ClipReader(*arguments, **options)
            self.opened[id(reader)] = options
            return reader

        monkeypatch.setattr(parts, "ClipReader", opened)

    def options(self, reader: ClipReader) -> dict[str, Any]:
        return self.opened[id(reader)]


def opened_run(home: Path, scratch: Path, **options: Any) -> TrainingRun:
    labels = ("jump", "run", "sit")
    data = dataset({label: {"train": 4, "val": 1} for label in labels})
    request = TrainingRequest.model_validate({"name": "gym", "dataset": data.id, "base": "tiny"} | options)
    spec = RunSpec(
        job="job_0",
        training=request,
        model="tiny",
        version=None,
        dataset=data,
        clips=scratch,
        checkpoint=None,
        scratch=scratch,
        frames=scratch / "frames",
        settings=Settings(data_dir=home),
    )
    return open_run(spec, request, World(0, 1, CPU), NO_POOL, Stop())


def test_training_reads_augmented_clips_and_evaluation_plain_ones(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    readers = Readers(monkeypatch)
    run = opened_run(home, tmp_path, tune="tower", frames=3, text_inputs="name")
    assert run.config.augment is not None
    assert readers.options(run.train_reader)["augment"] == run.config.augment
    assert readers.options(run.reader).get("augment") is None
    assert isinstance(open_feed(run), FrameFeed)
    assert (run.profile.frames, run.profile.templates, run.profile.name) == (3, ("{}",), "gym")
    assert not run.spec.frames.exists()


def test_frames_are_cached_where_the_request_asks_for_it(home: Path, tmp_path: Path) -> None:
    assert opened_run(home, tmp_path, cache_frames=True).spec.frames.is_dir()


def test_the_seed_of_a_run_is_the_request_s_or_the_recipe_s(home: Path, tmp_path: Path) -> None:
    asked, usual = (opened_run(home, tmp_path, classifier="random", seed=seed) for seed in (7, None))
    assert (asked.order.seed, asked.config.seed, usual.order.seed, usual.config.seed) == (7, 7, 0, 0)
    assert not torch.equal(asked.classifier.rows(), usual.classifier.rows())
    assert opened_run(home, tmp_path, recipe="text4vis").order.seed == 1024
    order = asked.order
    assert (order.clips, order.repeats, order.batch, order.micro) == (12, 1, asked.config.batch, asked.config.micro)


def test_w_is_drawn_with_the_seed() -> None:
    base = tiny_base()
    first, again, other = (
        new_classifier(config(classifier="random", seed=seed), ("a", "b"), base.text_encoder, base.dim, CPU).rows()
        for seed in (3, 3, 4)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_new_head_is_drawn_with_the_seed() -> None:
    base = tiny_base()
    first, again, other = (
        new_model(base, config(temporal_init="random", seed=seed), CPU).temporal.state_dict() for seed in (3, 3, 4)
    )
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["positions.weight"], other["positions.weight"])


@pytest.mark.parametrize(("build", "temporal"), [(tiny_base, "transformer"), (resnet_base, "conv")])
def test_tuning_the_projection_freezes_the_trunk_and_nothing_else(build: Callable[[], Base], temporal: str) -> None:
    base = build()
    model = new_model(base, config(tune="projection", temporal=temporal), CPU)
    learns = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    projection = {f"tower.{name}" for name, _ in model.tower.projection_parameters()}
    assert learns == projection | {name for role, name, _ in model.parameters_by_role() if role == "head"} | {
        "logit_scale"
    }
    whole = new_model(base, config(tune="tower", temporal=temporal), CPU)
    assert all(parameter.requires_grad for parameter in whole.parameters())


@pytest.mark.parametrize("on", [True, False])
def test_gradient_checkpointing_is_the_request_s(on: bool) -> None:
    assert new_model(tiny_base(), config(gradient_checkpointing=on), CPU).tower.checkpointing is on


class Noise:
    """A stand-in for ClipReader without decoding: each clip is noise of its own."""

    digest = "noise"

    def __init__(self) -> None:
        self.read: list[Sample] = []

    def views(self, samples: Iterable[Sample], views: Views) -> Iterator[tuple[int, UInt8Array]]:
        self.read = list(samples)
        for place in range(len(self.read)):
            yield place, np.random.default_rng(place).integers(0, 256, (views.count, 1, 32, 32, 3)).astype(np.uint8)

    def batches(self, plan: Any) -> Any:
        from tests.worker.training.run.test_feeds import Frames

        return Frames().batches([[replace(each, path=Path("clip1")) for each in group] for group in plan])


def test_lda_sees_at_most_sixty_videos_of_each_class(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise = Noise()
    monkeypatch.setattr(parts, "ClipReader", lambda *_, **__: noise)
    counts = {"jump": 70, "run": 3}
    data = dataset({label: {"train": count, "val": 1} for label, count in counts.items()})
    monkeypatch.setattr("tests.worker.training.run.test_parts.dataset", lambda _: data)
    run = opened_run(home, tmp_path, classifier="lda", frames=1)
    seen = Counter(sample.path.name.split("-")[0] for sample in noise.read)
    assert seen == {"jump": VIDEOS_PER_CLASS, "run": 3}
    assert {sample.path.name.split("-")[0]: sample.label for sample in noise.read} == {"jump": 0, "run": 1}
    assert run.classifier.rows().shape == (2, 32)


def test_outputs_of_the_trunk_are_computed_once_where_they_stay_the_same(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "ClipReader", lambda *_, **__: Noise())
    run = opened_run(home, tmp_path, tune="projection", frames=2)
    assert isinstance(open_feed(run), TrunkFeed)
    assert run.order_of(open_feed(run)).micro == run.config.batch
    for other in ({"augment": True}, {"tune": "tower", "augment": False}, {"temporal": "token_conv"}):
        changed = opened_run(home, tmp_path, **{"tune": "projection", "frames": 2} | other)
        feed = open_feed(changed)
        assert isinstance(feed, FrameFeed), other
        assert changed.order_of(feed).micro == changed.config.micro
    monkeypatch.setattr(parts, "MAX_TRUNK_BYTES", 1)
    assert isinstance(open_feed(run), FrameFeed)
