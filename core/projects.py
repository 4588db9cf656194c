"""Projects: videos, jobs, datasets, models and label sets belong to one, and others do not see them."""

from __future__ import annotations

from typing import Final

DEFAULT_PROJECT: Final = "default"
"""The project of requests without a key, and of everything that was made before there were projects."""

PROJECT_PATTERN: Final = r"[a-z0-9][a-z0-9-]{0,39}"
