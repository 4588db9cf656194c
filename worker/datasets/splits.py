"""Which clips are for training and which are held out: the given split, or a stratified one drawn with a seed."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from core.datasets import Finding
from worker.datasets.findings import Clip


@dataclass(frozen=True, slots=True)
class SplitResult:
    """clips: each with its split. source: whether the user gave the split."""

    clips: tuple[Clip, ...]
    source: Literal["given", "made"]
    findings: tuple[Finding, ...]


def assign_splits(clips: Sequence[Clip], seed: int, val_fraction: float, unread: Sequence[str] = ()) -> SplitResult:
    """Keep a given split that holds out clips; otherwise hold out a part of each class as val.

    clips: each content once. unread: columns of the manifest that were not read; one of them may hold the split.
    """
    if {clip.split for clip in clips} & {"val", "test"}:
        return SplitResult(tuple(clips), "given", ())
    held_out = _held_out(clips, seed, val_fraction)
    divided = tuple(replace(clip, split="val" if clip.sha256 in held_out else "train") for clip in clips)
    given = "only the split train" if any(clip.split for clip in clips) else "no split"
    message = (
        f"The dataset has {given}. {val_fraction:.0%} of each class ({len(held_out)} clips) are held out as val, drawn "
        f"with seed {seed}."
    )
    if not any(clip.group for clip in clips):
        message += " Clips cut from the same video may be in both splits. If that matters, add a column group."
    if unread:
        columns = ", ".join(f'"{column[:40]}"' for column in unread[:8])
        message += f" These columns were not read: {columns}. The column with the split must be named split."
    finding = Finding(severity="info", code="no_split", message=message, count=len(held_out))
    return SplitResult(divided, "made", (finding,))


def _held_out(clips: Sequence[Clip], seed: int, fraction: float) -> set[str]:
    """sha256 of the held-out clips. The clips of a group stay together; a clip without a group is one by itself.

    Of n clips of a class, round(n · fraction) are wanted, at least 1 and at most n - 1. Groups are drawn in the order
    of their rank: first those that fit into what is wanted, then, for a class that has none yet, the smallest that
    leaves the class a clip to train on.
    """
    groups: dict[str, list[Clip]] = defaultdict(list)
    for clip in clips:
        groups[clip.sha256 if clip.group is None else f"group:{clip.group}"].append(clip)
    ranked = sorted(groups, key=lambda name: _rank(seed, name))
    totals = Counter(clip.label for clip in clips)
    wanted = {label: min(max(int(n * fraction + 0.5), 1), n - 1) for label, n in totals.items()}
    taken: Counter[str] = Counter()
    chosen: set[str] = set()

    def take(name: str, most: Mapping[str, int]) -> None:
        """Hold the group out, unless it exceeds `most` clips of one of its classes."""
        counts = Counter(clip.label for clip in groups[name])
        if name not in chosen and all(taken[label] + count <= most[label] for label, count in counts.items()):
            chosen.add(name)
            taken.update(counts)

    for name in ranked:
        take(name, wanted)
    leaving_one = {label: n - 1 for label, n in totals.items()}
    for label in sorted(totals):
        own = (name for name in ranked if any(clip.label == label for clip in groups[name]))
        for name in sorted(own, key=lambda name: len(groups[name])):
            if not taken[label]:
                take(name, leaving_one)
    return {clip.sha256 for name in chosen for clip in groups[name]}


def _rank(seed: int, name: str) -> bytes:
    """The position in the draw. It depends only on the seed and the clip's content, or the name of its group."""
    return hashlib.sha256(f"{seed}:{name}".encode()).digest()
