"""What each protocol draws, trains and sums up; the numbers are worked out by hand."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from core.datasets import Split
from core.errors import InvalidRequest
from core.protocols.catalogue import PROTOCOLS, check_fields, protocol_of
from core.protocols.judged import clips_to_judge
from core.protocols.sums import sum_up
from core.registry import Card
from core.results import Draw
from core.vocabulary import ProtocolName
from tests.core.protocols.scenes import asked, dataset_of

FOUR = {"jump": (3, 1), "run": (5, 1), "sit": (2, 1), "walk": (4, 1)}


def card(**changes: Any) -> Card:
    fields: dict[str, Any] = {
        "name": "gym",
        "version": 1,
        "created_at": 0.0,
        "origin": "trained",
        "base": "tiny",
        "architecture": "tiny",
        "method": "text4vis",
        "temporal": {},
        "classifier": {},
        "classes": ("jump",),
        "open_labels": True,
        "profile": {},
        "dim": 1,
        "logit_scale": 1.0,
        "digest": "",
        "text_digest": "",
    }
    return Card(**fields | changes)


def draw(row: str, shots: int | None = None, **numbers: float | None) -> Draw:
    return {
        "name": row,
        "row": row,
        "shots": shots,
        "numbers": numbers,
        "clips": None,
        "classes": [],
        "novel": [],
        "drawn": None,
        "job": None,
        "model": None,
    }


def test_every_protocol_has_a_name_and_says_what_it_repeats() -> None:
    assert tuple(PROTOCOLS) == get_args(ProtocolName)
    assert all(protocol.source and protocol.about for protocol in PROTOCOLS.values())


def test_names_of_earlier_versions_are_understood() -> None:
    assert (asked("standard").protocol, asked("half_class").protocol) == ("full-class", "half-class")


@pytest.mark.parametrize("protocol", ["half-class", "k-shot", "base-to-novel"])
def test_the_same_request_draws_the_same(protocol: str) -> None:
    request, dataset = asked(protocol, seeds=[5, 6], shots=[2]), dataset_of(FOUR)
    mixed = dataset.model_copy(update={"items": tuple(reversed(dataset.items))})
    found = PROTOCOLS[request.protocol]
    assert found.spaces(request, dataset) == found.spaces(request, mixed)
    assert found.runs(request, dataset) == found.runs(request, mixed)
    other = asked(protocol, seeds=[7, 8], shots=[2])
    assert (found.spaces(other, dataset), found.runs(other, dataset)) != (
        found.spaces(request, dataset),
        found.runs(request, dataset),
    )


def test_ten_halves_of_the_classes_that_are_judged() -> None:
    dataset = dataset_of(FOUR | {"swim": (3, 0)})  # no clip of it is judged
    spaces = PROTOCOLS["half-class"].spaces(asked("half-class"), dataset)
    assert [space.name for space in spaces] == [f"seed {seed}" for seed in range(10)]
    assert {len(space.classes) for space in spaces} == {2}
    assert {name for space in spaces for name in space.classes} == set(FOUR)


def test_a_fixed_split_has_its_own_clips_and_classes() -> None:
    """As Kinetics-600's: each split has some of the classes."""
    first: dict[str, Split] = {"jump/test0": "test", "run/train0": "test", "run/train1": "train"}
    second: dict[str, Split] = {"sit/test0": "val", "run/test0": "val"}
    dataset, request = dataset_of(FOUR, {"1": first, "2": second}), asked("fixed-splits")
    spaces = PROTOCOLS["fixed-splits"].spaces(request, dataset)
    assert [(space.name, space.classes) for space in spaces] == [
        ("split:1", ("jump", "run")),
        ("split:2", ("run", "sit")),
    ]
    assert spaces[0].paths == frozenset({"jump/test0", "run/train0"})
    name, items = clips_to_judge(request, dataset, spaces)
    assert name == "split:1, split:2"
    assert {item.path for item in items} == {"jump/test0", "run/train0", "sit/test0", "run/test0"}
    (only,) = PROTOCOLS["fixed-splits"].spaces(asked("fixed-splits", splits=["2"]), dataset)
    assert only.name == "split:2"


