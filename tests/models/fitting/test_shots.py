from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.classifier.lda import VIDEOS_PER_CLASS
from models.fitting.shots import ThinClass, draw_shots, shot_repeats

CLIPS = [
    (f"{label}/{index:02}.mp4", label)
    for label, count in (("run", 12), ("jump", 7), ("sit", 30))
    for index in range(count)
]


def test_every_class_gives_k_of_its_own_clips() -> None:
    shots = draw_shots(CLIPS, 4, seed=3)
    assert {label: len(names) for label, names in shots.by_class.items()} == {"jump": 4, "run": 4, "sit": 4}
    assert all(name.startswith(f"{label}/") for label, names in shots.by_class.items() for name in names)
    assert len(shots.ids) == 12


@given(seed=st.integers(0, 1000), order=st.permutations(CLIPS))
def test_the_same_seed_draws_the_same_clips_on_every_rank(seed: int, order: list[tuple[str, str]]) -> None:
    """Method §20 #9: whatever the order in which a process lists them."""
    assert draw_shots(order, 2, seed) == draw_shots(CLIPS, 2, seed)


def test_another_seed_draws_others() -> None:
    assert len({draw_shots(CLIPS, 2, seed).ids for seed in range(20)}) > 15


@pytest.mark.parametrize("seed", range(5))
def test_fewer_shots_are_among_more_and_classes_do_not_disturb_each_other(seed: int) -> None:
    two, four = draw_shots(CLIPS, 2, seed), draw_shots(CLIPS, 4, seed)
    assert two.ids < four.ids
    without = [clip for clip in CLIPS if clip[1] != "jump"]
    assert draw_shots(without, 2, seed).by_class["run"] == two.by_class["run"]


def test_thin_classes_are_named() -> None:
    with pytest.raises(ThinClass, match=r"'jump' has 7") as caught:
        draw_shots(CLIPS, 10, 0)
    assert caught.value.counts == {"jump": 7}


def test_lda_takes_what_there_is_up_to_sixty() -> None:
    clips = [*CLIPS, *((f"walk/{index}.mp4", "walk") for index in range(100))]
    shots = draw_shots(clips, VIDEOS_PER_CLASS, 0, up_to=True)
    assert {label: len(names) for label, names in shots.by_class.items()} == {
        "jump": 7,
        "run": 12,
        "sit": 30,
        "walk": 60,
    }


@pytest.mark.parametrize(
    ("clips", "classes", "shots", "expected"),
    [(9_537, 101, 2, 47), (9_537, 101, 1, 94), (240_000, 400, 2, 300), (49, 3, 20, 1)],
)
def test_repeats_are_the_code_s(clips: int, classes: int, shots: int, expected: int) -> None:
    assert shot_repeats(clips, classes * shots) == expected


@given(clips=st.integers(10, 100_000), classes=st.integers(2, 50), shots=st.integers(1, 5), batch=st.integers(1, 256))
def test_an_epoch_keeps_the_iterations_of_the_full_data(clips: int, classes: int, shots: int, batch: int) -> None:
    """But for what the rounding down takes, less than one round of the shots."""
    drawn = classes * shots
    if drawn > clips:
        return
    shown = drawn * shot_repeats(clips, drawn)
    assert clips - drawn < shown <= clips
    assert abs(-(-clips // batch) - -(-shown // batch)) <= -(-drawn // batch)
