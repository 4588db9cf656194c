"""Calibrations as a worker writes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from core.calibration.record import Calibration, CalibrationMeasures, Reliability
from core.calibration.shelf import ANY, DIAGRAM, Calibrations
from core.storage import Store

PICTURE = b"\x89PNG\r\n\x1a\n"

_PROBABILITY: Reliability = {
    "ece": 0.4,
    "ece_labels": 0.2,
    "auroc": 0.6,
    "coverage": 0.1,
    "threshold": 0.8,
    "diagram": [{"low": 0.8, "high": 0.9, "claimed": 0.85, "right": 0.5, "count": 10}],
}
_MEASURES: CalibrationMeasures = {
    "reading": "labels",
    "questions": 100,
    "top1": 0.7,
    "before": _PROBABILITY,
    "after": {**_PROBABILITY, "ece": 0.05},
    "informative": 1.0,
}


def calibration(number: int = 1, **changes: Any) -> Calibration:
    fields: dict[str, Any] = {
        "id": f"cal_{number:024x}",
        "version": 0,
        "model": "lite",
        "digest": "d1",
        "label_set": None,
        "scope": ANY,
        "created_at": float(number),
        "dataset": "ds_0123456789abcdef01234567",
        "clips": 40,
        "classes": 8,
        "skipped": 0,
        "left_out": "classes",
        "null_version": 1,
        "bias": -2.0,
        "above_mean": 20.0,
        "above_best": 5.0,
        "informative": True,
        "measures": [_MEASURES],
    }
    return Calibration(**fields | changes)


def published(store: Store, folder: Path, number: int = 1, **changes: Any) -> Calibration:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / DIAGRAM).write_bytes(PICTURE)
    return Calibrations(store).publish(folder, calibration(number, **changes))
