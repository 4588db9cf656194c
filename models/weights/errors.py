"""What can go wrong with weights. Each error carries a message (what is wrong) and a hint (what to do)."""

from __future__ import annotations


class WeightsUnavailable(Exception):
    """The weights are missing, unreadable, or not those of the model that was named."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class QuickGeluMismatch(WeightsUnavailable):
    """Weights trained with QuickGELU in a model without it, or the reverse. Such a model runs, but its output is
    wrong."""
