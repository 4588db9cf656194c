from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.profiles.prompts import check_templates, expand, normalise_label


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("ApplyEyeMakeup", "Apply Eye Makeup"),
        ("brush_hair", "brush hair"),
        ("HandstandPushups", "Handstand Pushups"),
        ("TVNews", "TV News"),
        ("NBA", "NBA"),
        ("iPhone", "iPhone"),
        ("an iPhone", "an iPhone"),
        ("  two   blanks ", "two blanks"),
        ("riding a bicycle", "riding a bicycle"),
        ("Fußball_spielen", "Fußball spielen"),
        ("踢足球", "踢足球"),
    ],
)
def test_normalise_label(label: str, expected: str) -> None:
    assert normalise_label(label) == expected


@given(label=st.text())
def test_normalising_twice_changes_nothing_more(label: str) -> None:
    once = normalise_label(label)
    assert normalise_label(once) == once
    assert "_" not in once
    assert set(once) - {" "} <= set(label)


def test_templates_make_one_text_each() -> None:
    assert expand("a cat", None, ["a video of {}.", "{}"]) == ["a video of a cat.", "a cat"]


def test_own_prompts_replace_the_templates() -> None:
    assert expand("x", ["somebody opens a door", "{} stays as it is"], ["a video of {}."]) == [
        "somebody opens a door",
        "{} stays as it is",
    ]


@pytest.mark.parametrize("label", ["{}", "{0.__class__}", "{x!r}", "100 % {"])
def test_a_label_with_braces_is_only_a_label(label: str) -> None:
    assert expand(label, None, ["a video of {}."]) == [f"a video of {label}."]


@pytest.mark.parametrize("templates", [[], ["no place"], ["{} and {}"], ["ok {}", "bad"], ["{0}"]])
def test_bad_templates_are_refused(templates: list[str]) -> None:
    with pytest.raises(ValueError, match="template"):
        check_templates(templates)


@pytest.mark.parametrize(("label", "prompts"), [("", None), ("  ", None), ("x", []), ("x", ["fine", " "])])
def test_nothing_to_say_is_refused(label: str, prompts: list[str] | None) -> None:
    with pytest.raises(ValueError, match=r"label|prompts"):
        expand(label, prompts, ["{}"])
