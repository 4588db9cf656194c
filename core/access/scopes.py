"""What a key allows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, get_args

Scope = Literal["classify", "train", "admin"]
"""`classify`: ask about videos and manage them, label sets and feedback. `train`: datasets, training, evaluations,
calibrations. `admin`: change what others are answered with (imports, aliases, deletion of models), and read the
metrics where they are closed."""

SCOPES: tuple[Scope, ...] = get_args(Scope)


def allows(scopes: Iterable[Scope], needed: Scope) -> bool:
    """`admin` includes the others."""
    return needed in scopes or "admin" in scopes
