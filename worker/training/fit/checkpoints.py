"""A checkpoint of a run: everything that changes during training, in one file that appears whole or not at all.

Frozen weights are not in it. They are the base model's, which is known by its digest, and a resumed run has loaded them
already. Checkpoints of format 1, which earlier versions wrote, hold all weights.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from core.errors import TrainingFailed
from models.classifier.rows import Classifier
from models.recognition.video_model import VideoModel
from worker.training.fit.updates import State

FORMAT = 3


def save_checkpoint(
    path: Path, model: VideoModel, classifier: Classifier, state: State, baseline: dict[str, Any], base: str
) -> None:
    """`baseline`: what was measured before training (numbers, strings and tensors), so that a resumed run need not
    measure it again; `base`: digest of the base model. Every tensor is copied to host memory once.

    Raises: TrainingFailed for weights that are not finite.
    """
    weights = {"model": _changing(model), "classifier": _changing(classifier)}
    if damaged := next(_not_finite(weights), None):
        raise TrainingFailed(
            f"The weights of {damaged} are not finite after step {state.step}, so no checkpoint was written.",
            hint="Lower the learning rate, or train in bf16 or fp32.",
            step=state.step,
        )
    part = path.with_suffix(".part")
    # Not `asdict`: it copies the optimiser's tensors on their device.
    progress = {field.name: getattr(state, field.name) for field in fields(state)}
    torch.save(
        {"format": FORMAT, "base": base, **_on_host(weights), "state": _on_host(progress), "kept": baseline}, part
    )
    part.replace(path)


def restore_checkpoint(
    path: Path, model: VideoModel, classifier: Classifier, base: str
) -> tuple[State, dict[str, Any]]:
    """Load the weights into `model` and `classifier`, which are as they were before the first step; return the state
    and the baseline. No code that the file might hold is run.

    base: digest of the base model that `model` was made of. Raises: TrainingFailed if the run began with another one,
    or if the file does not fit.
    """
    saved = torch.load(path, map_location="cpu", weights_only=True)
    if saved["format"] > FORMAT:
        raise TrainingFailed(
            "A newer version of Vireo wrote this run's checkpoint.", hint="Update the training workers, then resume."
        )
    if saved.get("base", base) != base:
        raise TrainingFailed(
            "This run began with another base model than its name stands for now, so it cannot continue.",
            hint="Start a new training job, or give this worker the weights that the run began with.",
        )
    _restore(model, saved["model"])
    _restore(classifier, saved["classifier"])
    return State(**saved["state"]), saved["kept"]


def _changing(module: nn.Module) -> dict[str, Tensor]:
    """Parameters that are trained, and all buffers: they are small, and the statistics of batch norms may change."""
    frozen = _frozen(module)
    return {name: tensor for name, tensor in module.state_dict().items() if name not in frozen}


def _frozen(module: nn.Module) -> set[str]:
    return {name for name, parameter in module.named_parameters() if not parameter.requires_grad}


def _restore(module: nn.Module, saved: Mapping[str, Tensor]) -> None:
    """Raises: TrainingFailed."""
    try:
        missing, unknown = module.load_state_dict(saved, strict=False)
    except RuntimeError as error:  # a tensor has another shape
        raise _misfit() from error
    if unknown or not set(missing) <= _frozen(module):
        raise _misfit()


def _misfit() -> TrainingFailed:
    return TrainingFailed("This run's checkpoint does not fit its model.", hint="Start a new training job.")


def _not_finite(weights: Mapping[str, Mapping[str, Tensor]]) -> Iterator[str]:
    for tensors in weights.values():
        for name, tensor in tensors.items():
            if tensor.is_floating_point() and not torch.isfinite(tensor).all():
                yield name


def _on_host(value: Any) -> Any:
    """Nested dictionaries and lists with every tensor in host memory. What is there already is not copied."""
    if isinstance(value, Tensor):
        return value.detach().cpu()
    if isinstance(value, Mapping):
        return {key: _on_host(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_on_host(item) for item in value]
    return value
