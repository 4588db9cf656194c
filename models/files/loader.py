"""From a model's name or a version's directory to a recogniser, on the device and in the precision of this machine."""

from __future__ import annotations

from pathlib import Path

import torch

from core.vocabulary import Precision
from models.files.bases import open_base
from models.files.versions import FindBase, open_version
from models.image.precision import choose_device, choose_dtype
from models.recognition.base import Base
from models.recognition.recognizer import Recognizer
from models.weights.errors import WeightsUnavailable
from models.weights.progress import LoadProgress


def load_model(
    name: str,
    *,
    data_dir: Path,
    weights_file: Path | None = None,
    device: str = "auto",
    precision: Precision = "auto",
    progress: LoadProgress,
) -> Recognizer:
    """weights_file: use this file instead of searching by name. Raises: KeyError for an unknown name,
    WeightsUnavailable."""
    chosen = _choose(device, precision)
    base = open_base(name, data_dir=data_dir, weights_file=weights_file, progress=progress)
    return base.recognizer(*chosen, keep=False)


def load_version(
    directory: Path,
    *,
    data_dir: Path,
    device: str = "auto",
    precision: Precision = "auto",
    progress: LoadProgress,
    find_base: FindBase | None = None,
) -> Recognizer:
    """The fine-tuned version in `directory`. find_base: as in `open_version`. Raises: WeightsUnavailable."""
    chosen = _choose(device, precision)
    base = open_version(directory, data_dir=data_dir, progress=progress, find_base=find_base)
    return base.recognizer(*chosen, keep=False)


def serve_base(base: Base, *, device: str = "auto", precision: Precision = "auto", keep: bool = True) -> Recognizer:
    """The recogniser that `load_model` or `load_version` makes of a base that is already open. keep: as in
    `Base.recognizer`. Raises: WeightsUnavailable for a device or precision that this machine does not have."""
    return base.recognizer(*_choose(device, precision), keep=keep)


def _choose(device: str, precision: Precision) -> tuple[torch.device, torch.dtype]:
    try:
        chosen = choose_device(device)
        return chosen, choose_dtype(chosen, precision)
    except (ValueError, RuntimeError) as error:
        raise WeightsUnavailable(str(error), "Check VIREO_DEVICE and VIREO_PRECISION.") from error
