"""How loading reports its progress."""

from __future__ import annotations

from collections.abc import Callable

LoadProgress = Callable[[str, float], None]
"""Called with the step in words and the share that is done, 0 to 1."""
