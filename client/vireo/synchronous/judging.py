"""Evaluations and calibrations of models.

Rendered from vireo/asynchronous by docs/render.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from typing import Unpack

from vireo.synchronous.connection import Connection
from vireo.synchronous.jobs import Job, start
from vireo.calls import post, quoted, without_none
from vireo.schema.judging import Calibration, Evaluation, EvaluationResult
from vireo.schema.training_requests import CalibrationBody, EvaluationRequest


class Evaluations:
    """How well models classify labelled videos."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def start(
        self,
        dataset: str,
        *,
        model: str | None = None,
        idempotency_key: str | None = None,
        **options: Unpack[EvaluationRequest],
    ) -> Job[EvaluationResult]:
        """Start an evaluation. Raises: VireoError."""
        body = without_none(options) | without_none({"model": model, "dataset": dataset})
        return start(self._connection, post("/v1/evaluations", body), idempotency_key)

    def list(self, *, limit: int | None = None) -> Iterator[Evaluation]:
        """The finished evaluations in the order of their ids. Raises: VireoError."""
        return self._connection.pages("/v1/evaluations", Evaluation, limit=limit)

    def get(self, evaluation_id: str) -> Evaluation:
        """A finished evaluation; its id is that of its job. Raises: NotFound; VireoError."""
        return Evaluation.read(self._connection.get(f"/v1/evaluations/{quoted(evaluation_id)}"))

    def save(self, evaluation_id: str, file: str, target: str | PathLike[str]) -> None:
        """Write a file of the report: `report.html`, `report.json`, `predictions.jsonl` or one of its pictures. Raises:
        NotFound; VireoError; OSError."""
        self._connection.download(f"/v1/evaluations/{quoted(evaluation_id)}/files/{quoted(file)}", Path(target))

    def delete(self, evaluation_id: str) -> None:
        """Delete a finished evaluation with its report. Raises: VireoError."""
        self._connection.delete(f"/v1/evaluations/{quoted(evaluation_id)}")


class Calibrations:
    """How often the similarities of models are right."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def start(
        self,
        dataset: str,
        *,
        model: str | None = None,
        idempotency_key: str | None = None,
        **options: Unpack[CalibrationBody],
    ) -> Job[Calibration]:
        """Start a calibration on the clips of a dataset, which the model must not have learned from. Raises:
        VireoError."""
        body = without_none(options) | without_none({"model": model, "dataset": dataset})
        return start(self._connection, post("/v1/calibrations", body), idempotency_key)

    def list(self, *, limit: int | None = None) -> Iterator[Calibration]:
        """All calibrations, the newest first. Raises: VireoError."""
        return self._connection.pages("/v1/calibrations", Calibration, limit=limit)

    def get(self, name: str) -> Calibration:
        """A calibration by its id, or the newest one of a model. Raises: NotFound; VireoError."""
        return Calibration.read(self._connection.get(f"/v1/calibrations/{quoted(name)}"))

    def save_diagram(self, name: str, target: str | PathLike[str]) -> None:
        """Write the reliability diagram of a calibration, a PNG. Raises: NotFound; VireoError; OSError."""
        self._connection.download(f"/v1/calibrations/{quoted(name)}/files/reliability.png", Path(target))

    def delete(self, calibration_id: str) -> None:
        """Delete a calibration by its id; the one before it is used again. Raises: VireoError."""
        self._connection.delete(f"/v1/calibrations/{quoted(calibration_id)}")
