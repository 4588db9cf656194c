"""The paired bootstrap of two models' answers about the same clips."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final, Literal

from typing_extensions import TypedDict

DRAWS: Final = 10_000
SINGLE: Final = "1x1"


class Comparison(TypedDict):
    """top-1 of both on the same clips, the difference in favour of the candidate, and its 95 % interval."""

    candidate: str
    standing: str
    clips: int
    candidate_top1: float
    standing_top1: float
    gain: float
    interval: list[float]
    verdict: Literal["better", "worse", "cannot_be_told_apart"]
    sentence: str


def compare_hits(
    candidate: str, hits: Mapping[str, bool], standing: str, others: Mapping[str, bool]
) -> Comparison | None:
    """hits, others: clip → whether the answer was right. Clips that only one of them judged do not count. None if no
    clip is left."""
    import numpy as np  # not above: every gateway would start more slowly, and few compare

    clips = sorted(hits.keys() & others.keys())
    if not clips:
        return None
    count = len(clips)
    gained = sum(hits[clip] and not others[clip] for clip in clips)
    lost = sum(others[clip] and not hits[clip] for clip in clips)
    # A resample of clips is a draw of how many were gained, lost and neither.
    shares = np.array([gained, lost, count - gained - lost]) / count
    drawn = np.random.default_rng(0).multinomial(count, shares, DRAWS)  # [draws, 3]
    low, high = (float(end) for end in np.quantile((drawn[:, 0] - drawn[:, 1]) / count, [0.025, 0.975]))
    gain = (gained - lost) / count
    verdict: Literal["better", "worse", "cannot_be_told_apart"] = (
        "better" if low > 0 else "worse" if high < 0 else "cannot_be_told_apart"
    )
    words = {"better": "is better than", "worse": "is worse than", "cannot_be_told_apart": "cannot be told apart from"}
    sentence = (
        f"{candidate} {words[verdict]} {standing} on {count} clips: {100 * gain:+.1f} points "
        f"({100 * low:+.1f} to {100 * high:+.1f})."
    )
    return {
        "candidate": candidate,
        "standing": standing,
        "clips": count,
        "candidate_top1": sum(hits[clip] for clip in clips) / count,
        "standing_top1": sum(others[clip] for clip in clips) / count,
        "gain": gain,
        "interval": [low, high],
        "verdict": verdict,
        "sentence": sentence,
    }


def read_hits(predictions: str, *, of: Literal["given", "before"] = "given") -> dict[str, bool]:
    """predictions: the text of a version's predictions.jsonl → clip → whether the answer to the single view was right.
    of: `before` for the model that training started from; empty if the file does not say."""
    lines = (json.loads(line) for line in predictions.splitlines() if line)
    return {line["clip"]: line[of] == line["true"] for line in lines if line["view"] == SINGLE and of in line}
