"""Which clips are for training and which are held out: the given split, or a stratified one drawn with a seed."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
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
        f"with seed {seed}. Clips cut from the same video may be in both splits. If that matters, give a split."
    )
    if unread:
        columns = ", ".join(f'"{column[:40]}"' for column in unread[:8])
        message += f" These columns were not read: {columns}. The column with the split must be named split."
    finding = Finding(severity="info", code="no_split", message=message, count=len(held_out))
    return SplitResult(divided, "made", (finding,))


def _held_out(clips: Sequence[Clip], seed: int, fraction: float) -> set[str]:
    """sha256 of the held-out clips: of n clips of a class round(n · fraction), at least 1 and at most n - 1.

    A single clip of a class is not held out.
    """
    classes: dict[str, list[str]] = defaultdict(list)
    for clip in clips:
        classes[clip.label].append(clip.sha256)
    held_out: set[str] = set()
    for contents in classes.values():
        n = len(contents)
        take = min(max(int(n * fraction + 0.5), 1), n - 1)
        held_out.update(sorted(contents, key=lambda sha256: _rank(seed, sha256))[:take])
    return held_out


def _rank(seed: int, sha256: str) -> bytes:
    """The position in the draw. It depends only on the seed and the content."""
    return hashlib.sha256(f"{seed}:{sha256}".encode()).digest()
