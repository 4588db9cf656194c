"""Evaluations and calibrations of models."""

from __future__ import annotations

from collections.abc import AsyncIterator
from os import PathLike
from pathlib import Path
from typing import Unpack

from vireo.asynchronous.connection import AsyncConnection
from vireo.asynchronous.jobs import AsyncJob, start
from vireo.calls import post, quoted, without_none
from vireo.schema.judging import Calibration, Evaluation, EvaluationResult
from vireo.schema.training_requests import CalibrationBody, EvaluationRequest


class AsyncEvaluations:
    """How well models classify labelled videos."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def start(
        self,
        dataset: str,
        *,
        model: str | None = None,
        idempotency_key: str | None = None,
        **options: Unpack[EvaluationRequest],
    ) -> AsyncJob[EvaluationResult]:
        """Start an evaluation. Raises: VireoError."""
        body = without_none(options) | without_none({"model": model, "dataset": dataset})
        return await start(self._connection, post("/v1/evaluations", body), idempotency_key)

    def list(self, *, limit: int | None = None) -> AsyncIterator[Evaluation]:
        """The finished evaluations in the order of their ids. Raises: VireoError."""
        return self._connection.pages("/v1/evaluations", Evaluation, limit=limit)

    async def get(self, evaluation_id: str) -> Evaluation:
        """A finished evaluation; its id is that of its job. Raises: NotFound; VireoError."""
        return Evaluation.read(await self._connection.get(f"/v1/evaluations/{quoted(evaluation_id)}"))

    async def save(self, evaluation_id: str, file: str, target: str | PathLike[str]) -> None:
        """Write a file of the report: `report.html`, `report.json`, `predictions.jsonl` or one of its pictures. Raises:
        NotFound; VireoError; OSError."""
        await self._connection.download(f"/v1/evaluations/{quoted(evaluation_id)}/files/{quoted(file)}", Path(target))

    async def delete(self, evaluation_id: str) -> None:
        """Delete a finished evaluation with its report. Raises: VireoError."""
        await self._connection.delete(f"/v1/evaluations/{quoted(evaluation_id)}")


class AsyncCalibrations:
    """How often the similarities of models are right."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def start(
        self,
        dataset: str,
        *,
        model: str | None = None,
        idempotency_key: str | None = None,
        **options: Unpack[CalibrationBody],
    ) -> AsyncJob[Calibration]:
        """Start a calibration on the clips of a dataset, which the model must not have learned from. Raises:
        VireoError."""
        body = without_none(options) | without_none({"model": model, "dataset": dataset})
        return await start(self._connection, post("/v1/calibrations", body), idempotency_key)

    def list(self, *, limit: int | None = None) -> AsyncIterator[Calibration]:
        """All calibrations, the newest first. Raises: VireoError."""
        return self._connection.pages("/v1/calibrations", Calibration, limit=limit)

    async def get(self, name: str) -> Calibration:
        """A calibration by its id, or the newest one of a model. Raises: NotFound; VireoError."""
        return Calibration.read(await self._connection.get(f"/v1/calibrations/{quoted(name)}"))

    async def save_diagram(self, name: str, target: str | PathLike[str]) -> None:
        """Write the reliability diagram of a calibration, a PNG. Raises: NotFound; VireoError; OSError."""
        await self._connection.download(f"/v1/calibrations/{quoted(name)}/files/reliability.png", Path(target))

    async def delete(self, calibration_id: str) -> None:
        """Delete a calibration by its id; the one before it is used again. Raises: VireoError."""
        await self._connection.delete(f"/v1/calibrations/{quoted(calibration_id)}")
