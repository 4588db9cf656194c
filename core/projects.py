"""Projects: videos, jobs, datasets, models and label sets belong to one, and others do not see them."""

from __future__ import annotations

from typing import Final

DEFAULT_PROJECT: Final = "default"
"""The project of requests without a key, and of everything that was made before there were projects."""

PROJECT_PATTERN: Final = r"[a-z0-9][a-z0-9-]{0,39}"


def prefix_of(project: str) -> str:
    """What tells the names of a project from those of others where they stand together: in a cache, in metrics. The
    names of the default project are as they were before there were projects."""
    return "" if project == DEFAULT_PROJECT else f"{project}/"


def split_name(name: str) -> tuple[str, str]:
    """The project, and what `prefix_of` of it stands before."""
    project, _, rest = name.rpartition("/")
    return project or DEFAULT_PROJECT, rest
