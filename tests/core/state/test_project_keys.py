"""What a project owns is reached through its own keys only."""

from __future__ import annotations

import re
from pathlib import Path

from core.state import keys
from core.state.project_keys import ProjectKeys

ROOT = Path(__file__).parents[3]
NAMES = Path(keys.__file__).with_name("project_keys.py")


def names_of(project: str) -> dict[str, str]:
    own = ProjectKeys(project)
    found = {}
    for name in (name for name in dir(ProjectKeys) if not name.startswith("_") and name != "project"):
        value = getattr(own, name)
        found[name] = value if isinstance(value, str) else value(*["x"] * (2 if name.startswith("shadow") else 1))
    return found


def test_the_default_project_has_the_keys_that_there_were_before_projects() -> None:
    assert names_of("default") | {"videos": keys.VIDEOS, "video": keys.video("x"), "jobs": keys.JOBS} == names_of(
        "default"
    )
    assert not [key for key in names_of("default").values() if key.startswith("vireo:project:")]


def test_no_two_projects_share_a_key() -> None:
    found = [key for project in ("default", "acme", "acme-2") for key in names_of(project).values()]
    assert len(found) == len(set(found)) > 3 * 15


def test_nobody_else_names_what_a_project_owns() -> None:
    """A key of `core.state.keys` would be that of the default project, whoever asks."""
    owned = set(re.findall(r"self\._own\((keys\.\w+)", NAMES.read_text()))
    assert len(owned) > 15
    used = {
        f"{path.relative_to(ROOT)}: {name}"
        for room in ("core", "service", "worker", "launcher")
        for path in (ROOT / room).rglob("*.py")
        if path != NAMES
        for name in owned
        if re.search(rf"(?<![\w.]){re.escape(name)}\b", path.read_text())
    }
    assert not used
