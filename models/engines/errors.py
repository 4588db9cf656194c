"""Why an engine cannot be used."""

from __future__ import annotations


class EngineUnavailable(Exception):
    """The message says in words what is missing or what went wrong. The model can be served by another engine."""
