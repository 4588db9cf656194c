"""A checkpoint of a run: all that changes while training, complete, in one file that appears whole or not at all."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from models.classifier.rows import Classifier
from models.recognition.video_model import VideoModel
from worker.training.judging.measures import Scored
from worker.training.run.loop import State

FORMAT = 1


def save(path: Path, model: VideoModel, classifier: Classifier, state: State, kept: dict[str, Any]) -> None:
    """`kept`: what was measured before training, so that a resumed run need not measure it again."""
    part = path.with_suffix(".part")
    torch.save(
        {
            "format": FORMAT,
            "model": model.state_dict(),
            "classifier": classifier.state_dict(),
            "state": asdict(state),
            "kept": kept,
        },
        part,
    )
    part.replace(path)


def restore(path: Path, model: VideoModel, classifier: Classifier) -> tuple[State, dict[str, Any]]:
    """Fills `model` and `classifier`. Loaded without running any code that the file might hold."""
    saved = torch.load(path, map_location="cpu", weights_only=True)
    model.load_state_dict(saved["model"])
    classifier.load_state_dict(saved["classifier"])
    return State(**saved["state"]), saved["kept"]


def pack(scored: Scored) -> dict[str, Any]:
    """Scores as a checkpoint can hold them."""
    return {
        "ids": list(scored.ids),
        "labels": torch.from_numpy(scored.labels),
        "probabilities": torch.from_numpy(scored.probabilities),
    }


def unpack(data: dict[str, Any]) -> Scored:
    return Scored(data["ids"], data["labels"].numpy(), data["probabilities"].numpy())
