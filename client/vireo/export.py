"""From a version's weights to a plain open_clip state dict, which other programs can load. Needs no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from safetensors.numpy import load_file, save_file

OURS = ("temporal", "time_blocks", "classifier", "context")
"""Modules that open_clip's architectures do not have: the first part of their tensors' names."""
_NOT_TEXT = ("visual", "logit_scale", "logit_bias")


@dataclass(frozen=True, slots=True)
class Stripped:
    tensors: int
    dropped: tuple[str, ...]  # of OURS, those that were there
    text: bool  # whether a text tower is in the file


def strip(weights: Path, target: Path) -> Stripped:
    """Write what open_clip knows. Raises: safetensors.SafetensorError where `weights` is no such file."""
    tensors = load_file(weights)
    modules = {name: name.partition(".")[0] for name in tensors}
    kept = {name: tensor for name, tensor in tensors.items() if modules[name] not in OURS}
    save_file(kept, target, metadata={"format": "pt"})
    return Stripped(
        tensors=len(kept),
        dropped=tuple(sorted(set(modules.values()) & set(OURS))),
        text=any(modules[name] not in _NOT_TEXT for name in kept),
    )