def test_a_dataset_under_a_split_column_has_its_clips_only() -> None:
    dataset = dataset_of(FOUR, {"1": {"jump/test0": "train", "run/train0": "test"}}).under("1")
    assert [(item.path, item.split) for item in dataset.items] == [("jump/test0", "train"), ("run/train0", "test")]
    assert [(counted.name, counted.train, counted.test) for counted in dataset.classes] == [
        ("jump", 1, 0),
        ("run", 0, 1),
    ]
    assert dataset.splits == {"train": 1, "val": 0, "test": 1}


def test_every_number_of_shots_meets_every_seed() -> None:
    request = asked("k-shot", shots=[2, 1, 2], seeds=[0, 3], training={"method": "vifi"})
    runs = PROTOCOLS["k-shot"].runs(request, dataset_of(FOUR))
    assert [(run.shots, run.seed) for run in runs] == [(1, 0), (1, 3), (2, 0), (2, 3)]
    child = runs[3].request(request, "curve")
    assert (child.name, child.base, child.shots, child.seed, child.method) == ("curve", "tiny", 2, 3, "vifi")
    assert (child.novel, child.novel_clips) == (None, "judged")


def test_the_more_frequent_half_is_base() -> None:
    runs = PROTOCOLS["base-to-novel"].runs(asked("base-to-novel", shots=[4]), dataset_of(FOUR))
    assert [(run.shots, run.seed, run.novel) for run in runs] == [(4, seed, ("jump", "sit")) for seed in range(3)]


def test_defaults_are_the_papers() -> None:
    dataset = dataset_of(dict.fromkeys(("jump", "run", "sit", "walk"), (16, 1)))
    curve = PROTOCOLS["k-shot"].runs(asked("k-shot"), dataset)
    assert [(run.shots, run.seed) for run in curve] == [(k, seed) for k in (2, 4, 8, 16) for seed in (0, 1, 2)]
    assert {run.shots for run in PROTOCOLS["base-to-novel"].runs(asked("base-to-novel"), dataset)} == {16}
    assert protocol_of(asked("multi-view")).settle(asked("multi-view")).views == "4x3"
    assert protocol_of(asked("multi-view")).settle(asked("multi-view", views="2x1")).views == "2x1"
    assert protocol_of(asked("image")).settle(asked("image")).frames == 1


def test_what_is_read_off_a_card() -> None:
    runs = PROTOCOLS["k-shot"].runs(asked("k-shot", shots=[2], seeds=[0, 1]), dataset_of(FOUR))
    made = card(metrics={"views": {"1x1": {"top1": 0.75, "clips": 4}}, "before": {"top1": 0.25}})
    first, second = (PROTOCOLS["k-shot"].lines(run, not place, made) for place, run in enumerate(runs))
    assert [(line.row, line.shots, line.numbers["top1"]) for line in first] == [
        ("0 shots", 0, 0.25),
        ("2 shots", 2, 0.75),
    ]
    assert [line.row for line in second] == ["2 shots"]
    trio = {"base": 0.5, "novel": 1.0, "harmonic_mean": 2 / 3}
    novel = card(base_to_novel={"before": trio, "after": trio | {"novel": None}})
    lines = PROTOCOLS["base-to-novel"].lines(runs[0], True, novel)
    assert [(line.row, dict(line.numbers)) for line in lines] == [
        ("before training", trio),
        ("after training", trio | {"novel": None}),
    ]


def test_sums_are_means_with_population_deviations() -> None:
    rows = sum_up(
        [draw("a", 2, top1=0.5), draw("b", 4, top1=1.0, map=0.5), draw("a", 2, top1=1.0), draw("b", 4, top1=1.0)]
    )
    assert [(row["name"], row["draws"], row["shots"]) for row in rows] == [("a", 2, 2), ("b", 2, 4)]
    assert rows[0]["numbers"] == {"top1": {"mean": 0.75, "std": 0.25}}
    assert rows[1]["numbers"] == {"top1": {"mean": 1.0, "std": 0.0}, "map": None}


