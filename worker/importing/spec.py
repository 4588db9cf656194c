"""What the child that reads an uploaded checkpoint is told, as JSON on its command line."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from core.vocabulary import TemporalKind


class ImportSpec(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    file: Path
    filename: str  # the user's name for it
    output: Path  # an empty directory
    base: str | None
    temporal: TemporalKind | None
    frames: int | None
    data_dir: Path
