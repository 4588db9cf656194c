"""What each kind of job results in."""

from __future__ import annotations

from typing import Final

from vireo.schema.datasets import DatasetResult, PreviewResult
from vireo.schema.judging import Calibration, EvaluationResult, TrainingResult
from vireo.schema.labels import LabelCheck
from vireo.schema.models import Comparison, ImportResult
from vireo.schema.questions import Classification, Embeddings, Explanation, FrameSheet, IndexResult, SearchResult
from vireo.schema.result import Result
from vireo.schema.videos import BatchResult

RESULTS: Final[dict[str, type[Result]]] = {
    "classification": Classification,
    "embedding": Embeddings,
    "explanation": Explanation,
    "frames": FrameSheet,
    "search": SearchResult,
    "indexing": IndexResult,
    "label_check": LabelCheck,
    "batch": BatchResult,
    "training": TrainingResult,
    "preview": PreviewResult,
    "evaluation": EvaluationResult,
    "comparison": Comparison,
    "calibration": Calibration,
    "dataset": DatasetResult,
    "import": ImportResult,
}
