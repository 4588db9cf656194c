"""What a training child is told: one JSON file, with everything resolved that needs Redis or the store."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from core.datasets import Dataset
from core.settings import Settings
from core.training_requests import EvaluationRequest, TrainingRequest


class Spec(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    job: str
    training: TrainingRequest | None = None  # one of the two
    evaluation: EvaluationRequest | None = None
    model: str | None  # to start from, or to evaluate: a zoo name, or `name:version`; None: what `auto` means here
    version: Path | None  # the files of that version, if it is one
    dataset: Dataset
    clips: Path  # directory of the dataset's clips, by sha256
    checkpoint: Path | None  # to go on from
    scratch: Path  # this attempt's own directory
    frames: Path  # where decoded frames are kept, if that was asked for; the next attempt finds them
    settings: Settings

    @property
    def output(self) -> Path:
        """What is to be published: a version without its number, or an evaluation."""
        return self.scratch / "output"

    @property
    def number(self) -> Path:
        """Where the parent writes the version's number, once the child says that it is ready for it."""
        return self.scratch / "number"

    @classmethod
    def read(cls, path: Path) -> Spec:
        return cls.model_validate_json(path.read_text(encoding="utf-8"))
