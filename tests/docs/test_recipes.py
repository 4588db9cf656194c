"""The table of recipes shows every difference between them, and gives a reason."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core.vocabulary import METHOD_RECIPES
from models.fitting.methods import METHODS
from models.fitting.recipes import RECIPES, Recipe
from rendering.recipes import ROWS, VIFI_ROWS, recipes_table

DEFAULT = RECIPES["default"]


@pytest.mark.parametrize("other", [RECIPES["text4vis"], RECIPES["text4vis-2023"], DEFAULT.for_base("lite")])
def test_every_difference_between_recipes_is_in_the_table(other: Recipe) -> None:
    fields = {name: getattr(other, name) for name in other.to_dict() if name not in ("name", "ensemble")}
    for name, value in fields.items():
        if value != getattr(DEFAULT, name):
            changed = replace(DEFAULT, **{name: value})
            assert [heading for heading, show, _ in ROWS if show(changed) != show(DEFAULT)], name


VIFI = [METHODS["vifi"].recipe(name) for name in METHOD_RECIPES["vifi"]]


@pytest.mark.parametrize("other", VIFI, ids=lambda recipe: recipe.name)
def test_every_difference_between_vifi_s_recipes_is_in_the_table(other: Recipe) -> None:
    ours = VIFI[0]
    for name, value in ((name, getattr(other, name)) for name in other.to_dict() if name not in ("name", "ensemble")):
        if value != getattr(ours, name):
            changed = replace(ours, **{name: value})
            assert [heading for heading, show, _ in VIFI_ROWS if show(changed) != show(ours)], name


def test_every_difference_has_a_reason() -> None:
    rows = [line.split(" | ") for line in recipes_table().splitlines()[2:]]
    assert [row[0] for row in rows if len(set(row[1:4])) > 1 and not row[4].strip(" |")] == []