@pytest.mark.parametrize(
    ("protocol", "options", "counts", "field", "named"),
    [
        ("half-class", {}, {"jump": (1, 1), "run": (1, 1), "sit": (1, 1)}, "protocol", ["jump", "run", "sit"]),
        ("half-class", {}, FOUR | {"sit": (2, 0)}, "protocol", ["jump", "run", "walk"]),
        ("k-shot", {"shots": [1, 4]}, FOUR, "shots", ["sit", "jump"]),
        ("k-shot", {}, FOUR, "shots", ["sit", "jump", "walk", "run"]),
        ("k-shot", {"shots": [1]}, {"jump": (3, 1)}, "dataset", ["jump"]),
        ("k-shot", {"shots": [1]}, {"jump": (3, 0), "run": (1, 0)}, "dataset", ["jump", "run"]),
        ("base-to-novel", {}, FOUR, "shots", ["walk", "run"]),
        (
            "base-to-novel",
            {"shots": [1]},
            {"jump": (1, 1), "run": (1, 1), "sit": (1, 1)},
            "dataset",
            ["jump", "run", "sit"],
        ),
        ("base-to-novel", {"shots": [2]}, FOUR | {"jump": (3, 0), "sit": (2, 0)}, "dataset", ["jump", "sit"]),
    ],
)
def test_a_dataset_that_is_too_small_is_refused_with_its_classes(
    protocol: str, options: dict[str, Any], counts: dict[str, tuple[int, int]], field: str, named: list[str]
) -> None:
    request, dataset = asked(protocol, **options), dataset_of(counts)
    with pytest.raises(InvalidRequest) as caught:
        (PROTOCOLS[request.protocol].spaces(request, dataset), PROTOCOLS[request.protocol].runs(request, dataset))
    assert (caught.value.details["field"], caught.value.details["classes"]) == (field, named)
    assert all(name in caught.value.message for name in named)


@pytest.mark.parametrize(
    ("protocol", "options", "field"),
    [
        ("base-to-novel", {"shots": [1, 2]}, "shots"),
        ("base-to-novel", {"shots": [1], "training": {"method": "vision_only"}}, "training"),
        ("base-to-novel", {"shots": [1], "training": {"classifier": "lda"}}, "training"),
        ("k-shot", {"shots": [1, 2], "seeds": list(range(51))}, "seeds"),
        ("fixed-splits", {}, "dataset"),
    ],
)
def test_other_requests_that_cannot_be_run(protocol: str, options: dict[str, Any], field: str) -> None:
    request = asked(protocol, **options)
    with pytest.raises(InvalidRequest) as caught:
        (
            PROTOCOLS[request.protocol].spaces(request, dataset_of(FOUR)),
            PROTOCOLS[request.protocol].runs(request, dataset_of(FOUR)),
        )
    assert caught.value.details["field"] == field


def test_a_split_column_that_is_not_there_is_named_with_those_that_are() -> None:
    dataset = dataset_of(FOUR, {"first": {"jump/test0": "test", "run/test0": "test"}})
    with pytest.raises(InvalidRequest) as caught:
        PROTOCOLS["fixed-splits"].spaces(asked("fixed-splits", splits=["frist"]), dataset)
    assert caught.value.details == {"field": "splits", "nearest": ["first"]}


def test_a_field_that_a_protocol_does_not_read_is_refused() -> None:
    for protocol, options in (("full-class", {"shots": [1]}), ("k-shot", {"views": "4x3"}), ("image", {"frames": 2})):
        with pytest.raises(InvalidRequest) as caught:
            check_fields(asked(protocol, **options))
        assert caught.value.details["field"] == next(iter(options))
        assert "protocol" in (caught.value.hint or "")
