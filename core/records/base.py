"""What every record has in common."""

from __future__ import annotations

from typing import Final

from pydantic import BaseModel, ConfigDict

SCHEMA: Final = 2
"""The form of what is stored, in Redis and in the store. Records of jobs, videos and feedback carry the one that they
were written in; without one it is 1. `core/schema.py` says what each version changed."""


class Record(BaseModel):
    """Readers ignore fields that they do not know: during an upgrade a record may come from a newer version."""

    model_config = ConfigDict(extra="ignore", frozen=True)
