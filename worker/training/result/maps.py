"""Video vectors on a plane: t-SNE of the judged clips before and after training (ViFi-CLIP, Fig. 1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

import numpy as np

from models.frames.arrays import FloatArray
from worker.training.judging.scored import Embedded

FEWEST = 12  # of fewer clips nothing can be seen
PERPLEXITY = 30.0
SEED = 0


class VectorMap(TypedDict):
    """clips: their paths; labels: their classes; before, after: their places [n][2], null if the model before training
    could not be asked; note: why there is no map, in words. The axes have no meaning, and the two maps share none."""

    clips: list[str]
    labels: list[int]
    before: list[list[float]] | None
    after: list[list[float]] | None
    perplexity: float | None
    seed: int
    note: str | None


def map_vectors(before: Embedded | None, after: Embedded | None) -> VectorMap | None:
    """The clips that both have, of at most `MOST_EMBEDDED`. The same vectors give the same map. None if no vectors were
    kept."""
    if after is None:
        return None
    was = None if before is None else {clip: place for place, clip in enumerate(before.ids)}
    shared = {clip: place for place, clip in enumerate(after.ids) if was is None or clip in was}
    clips, places = list(shared), list(shared.values())
    labels = [int(after.labels[place]) for place in places]
    if len(clips) < FEWEST:
        note = f"A map of video vectors needs at least {FEWEST} judged clips; there are {len(clips)}."
        return _without(clips, labels, note)
    perplexity = min(PERPLEXITY, (len(clips) - 1) / 3)
    at_first = None
    if before is not None and was is not None:
        at_first = _places(before.vectors[[was[clip] for clip in clips]], perplexity)
    return {
        "clips": clips,
        "labels": labels,
        "before": at_first,
        "after": _places(after.vectors[places], perplexity),
        "perplexity": round(perplexity, 2),
        "seed": SEED,
        "note": None,
    }


def _without(clips: Sequence[str], labels: Sequence[int], note: str) -> VectorMap:
    return {
        "clips": list(clips),
        "labels": list(labels),
        "before": None,
        "after": None,
        "perplexity": None,
        "seed": SEED,
        "note": note,
    }


def _places(vectors: FloatArray, perplexity: float) -> list[list[float]]:
    """vectors: unit [n, d] → [n][2]. It starts at the principal components, so only their signs and t-SNE's own noise
    would differ between seeds."""
    from sklearn.manifold import TSNE  # takes a second to import; most runs have too few clips to need it

    exact = len(vectors) < 100  # faster than trees, and without their rounding
    tsne = TSNE(
        perplexity=perplexity, init="pca", random_state=SEED, method="exact" if exact else "barnes_hut", n_jobs=1
    )
    if np.ptp(vectors, axis=0).max() < 1e-6:  # every clip has the same vector: it has no principal components
        return [[0.0, 0.0] for _ in vectors]
    found: list[list[float]] = tsne.fit_transform(vectors.astype(np.float64)).astype(float).round(3).tolist()
    return found
