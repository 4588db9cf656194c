"""Which clips are trained on and which are held out: as given, or made: stratified, by the content and a seed."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from core.datasets import Finding
from worker.datasets.findings import Clip


@dataclass(frozen=True, slots=True)
class Division:
    """clips: each with its split."""

    clips: tuple[Clip, ...]
    source: Literal["given", "made"]
    findings: tuple[Finding, ...]


def divide(clips: Sequence[Clip], seed: int, val_fraction: float, unread: Sequence[str] = ()) -> Division:
    """Contents must be unique. Where nothing, or nothing but train is given, val is made from it.

    unread: columns of the manifest, one of which may have been meant."""
    if {clip.split for clip in clips} & {"val", "test"}:
        return Division(tuple(clips), "given", ())
    held_out = _held_out(clips, seed, val_fraction)
    divided = tuple(replace(clip, split="val" if clip.sha256 in held_out else "train") for clip in clips)
    given = "train only" if any(clip.split for clip in clips) else "no split"
    message = (
        f"The dataset gives {given}: {val_fraction:.0%} of each class, {len(held_out)} clips, are held out as val, "
        f"drawn with seed {seed}. Clips cut from one video may be on both sides; give a split if that matters."
    )
    if unread:
        columns = ", ".join(f'"{column[:40]}"' for column in unread[:8])
        message += f" Not read: {columns}. A column that is the split must be named split."
    finding = Finding(severity="info", code="no_split", message=message, count=len(held_out))
    return Division(divided, "made", (finding,))


def _held_out(clips: Sequence[Clip], seed: int, fraction: float) -> set[str]:
    """Contents. Of a class of n clips round(n · fraction), at least one and at most n - 1; of a single clip none."""
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
    """A place in the draw that depends on nothing but the seed and the content."""
    return hashlib.sha256(f"{seed}:{sha256}".encode()).digest()
