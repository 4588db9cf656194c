"""From a version's weights to a plain open_clip state dict, which other programs can load. Needs no torch."""

from __future__ import annotations

from pathlib import Path

from safetensors.numpy import load_file, save_file

OURS = ("temporal.", "time_blocks.", "classifier.")
"""Prefixes of what open_clip's architectures do not have."""


def strip(weights: Path, target: Path) -> tuple[int, list[str]]:
    """Write what open_clip knows; returns how many tensors that were, and the modules that were left out.

    Raises: safetensors.SafetensorError where `weights` is no such file.
    """
    tensors = load_file(weights)
    kept = {name: tensor for name, tensor in tensors.items() if not name.startswith(OURS)}
    dropped = sorted({name.partition(".")[0] for name in tensors.keys() - kept.keys()})
    save_file(kept, target, metadata={"format": "pt"})
    target.chmod(0o644)  # it is made for others to read; safetensors writes for the owner alone
    return len(kept), dropped
