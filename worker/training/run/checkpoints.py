"""A checkpoint of a run: everything that changes during training, in one file that appears whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from core.errors import TrainingFailed
from models.classifier.rows import Classifier
from models.recognition.video_model import VideoModel
from worker.training.run.loop import State

FORMAT = 1


def save_checkpoint(
    path: Path, model: VideoModel, classifier: Classifier, state: State, baseline: dict[str, Any]
) -> None:
    """`baseline`: what was measured before training (numbers, strings and tensors), so that a resumed run need not
    measure it again. Raises: TrainingFailed for weights that are not finite."""
    if damaged := [name for name, tensor in _weights(model, classifier) if not torch.isfinite(tensor).all()]:
        raise TrainingFailed(
            f"The weights of {damaged[0]} are not finite after step {state.step}, so no checkpoint was written.",
            hint="Lower the learning rate, or train in bf16 or fp32.",
            step=state.step,
        )
    part = path.with_suffix(".part")
    torch.save(
        {
            "format": FORMAT,
            "model": model.state_dict(),
            "classifier": classifier.state_dict(),
            "state": asdict(state),
            "kept": baseline,
        },
        part,
    )
    part.replace(path)


def _weights(model: VideoModel, classifier: Classifier) -> Iterator[tuple[str, Tensor]]:
    for module in (model, classifier):
        for name, tensor in module.state_dict().items():
            if tensor.is_floating_point():
                yield name, tensor


def restore_checkpoint(path: Path, model: VideoModel, classifier: Classifier) -> tuple[State, dict[str, Any]]:
    """Load the weights into `model` and `classifier`; return the state and the baseline. No code that the file might
    hold is run."""
    saved = torch.load(path, map_location="cpu", weights_only=True)
    model.load_state_dict(saved["model"])
    classifier.load_state_dict(saved["classifier"])
    return State(**saved["state"]), saved["kept"]
