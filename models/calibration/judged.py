"""The fit of a calibration, and how it does on what it was not fitted on: classes left out, or clips left out.

Half of the classes are fitted on and the other half judged, and the other way round; several random halves. So a judged
label is one that the fit has never seen. A calibration for a known set of labels leaves clips out instead.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from models.calibration.logistic import Logistic, evidence, fit_logistic
from models.calibration.questions import Questions, draw_questions
from models.calibration.reliability import Bin, auroc, coverage, expected_error, reliability
from models.frames.arrays import BoolArray, FloatArray, IntArray

MOST_QUESTIONS: Final = 40_000  # judged in all


@dataclass(frozen=True, slots=True)
class Reading:
    """Cosines of clips and classes in one way to read the classes: similarities [n, C]. `name`: `labels`, or `trained`
    and `untrained` where training changed how its classes are read."""

    name: str
    similarities: FloatArray


@dataclass(frozen=True, slots=True)
class Seen:
    """What a model makes of labelled clips. null: cosines of the clips and the null prompts [n, N]; labels: [n], in
    0 … C−1; scale: exp(s)."""

    readings: tuple[Reading, ...]
    null: FloatArray
    labels: IntArray
    scale: float

    @property
    def count(self) -> int:
        """C"""
        return int(self.readings[0].similarities.shape[1])


@dataclass(frozen=True, slots=True)
class Measured:
    """One probability, measured over judged questions. `ece`: of the best label; `ece_labels`: of every label asked;
    `auroc`: of the best label's probability, questions that ask about the clip's label against those that do not;
    `coverage`: share of questions that can be answered with 90 % right answers, if those above `threshold` are."""

    ece: float | None
    ece_labels: float | None
    auroc: float | None
    coverage: float
    threshold: float | None
    diagram: tuple[Bin, ...]


@dataclass(frozen=True, slots=True)
class Judged:
    """before: the softmax score; after: the confidence; top1: share of right best labels where the own label is asked;
    informative: share of the fits in which similarity told anything."""

    reading: str
    before: Measured
    after: Measured
    top1: float
    questions: int
    informative: float


def fit_clips(seen: Seen, clips: IntArray, classes: Sequence[int], rng: np.random.Generator) -> Logistic:
    """The best label of a question counts as much as its other labels together: it is the one that is shown first and
    decides about abstention. clips: indices of those to fit on; classes: those to ask about."""
    questions = draw_questions(seen.labels, clips, classes, seen.count, rng)
    own = seen.labels[questions.clips, None] == np.arange(seen.count)  # [q, C]
    null = seen.null[questions.clips]  # [q, N]
    others = np.maximum(questions.asked.sum(axis=1, keepdims=True) - 1, 1)  # [q, 1]
    found: list[FloatArray] = []
    weights: list[FloatArray] = []
    for reading in seen.readings:
        similarities = reading.similarities[questions.clips]  # [q, C]
        best = _best(similarities, questions.asked)[:, None] == np.arange(seen.count)  # [q, C]
        found.append(evidence(similarities, null)[questions.asked])  # [m, 2]
        weights.append(np.where(best, 1.0, 1.0 / others)[questions.asked])
    weight = np.concatenate(weights)
    true = np.tile(own[questions.asked], len(seen.readings))
    return fit_logistic(np.concatenate(found), true, weight * len(clips) / weight.sum())


def _best(similarities: FloatArray, asked: BoolArray) -> IntArray:
    """[q, C] → [q]"""
    found: IntArray = np.where(asked, similarities, -np.inf).argmax(axis=1)
    return found


def judge(seen: Seen, *, by_clips: bool, repeats: int = 10, seed: int = 0) -> tuple[Judged, ...]:
    """One judgement for each reading. by_clips: leave clips out instead of classes."""
    parts: dict[str, list[tuple[Questions, Logistic]]] = {reading.name: [] for reading in seen.readings}
    asked = 0
    for repeat in range(repeats):
        rng = np.random.default_rng((seed, repeat))
        for fitted, judged, of_fit, of_judge in _halves(seen, rng, by_clips=by_clips):
            logistic = fit_clips(seen, fitted, of_fit, rng)
            questions = draw_questions(seen.labels, judged, of_judge, seen.count, rng)
            asked += len(questions.clips)
            for reading in seen.readings:
                parts[reading.name].append((questions, logistic))
        if asked >= MOST_QUESTIONS:
            break
    return tuple(_judged(seen, reading, parts[reading.name]) for reading in seen.readings)


def _halves(
    seen: Seen, rng: np.random.Generator, *, by_clips: bool
) -> Iterator[tuple[IntArray, IntArray, list[int], list[int]]]:
    """Indices of the clips to fit on and of those to judge, and the classes that each side asks about; twice."""
    present = sorted(set(seen.labels.tolist()))
    everything = np.arange(len(seen.labels))
    if by_clips:
        first = np.concatenate(
            [(own := rng.permutation(np.flatnonzero(seen.labels == label)))[: (len(own) + 1) // 2] for label in present]
        )
        sides = (np.sort(first), np.setdiff1d(everything, first))
        every = list(range(seen.count))
        yield sides[0], sides[1], every, every
        yield sides[1], sides[0], every, every
        return
    order = rng.permutation(present).tolist()
    half = len(order) // 2
    for fitted, judged in ((order[:half], order[half:]), (order[half:], order[:half])):
        inside = np.isin(seen.labels, fitted)
        yield everything[inside], everything[~inside], fitted, judged


def _judged(seen: Seen, reading: Reading, parts: list[tuple[Questions, Logistic]]) -> Judged:
    scores, confidences, labels_before, labels_after, right, true, known = [], [], [], [], [], [], []
    for questions, logistic in parts:
        similarities = reading.similarities[questions.clips]  # [q, C]
        own = seen.labels[questions.clips]  # [q]
        softmax = _softmax(np.where(questions.asked, seen.scale * similarities, -np.inf))  # [q, C]
        confidence = logistic(similarities, seen.null[questions.clips])  # [q, C]
        best = _best(similarities, questions.asked)  # [q]
        rows = np.arange(len(best))
        scores.append(softmax[rows, best])
        confidences.append(confidence[rows, best])
        right.append(best == own)
        known.append(questions.known)
        labels_before.append(softmax[questions.asked])
        labels_after.append(confidence[questions.asked])
        true.append((own[:, None] == np.arange(seen.count))[questions.asked])
    hits, asked = np.concatenate(right), np.concatenate(known)
    of_labels = np.concatenate(true)
    return Judged(
        reading=reading.name,
        before=_measured(np.concatenate(scores), np.concatenate(labels_before), hits, asked, of_labels),
        after=_measured(np.concatenate(confidences), np.concatenate(labels_after), hits, asked, of_labels),
        top1=float(hits[asked].mean()),
        questions=len(hits),
        informative=float(np.mean([logistic.informative for _, logistic in parts])),
    )


def _measured(best: FloatArray, every: FloatArray, right: BoolArray, known: BoolArray, true: BoolArray) -> Measured:
    """best: of each question's best label [q]; every: of all asked labels [m]."""
    diagram = reliability(best, right)
    share, threshold = coverage(best, right)
    return Measured(
        ece=expected_error(diagram),
        ece_labels=expected_error(reliability(every, true)),
        auroc=auroc(best, known),
        coverage=share,
        threshold=threshold,
        diagram=diagram,
    )


def _softmax(logits: FloatArray) -> FloatArray:
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    found: FloatArray = shifted / shifted.sum(axis=-1, keepdims=True)
    return found
