"""From similarities to confidence: a logistic function of how far a label stands above the null prompts.

It is the same function for all labels, so that it holds for labels that no clip had. Within one video it keeps the
order of the similarities.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Final

import numpy as np

from models.frames.arrays import BoolArray, FloatArray

PENALTY: Final = 1.0  # on the weights of standardised evidence: as strong as the evidence of about one clip


def evidence(similarities: FloatArray, null: FloatArray) -> FloatArray:
    """similarities: cosines of a video and labels [..., C]; null: of the same video and the null prompts [..., N] →
    [..., C, 2]: above the mean null prompt, and above the most similar one."""
    mean, best = null.mean(axis=-1, keepdims=True), null.max(axis=-1, keepdims=True)
    return np.stack([similarities - mean, similarities - best], axis=-1)


@dataclass(frozen=True, slots=True)
class Logistic:
    """Confidence = 1 / (1 + exp(−(bias + weights · evidence))). `weights`: above the mean, above the best."""

    bias: float
    weights: tuple[float, float]

    def __call__(self, similarities: FloatArray, null: FloatArray) -> FloatArray:
        """similarities: [..., C]; null: [..., N] → confidence [..., C], each from 0 to 1, independent of the others."""
        logits = self.bias + evidence(similarities, null) @ np.array(self.weights)
        confidence: FloatArray = 0.5 * (1.0 + np.tanh(0.5 * logits))  # the logistic function, which cannot overflow
        return confidence

    @property
    def informative(self) -> bool:
        """Whether a higher similarity means a higher confidence. Otherwise every confidence is the same."""
        return self.weights != (0.0, 0.0)


def fit_logistic(found: FloatArray, true: BoolArray, weights: FloatArray) -> Logistic:
    """found: evidence [m, 2]; true: whether the label is right [m]; weights: of the pairs [m]; some must be true and
    some not. If the evidence says nothing, or the wrong thing, the confidence is the share of true pairs."""
    # Imported here: serving does not need it.
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    centre, spread = found.mean(axis=0), found.std(axis=0)
    spread = np.where(spread > 0, spread, 1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a fit that is nearly there is good enough
        fitted = LogisticRegression(C=1.0 / PENALTY).fit((found - centre) / spread, true, sample_weight=weights)
    slopes = fitted.coef_[0] / spread  # [2]
    if slopes.sum() <= 0:
        share = float(np.average(true, weights=weights))
        return Logistic(float(np.log(share / (1 - share))), (0.0, 0.0))
    return Logistic(float(fitted.intercept_[0] - slopes @ centre), (float(slopes[0]), float(slopes[1])))
