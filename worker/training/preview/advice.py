"""One sentence of advice, from what cross-validation has shown."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from core.results import Advice
from models.heads.curve import Point
from models.heads.judge import Estimate, Judged, estimate

SUSPECT: Final = 0.1  # a clip that so few fits recognise, while its class is recognised
RECOGNISED: Final = 0.7
WORTH_LABELLING: Final = 0.03  # of accuracy, for twice as many clips
MOST_NAMED: Final = 5


def advise(
    judged: Judged, labels: Tensor, classes: list[str], paths: list[str], curve: tuple[Point, ...], *, tower: bool
) -> Advice:
    """labels: int64 [n]; paths: of the clips."""
    default = estimate(judged.hits["default"]) if "default" in judged.hits else None
    before = estimate(judged.hits["zero_shot"])
    if default is None or before is None:
        sentence = "Label more clips: with one clip per class, nothing can be left out to judge a model on."
        return _advice("label_more", sentence, classes=classes)
    suspects = _suspects(judged.hits["default"], labels)
    if suspects and len(suspects) >= max(2, 0.05 * len(labels)):
        named = [paths[place] for place in suspects[:MOST_NAMED]]
        sentence = (
            f"Check the labels of {len(suspects)} clips first, such as {named[0]}: models that know their class "
            "nearly always see another one in them."
        )
        return _advice("fix_labels", sentence, clips=[paths[place] for place in suspects])
    gain = paired_gain(judged)
    chance = 1 / len(classes)
    ahead = [point for point in curve if not point.measured]
    more = ahead[1].mean - ahead[0].mean if len(ahead) > 1 else 0.0
    weakest = _weakest(judged.hits["default"], labels, classes)
    if gain.interval[0] > 0:
        rest = _rest(more, weakest, tower=tower)
        sentence = f"Train: {_percent(before.mean)} becomes about {_percent(default.mean)}{rest}"
        return _advice("train", sentence, classes=weakest if more >= WORTH_LABELLING else [])
    if default.interval[0] <= chance or more >= WORTH_LABELLING:
        sentence = (
            f"Label more clips, first of {_names(weakest)}: with {len(labels)} clips, training cannot be told apart "
            f"from the base ({_percent(before.mean)} before, {_percent(default.mean)} after)."
        )
        return _advice("label_more", sentence, classes=weakest)
    sentence = (
        f"Use the base as it is: it gets {_percent(before.mean)}, and neither training "
        f"({_percent(default.mean)}) nor twice as many clips would change that by much."
    )
    return _advice("use_as_it_is", sentence)


def paired_gain(judged: Judged) -> Estimate:
    """Of `default` over zero-shot, paired by clip; the interval is that of the normal approximation."""
    difference = judged.hits["default"] - judged.hits["zero_shot"]
    known = difference[~difference.isnan()]
    mean, error = float(known.mean()), float(known.std(correction=0)) / len(known) ** 0.5
    return Estimate(mean, error, (mean - 1.96 * error, mean + 1.96 * error), len(known))


def _suspects(hits: Tensor, labels: Tensor) -> list[int]:
    """Clips that are hardly ever recognised although the other clips of their class are, worst first."""
    found: list[tuple[float, int]] = []
    for label in sorted(set(labels.tolist())):
        own = torch.nonzero((labels == label) & ~hits.isnan()).flatten()
        for place in own.tolist():
            others = hits[own[own != place]]
            if float(hits[place]) <= SUSPECT and len(others) >= 3 and float(others.mean()) >= RECOGNISED:
                found.append((float(hits[place]), place))
    return [place for _, place in sorted(found)]


def _weakest(hits: Tensor, labels: Tensor, classes: list[str]) -> list[str]:
    """The third of the classes that are recognised least, at most five."""
    known = ~hits.isnan()
    means = [float(hits[known & (labels == label)].nanmean()) for label in range(len(classes))]
    order = sorted(range(len(classes)), key=lambda label: means[label] if means[label] == means[label] else 0.0)
    return [classes[label] for label in order[: min(MOST_NAMED, max(1, len(classes) // 3))]]


def _rest(more: float, weakest: list[str], *, tower: bool) -> str:
    if more >= WORTH_LABELLING:
        return f", and twice as many clips about {100 * more:.0f} points more (label {_names(weakest)} first)."
    return "; more clips of this kind bring little" + (", so train the image tower." if tower else ".")


def _advice(action: str, sentence: str, classes: list[str] | None = None, clips: list[str] | None = None) -> Advice:
    return {"action": action, "sentence": sentence, "classes": classes or [], "clips": clips or []}  # type: ignore[typeddict-item]


def _names(classes: list[str]) -> str:
    return ", ".join(classes)


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
