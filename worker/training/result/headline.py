"""The figure to quote. A small split tells little, so below 100 judged clips it is the cross-validated one.

Cross-validation repeats the closed form, which takes milliseconds. The loop is not repeated."""

from __future__ import annotations

from typing import Final

from core.results import Headline, PreviewResult
from worker.training.judging.comparison import compare_scores
from worker.training.judging.measures import wilson_interval
from worker.training.judging.scored import Scored

FEW_CLIPS: Final = 100
CHANCE: Final = 0.05  # a difference that chance makes more often cannot be told apart from none


def headline(
    after: Scored, before: Scored | None, preview: PreviewResult | None, split: str, *, closed_form: bool
) -> Headline | None:
    """after, before: scores of the judged clips; closed_form: whether the version is what the preview has
    cross-validated, and not the loop's. None if there is nothing to quote."""
    after = after.without_duplicates()
    changed = None if before is None else compare_scores(before, after)
    few = len(after.ids) < FEW_CLIPS
    if few and closed_form and preview is not None and (found := _cross_validated(preview)):
        found["sentence"] += _too_few(len(after.ids), split, None if changed is None else changed["chance"])
        return found
    if not len(after.ids):
        return None
    hits, clips = int(after.hits.sum()), len(after.ids)
    was = None if changed is None else changed["metrics"]["top1"]
    told_apart = changed is not None and changed["chance"] < CHANCE
    low, high = wilson_interval(hits, clips)
    sentence = f"{_percent(hits / clips)} of {clips} {split} clips ({_percent(low)} to {_percent(high)})"
    return {
        "how": "held_out",
        "clips": clips,
        "top1": hits / clips,
        "interval": [low, high],
        "before": was,
        "told_apart": told_apart,
        "sentence": sentence + _verdict(was, told_apart=told_apart) + (_heads(preview) if few else ""),
    }


def _cross_validated(preview: PreviewResult) -> Headline | None:
    """The figure and the verdict are of the same clips: the paired interval of the gain decides."""
    heads = {head["name"]: head for head in preview.heads}
    now, was = heads["default"], heads["zero_shot"]
    if now["top1"] is None or now["interval"] is None or was["top1"] is None:
        return None
    low, high = now["interval"]
    told_apart = preview.gain is not None and not preview.gain[0] <= 0 <= preview.gain[1]
    return {
        "how": "cross_validated",
        "clips": preview.judged_clips,
        "top1": now["top1"],
        "interval": [low, high],
        "before": was["top1"],
        "told_apart": told_apart,
        "sentence": f"{_percent(now['top1'])} by cross-validation over {preview.judged_clips} train clips "
        f"({_percent(low)} to {_percent(high)})" + _verdict(was["top1"], told_apart=told_apart),
    }


def _too_few(clips: int, split: str, chance: float | None) -> str:
    """chance: of the sign test on the judged clips; None: nothing was measured before training."""
    if not clips:
        return ""
    alone = "" if chance is None or chance < CHANCE else ": on them alone, before and after cannot be told apart"
    return f" {clips} {split} clips are too few to quote{alone}."


def _heads(preview: PreviewResult | None) -> str:
    """What the preview's heads reach, where the loop has trained: it was not cross-validated."""
    found = [] if preview is None else [head["top1"] for head in preview.heads if head["top1"] is not None]
    if not found:
        return ""
    return f" The heads on frozen features reach {_percent(max(found))} by cross-validation."


def _verdict(before: float | None, *, told_apart: bool) -> str:
    if before is None:
        return "."
    if told_apart:
        return f"; before training it was {_percent(before)}."
    return f"; before training it was {_percent(before)}, and the two cannot be told apart with so few clips."


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
