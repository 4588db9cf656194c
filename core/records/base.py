"""What every record has in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Record(BaseModel):
    """Readers ignore fields that they do not know: during an upgrade a record may come from a newer version."""

    model_config = ConfigDict(extra="ignore", frozen=True)
