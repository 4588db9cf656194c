"""CONTRIBUTING.md names files, folders and recipes that exist."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
ROOMS = ("service", "worker", "models")


def map_of(room: str) -> str:
    """The lines of the second picture that belong to a room."""
    picture = PAGE.split("```")[3]
    found = re.search(rf"^ {room} .*?(?=^ \S|\Z)", picture, re.MULTILINE | re.DOTALL)
    assert found
    return found[0]


def test_every_path_exists() -> None:
    paths = re.findall(r"`([\w./-]*/[\w./-]*)`", PAGE)
    assert len(paths) > 20
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_every_recipe_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    recipes = set(re.findall(r"`make ([a-z]+)`", PAGE))
    assert {"run", "test", "check", "docs", "transcripts"} <= recipes
    assert {recipe for recipe in recipes if not re.search(rf"^{recipe}:", makefile, re.MULTILINE)} == set()


def test_the_map_shows_every_room() -> None:
    folders = {room: {path.parent.name for path in (ROOT / room).glob("*/__init__.py")} for room in ROOMS}
    missing = {
        f"{room}/{folder}"
        for room in ROOMS
        for folder in folders[room]
        if not re.search(rf"\b{folder}\b", map_of(room))
    }
    assert missing == set()


def test_the_map_names_only_rooms_that_exist() -> None:
    for room in ROOMS:
        names = [line[11:44] for line in map_of(room).splitlines()]  # the column of folders
        for name in re.findall(r"[a-z]+", " ".join(names)):
            assert (ROOT / room / name).exists() or (ROOT / room / "training" / name).exists(), name


def test_the_steps_are_five_each() -> None:
    guides = re.findall(r"^\*\*(.+?)\*\*\n((?:\d\. .*\n(?: {3}.*\n)*)+)", PAGE, re.MULTILINE)
    assert [(title, len(re.findall(r"^\d\.", steps, re.MULTILINE))) for title, steps in guides] == [
        ("a route", 5),
        ("a model", 5),
        ("a temporal head", 5),
        ("a job kind", 5),
        ("a page of documentation", 5),
    ]
