"""Similarities drawn at random, about which everything is known."""

from __future__ import annotations

import numpy as np

from models.calibration.judged import Reading, Seen


def world(signal: float, *, classes: int = 12, clips: int = 8, noise: float = 0.1, seed: int = 0) -> Seen:
    """Cosines with an offset of each video; the own label's is higher by `signal`. The softmax is far too sure."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(classes), clips)
    offset = rng.normal(0, 0.1, (len(labels), 1))
    similarities = offset + rng.normal(0, noise, (len(labels), classes))
    similarities[np.arange(len(labels)), labels] += signal
    null = offset + rng.normal(0, noise / 2, (len(labels), 32))
    return Seen((Reading("labels", similarities),), null, labels, scale=100.0)
