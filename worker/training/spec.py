"""What the worker tells a training child, as one JSON file. Whatever needs Redis or the store is resolved in it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from core.calibration.request import CalibrationRequest
from core.datasets import Dataset
from core.projects import DEFAULT_PROJECT
from core.protocols.protocol import Run
from core.registry import Card
from core.settings import Settings
from core.training_requests import ComparisonRequest, EvaluationRequest, PreviewRequest, TrainingRequest
from worker.training.features.files import FeatureFiles


class Outcome(BaseModel):
    """What a training run of a protocol came to."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    shots: int
    seed: int
    novel: tuple[str, ...]
    job: str
    card: Card

    @property
    def run(self) -> Run:
        return Run(self.name, self.shots, self.seed, self.novel)


class RunSpec(BaseModel):
    """One of `training`, `preview`, `evaluation`, `comparison` and `calibration` is set."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    job: str
    project: str = DEFAULT_PROJECT
    request_id: str | None = None  # of the request that made the job, for the logs
    training: TrainingRequest | None = None
    preview: PreviewRequest | None = None
    evaluation: EvaluationRequest | None = None
    outcomes: tuple[Outcome, ...] = ()  # of the training runs of the evaluation's protocol, to be summed up
    comparison: ComparisonRequest | None = None
    calibration: CalibrationRequest | None = None
    model: str | None  # to start from, or to evaluate: a zoo name or `name:version`; None: what `auto` means here
    version: Path | None  # the files of that version, if it is one
    standing: tuple[int, Path] | None = None  # the version that `promote` would replace: number, files
    other: Path | None = None  # the files of the version that a comparison is with, if it is one
    trained_on: frozenset[str] = frozenset()  # sha256 of clips that a compared or calibrated model has learned from
    bridges: dict[str, Path] = Field(
        default_factory=dict
    )  # the files of the versions that those of them that consist of prompts are for
    dataset: Dataset
    clips: Path  # directory of the dataset's clips, each named by its sha256
    checkpoint: Path | None  # to continue from
    scratch: Path  # this attempt's own directory
    frames: Path  # directory of cached frames, if the request asks for them; the next attempt finds them there
    settings: Settings

    @property
    def output(self) -> Path:
        """The directory to publish: a version without its number, or an evaluation."""
        return self.scratch / "output"

    @property
    def number(self) -> Path:
        """The file into which the parent writes the version's number, once the child has said that it is ready."""
        return self.scratch / "number"

    def feature_files(self) -> FeatureFiles:
        """Frozen features on this machine, those of the dataset's clips among them."""
        files = FeatureFiles.of(self.settings, self.project)
        files.claim(self.dataset.id, (item.sha256 for item in self.dataset.items))
        return files

    def clip_paths(self, skipped: Mapping[Path, str]) -> list[tuple[str, str]]:
        """The paths, as the dataset names them, of clips that were skipped, and why."""
        paths = {item.sha256: item.path for item in self.dataset.items}
        return sorted((paths.get(clip.name, clip.name), reason) for clip, reason in skipped.items())

    @classmethod
    def read(cls, path: Path) -> RunSpec:
        return cls.model_validate_json(path.read_text(encoding="utf-8"))
