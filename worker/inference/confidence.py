"""The confidence of predictions, by the newest calibration of the model. It costs one product with the null prompts,
whose rows are cached as those of labels are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import torch

from core.calibration.record import Calibration
from core.calibration.shelf import scope_of
from core.errors import StorageUnavailable
from core.questions import MULTI_THRESHOLD, Label, Question
from core.records import CalibrationRef
from models.calibration.logistic import Logistic
from models.calibration.null_prompts import NULL_PROMPTS, NULL_VERSION
from models.recognition.scoring import score
from worker.inference.loading.shelf import Loaded
from worker.inference.ranking import Ranking, rounded
from worker.inference.runtime import Runtime
from worker.jobs.cancellation import CancelToken

_NULL_LABELS: Final = tuple(Label(name=text, prompts=(text,)) for text in NULL_PROMPTS)
_NO_TEMPLATES: Final = ("{}",)

UNCALIBRATED_MULTI: Final = (
    "{model} is not calibrated: the threshold applies to scores, which add up to 1 over the labels, so hardly more "
    "than one label can reach it. POST /v1/calibrations calibrates the model."
)

UNKNOWN: Final = (
    "The store cannot be reached, so nobody knows whether {model} is calibrated: there is no confidence, and a "
    "threshold applies to scores."
)


@dataclass(frozen=True, slots=True)
class Decided:
    """The labels with their confidences; whether no label reaches the threshold; the calibration that was applied; what
    the user should know."""

    ranking: Ranking
    abstained: bool
    calibration: CalibrationRef | None
    warnings: tuple[str, ...] = ()


def decide(
    runtime: Runtime,
    loaded: Loaded,
    pool: Callable[[], torch.Tensor],
    ranking: Ranking,
    question: Question,
    token: CancelToken,
) -> Decided:
    """pool: gives the vectors of the views [V, d]. Raises: what the text tower raises."""
    warnings: list[str] = []
    try:
        found = _calibration(runtime, loaded, question)
    except StorageUnavailable:
        found = None
        warnings.append(UNKNOWN.format(model=loaded.ref.name))
    if found is not None:
        null = _null_similarities(runtime, loaded, pool(), question, token)  # [N]
        logistic = Logistic(found.bias, (found.above_mean, found.above_best))
        ranking = replace(ranking, confidences=rounded(logistic(ranking.similarities, null)))  # [C]
    multi = question.mode == "multi"
    threshold = question.threshold
    if multi:
        threshold = MULTI_THRESHOLD if threshold is None else threshold
        ranking = replace(ranking, threshold=threshold)
    abstained = threshold is not None and bool((ranking.probabilities < threshold).all())
    if multi and found is None and len(ranking.places) > 1:
        warnings.append(UNCALIBRATED_MULTI.format(model=loaded.ref.name))
    return Decided(ranking, abstained, found.ref if found else None, tuple(warnings))


def _calibration(runtime: Runtime, loaded: Loaded, question: Question) -> Calibration | None:
    """None as well for a calibration with null prompts of another version of Vireo."""

    def scope() -> str:
        return scope_of(question.labels, question.templates, normalise=bool(question.normalize_labels))

    found = runtime.calibrations.newest(loaded.recognizer.digest, scope)
    return found if found and found.null_version == NULL_VERSION else None


def _null_similarities(
    runtime: Runtime, loaded: Loaded, pooled: torch.Tensor, question: Question, token: CancelToken
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Cosines of the video and the null prompts [N], taken as those of the labels are."""
    recognizer = loaded.recognizer
    rows = recognizer.fixed_rows
    if rows is None:

        def encode(texts: list[str]) -> tuple[torch.Tensor, list[bool]]:
            encoded = loaded.towers.texts.encode(texts, token)
            return encoded.vectors, encoded.truncated

        found, _ = runtime.classifiers.classifier(recognizer, _NULL_LABELS, _NO_TEMPLATES, False, encode)
        rows = found.matrix
    aggregate = question.aggregate or recognizer.profile.aggregate
    scores = score(pooled, rows, recognizer.logit_scale, aggregate, recognizer.profile.fusion)
    similarities: np.ndarray[tuple[int], np.dtype[np.float64]] = scores.similarities.double().numpy()
    return similarities
