"""How engines are compared, and what is remembered of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from core.vocabulary import EngineName
from models.classifier.likeness import DIFFERENT
from models.engines import preparation, race
from models.engines.agreement import Agreement, agreement, question_of
from models.engines.choice import FP32_GRAPH, Choice, choice_file, model_folder, note_name, remembered, sweep
from models.engines.clips_at_hand import clips_at_hand
from models.engines.errors import EngineUnavailable
from models.engines.preparation import Preparation
from models.engines.race import Cost, best_plan
from models.frames.arrays import UInt8Array
from models.recognition.engine import Engine, LanePlan
from models.recognition.recognizer import Recognizer
from tests.models.conftest import CPU, tiny_base

CLIPS = [np.full((2, 32, 32, 3), value, np.uint8) for value in range(100)]


@pytest.fixture
def recognizer() -> Recognizer:
    return tiny_base().recognizer(CPU, torch.float32)


@dataclass
class FakeEngine:
    plan: LanePlan


def test_graphs_go_with_the_last_name_of_their_model(tmp_path: Path) -> None:
    folder = tmp_path / "engines" / "of equal weights"
    for name in ("gym:1", "acme/gym:2"):
        note_name(folder, name)
    (folder / FP32_GRAPH).touch()
    sweep(tmp_path, {"acme/gym:2"}.__contains__)
    assert (folder / FP32_GRAPH).exists()
    sweep(tmp_path, lambda _: False)
    assert not folder.exists()


@pytest.mark.parametrize(
    ("same", "change", "holds"), [(0.99, 0.01, True), (1.0, 0.0101, False), (0.98, 0.0, False), (1.0, 0.0, True)]
)
def test_an_engine_agrees_if_people_see_no_difference(same: float, change: float, holds: bool) -> None:
    assert Agreement(100, same, change).holds is holds


def test_labels_and_probabilities_are_compared_clip_by_clip(recognizer: Recognizer) -> None:
    def exact(clip: UInt8Array) -> torch.Tensor:
        return torch.eye(3, 32)[[0] * len(clip)]  # the first label

    def other(clip: UInt8Array) -> torch.Tensor:
        return torch.eye(3, 32)[[1, 1]] if clip[0, 0, 0, 0] < 7 else exact(clip)

    rows = torch.eye(3, 32)  # one label per axis
    closed = replace(recognizer, fixed_rows=rows, classes=("a", "b", "c"), logit_scale=1.0)
    found = agreement(closed, exact, other, CLIPS, question_of(closed))
    first, second = torch.tensor([1.0, 0.0, 0.0]).softmax(0)[:2].tolist()
    assert (found.clips, found.same_label) == (100, 0.93)
    assert found.change == pytest.approx(0.07 * (first - second))
    assert question_of(closed) == ("a", "b", "c")
    assert len(question_of(recognizer)) == len(DIFFERENT)


def costs_of(monkeypatch: pytest.MonkeyPatch, cpu: dict[tuple[int, int], float]) -> None:
    """cpu: (threads, batch) → seconds per frame; the last one for what is not named."""

    def cost(engine: FakeEngine, *_: object) -> Cost:
        seconds = cpu.get((engine.plan.threads, engine.plan.batch), 9.0)
        return Cost(seconds, seconds)

    monkeypatch.setattr(race, "cost", cost)


@pytest.mark.parametrize(
    ("cpu", "cores", "clip", "plan"),
    [
        ({(1, 1): 1.0, (1, 4): 0.8, (1, 8): 0.79, (1, 16): 0.9}, 2, 1, LanePlan(2, 1, 4)),  # 8 are hardly cheaper
        ({(1, 1): 1.0, (1, 4): 0.8, (1, 8): 0.78, (1, 16): 0.78}, 2, 1, LanePlan(2, 1, 8)),  # 3 % are worth it
        ({(1, 1): 1.0, (1, 2): 1.2}, 2, 1, LanePlan(2, 1, 1)),  # a batch makes a frame dearer
        ({(1, 4): 1.0, (2, 4): 1.08, (4, 4): 1.2, (8, 4): 2.0}, 8, 8, LanePlan(4, 2, 4)),  # two threads cost 8 % more
        ({(1, 4): 1.0, (2, 4): 1.08, (4, 4): 1.09, (8, 4): 1.1}, 8, 8, LanePlan(1, 8, 4)),
        ({(1, 4): 1.0, (2, 4): 1.0, (4, 4): 1.0}, 8, 1, LanePlan(8, 1, 4)),  # the lanes share the frames of a video
        ({(1, 4): 1.0, (2, 4): 1.0, (4, 4): 1.0}, 16, 1, LanePlan(8, 2, 4)),
        ({(1, 4): 1.0, (2, 4): 1.0, (4, 4): 1.0, (8, 4): 1.05}, 64, 1, LanePlan(8, 8, 4)),
        ({(1, 4): 1.0, (2, 4): 1.0, (4, 4): 1.08, (8, 4): 1.2}, 64, 1, LanePlan(16, 4, 4)),  # eight cost 20 % more
        ({(1, 4): 1.0, (2, 4): 0.9}, 1, 1, LanePlan(1, 1, 4)),
    ],
)
def test_the_smallest_batch_and_the_most_threads_that_cost_little(
    cpu: dict[tuple[int, int], float], cores: int, clip: int, plan: LanePlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    costs_of(monkeypatch, cpu)
    found = best_plan(FakeEngine, 32, clip, 64, CPU, cores)  # type: ignore[arg-type]
    assert found == plan


def test_what_disturbs_one_turn_does_not_choose_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    disturbed = {LanePlan(2, 1, 2)}

    def cost(engine: FakeEngine, *_: object) -> Cost:
        seconds = 0.5 if engine.plan.batch == 2 else 1.0
        if engine.plan in disturbed:
            disturbed.remove(engine.plan)
            seconds = 3.0
        return Cost(seconds, seconds)

    monkeypatch.setattr(race, "cost", cost)
    assert best_plan(FakeEngine, 32, 1, 64, CPU, 2).batch == 2  # type: ignore[arg-type]


def test_no_plan_has_more_frames_than_a_forward_pass_may_have(monkeypatch: pytest.MonkeyPatch) -> None:
    costs_of(monkeypatch, {(1, 1): 1.0, (1, 2): 0.5, (1, 4): 0.1})
    assert best_plan(FakeEngine, 32, 1, 2, CPU, 2).batch == 2  # type: ignore[arg-type]


def test_a_cost_counts_the_cpu_time_of_all_lanes(recognizer: Recognizer) -> None:
    passes: list[int] = []

    class Counting:
        plan = LanePlan(3, 1, 4)

        def encode(self, frames: UInt8Array, clip: int) -> torch.Tensor:
            assert clip == 3
            passes.append(len(frames))
            return torch.zeros(len(frames), 1)

        def warm_up(self) -> None:
            passes.append(0)

    race.cost(Counting(), 32, 3, rounds=2)  # type: ignore[arg-type]
    assert passes == [0, *[3] * 9]  # whole clips of three, in three lanes, a first round and two more


def test_an_engine_that_fails_has_no_cost(recognizer: Recognizer) -> None:
    class Failing:
        plan = LanePlan(2, 1, 4)

        def encode(self, frames: UInt8Array, clip: int) -> torch.Tensor:  # noqa: ARG002 -- as an engine's
            raise RuntimeError("mat1 and mat2 must have the same dtype")

        def warm_up(self) -> None:
            """Nothing to do."""

    with pytest.raises(RuntimeError, match="same dtype"):
        race.cost(Failing(), 32, 1)  # type: ignore[arg-type]


@pytest.fixture
def prepared(recognizer: Recognizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Preparation:
    """What engines cost is given; graphs are not made."""
    prices = {"eager": 1.0, "openvino": 0.5, "openvino-int8": 0.1}

    def opened(_: Recognizer, __: Path, name: EngineName, plan: LanePlan) -> Engine:
        engine = FakeEngine(plan)
        engine.name = name  # type: ignore[attr-defined]
        return engine  # type: ignore[return-value]

    monkeypatch.setattr(preparation, "open_engine", opened)
    monkeypatch.setattr(preparation, "entry_cost", lambda opener, *_: Cost(prices[opener(LanePlan(1, 1, 1)).name], 1.0))
    monkeypatch.setattr(preparation, "best_plan", lambda *_: LanePlan(2, 1, 4))
    monkeypatch.setattr(Preparation, "_graph", lambda *_: tmp_path / "fp32.xml")
    return Preparation(recognizer, lambda: recognizer, tmp_path / "folder", "auto", 64, 2, lambda _: None)


@pytest.mark.parametrize(("agrees", "engine"), [(True, "openvino-int8"), (False, "openvino")])
def test_the_cheapest_engine_that_answers_alike_is_chosen(
    prepared: Preparation, agrees: bool, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = Agreement(100, 1.0 if agrees else 0.9, 0.0)
    monkeypatch.setattr(Preparation, "_checked", lambda _: found)
    choice = prepared.run()
    assert (choice.engine, choice.plan) == (engine, LanePlan(2, 1, 4))
    problems = {candidate.engine: candidate.problem for candidate in choice.candidates}
    assert list(problems) == ["eager", "openvino", "openvino-int8"]
    assert (problems["openvino-int8"] is None) is agrees
    assert choice.candidates[2].agreement == str(found)


def test_an_engine_that_was_asked_for_is_used_whatever_it_answers(
    prepared: Preparation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Preparation, "_checked", lambda _: Agreement(100, 0.5, 0.5))
    choice = replace(prepared, wanted="openvino-int8").run()
    assert (choice.engine, len(choice.candidates)) == ("openvino-int8", 1)
    assert "50.0%" in str(choice.candidates[0].agreement)


def test_an_engine_that_was_asked_for_and_cannot_be_had_is_an_error(
    prepared: Preparation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(*_: object) -> Path:
        raise EngineUnavailable("the package openvino is missing")

    monkeypatch.setattr(Preparation, "_graph", missing)
    with pytest.raises(EngineUnavailable, match="package openvino is missing"):
        replace(prepared, wanted="openvino").run()
    assert prepared.run().engine == "eager"  # `auto` goes on without it


def test_a_choice_is_remembered_for_its_model_and_machine(recognizer: Recognizer, tmp_path: Path) -> None:
    folder = model_folder(tmp_path, recognizer)
    file = choice_file(folder, recognizer, "auto", 2)
    assert remembered(file) is None
    folder.mkdir(parents=True)
    choice = Choice(model="tiny", engine="eager", precision="fp32", lanes=2, threads=1, batch=4, candidates=())
    file.write_text(choice.model_dump_json(), encoding="utf-8")
    assert remembered(file) == choice
    assert model_folder(tmp_path, replace(recognizer, digest="other")) != folder
    assert choice_file(folder, recognizer, "openvino", 2) != file
    assert choice_file(folder, recognizer, "auto", 64) != file
    file.write_text(choice.model_dump_json()[:-9], encoding="utf-8")
    assert remembered(file) is None


def test_clips_at_hand_differ_and_do_not_change() -> None:
    first, again, other = (clips_at_hand(6, 2, 32, seed) for seed in (0, 0, 1))
    assert first.shape == (12, 32, 32, 3)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    spreads = [clip.std() for clip in first]
    assert min(spreads) > 5, "a picture of one colour shows nothing"
