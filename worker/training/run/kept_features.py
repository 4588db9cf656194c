"""Trunk outputs of a dataset's train clips, kept on this machine for a day: a preview extracts them once for itself and
for the training that follows."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import torch

from models.profiles.profile import Profile
from models.weights.digests import digest
from worker.decoding.dataset_clips import Sample
from worker.training.run.feeds import TrunkFeed

KEPT_SECONDS: Final = 24 * 3600.0
MOST_BYTES: Final = 256 << 20  # of one file


def features_path(folder: Path, project: str, base: str, profile: Profile, samples: Sequence[Sample]) -> Path:
    """Where the outputs for these clips, in this order and with these classes, are kept. base: its digest. Another
    project would learn from the time of its run that this one has the same clips."""
    clips = [part for sample in samples for part in (sample.path.name, sample.label)]
    return folder / f"features-{digest(project, base, profile.vision_digest(), *clips)[:32]}.pt"


def open_features(path: Path, device: torch.device) -> TrunkFeed | None:
    """Those that are kept, if there are any."""
    try:
        kept = torch.load(path, map_location=device, weights_only=True)
        return TrunkFeed(kept["x"], kept["labels"], kept["places"])
    except (OSError, ValueError, KeyError, RuntimeError, EOFError):  # none, or damaged
        return None


def keep_features(path: Path, feed: TrunkFeed) -> None:
    """Write a file that appears whole or not at all, and delete those that are older than a day."""
    if feed.nbytes > MOST_BYTES:
        return
    part = path.with_suffix(f".{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(feed.to_dict(), part)
        part.replace(path)
        for old in path.parent.glob("features-*"):
            if time.time() - old.stat().st_mtime > KEPT_SECONDS:
                old.unlink(missing_ok=True)
    except OSError:  # a full disk: they are extracted again
        part.unlink(missing_ok=True)
