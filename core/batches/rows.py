"""The rows of a batch: what became of each item, as JSONL and as CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator
from typing import Any, Final

from pydantic import Field

from core.batches.manifest import BatchItem
from core.questions import Mode, is_none
from core.records import CalibrationRef, LabelTimeline, Prediction, Record, VideoRef

_ANSWER: Final = (
    "model",
    "video",
    "predictions",
    "abstained",
    "mode",
    "calibrated",
    "calibration",
    "timeline",
    "warnings",
)
"""Fields that a row has from the answer to its question."""

CSV_COLUMNS: Final = (
    *("index", "id", "source", "video_id", "model"),
    *("label", "score", "similarity", "confidence", "abstained"),
    *("predictions", "error_code", "error"),
)


class RowError(Record):
    code: str
    message: str
    hint: str | None = None


class BatchRow(Record):
    """The result of one item: the answer to the question about its video, or its error."""

    index: int = Field(description="its place in the manifest, from 0")
    id: str | None = Field(None, description="the name that the manifest gives it")
    source: str | None = Field(None, description="what the manifest gives: the id or the URL of a video")
    error: RowError | None = Field(None, description="why there is no answer; null if there is one")
    model: str | None = Field(None, description="the model that answered; a fine-tuned one as `name:version`")
    video: VideoRef | None = Field(None, description="`id` for further questions, and what the container says")
    predictions: list[Prediction] = Field(default_factory=list, description="as in a classification")
    abstained: bool | None = Field(None, description="as in a classification")
    mode: Mode | None = Field(None, description="as in a classification")
    calibrated: bool | None = Field(None, description="as in a classification")
    calibration: CalibrationRef | None = Field(None, description="as in a classification")
    timeline: LabelTimeline | None = Field(None, exclude_if=is_none, description="only if it was asked for")
    warnings: list[str] = Field(default_factory=list, description="as in a classification")


def row_of(item: BatchItem, result: dict[str, Any] | None, error: dict[str, Any] | None) -> BatchRow:
    """`result`: the answer to the question about the item's video; None where there is only an error."""
    answer = {name: result[name] for name in _ANSWER if name in result} if result and not error else {}
    shown = None if error is None else RowError.model_validate(error)
    return BatchRow(index=item.index, id=item.id, source=item.source, error=shown, **answer)


def as_csv(rows: Iterable[str]) -> Iterator[str]:
    """The lines of a CSV file for the JSON of rows; the header first."""
    yield _line(CSV_COLUMNS)
    for row in rows:
        yield _line(_cells(json.loads(row)))


def _cells(row: dict[str, Any]) -> list[Any]:
    best = (row["predictions"] or [{}])[0]
    error = row["error"] or {}
    predictions = [[each["label"], each["score"]] for each in row["predictions"]]
    return [
        *(row["index"], row["id"], row["source"], (row["video"] or {}).get("id"), row["model"]),
        *(best.get("label"), best.get("score"), best.get("similarity"), best.get("confidence")),
        None if row["abstained"] is None else str(row["abstained"]).lower(),
        json.dumps(predictions, ensure_ascii=False) if predictions else None,
        *(error.get("code"), error.get("message")),
    ]


def _line(cells: Iterable[Any]) -> str:
    text = io.StringIO()
    csv.writer(text).writerow(cells)
    return text.getvalue()
