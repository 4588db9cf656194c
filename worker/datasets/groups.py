"""Clips that belong together, because they were cut from one video or recording.

A model that was trained on one of them knows the scene of the others, so its accuracy on them says too much. The
manifest's column `group` names what belongs together. Without it, file names often show it.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

from core.datasets import Finding
from worker.datasets.findings import Clip
from worker.datasets.manifests.manifest import make_finding

# How the names of clips cut from one video end: the number of the clip (UCF-101's `_g01_c02`, `scene_clip3`), quality
# and number (HMDB-51's `_med_0`), or the seconds of a YouTube video (Kinetics' `_000010_000020`).
_CLIP_OF_SOURCE = re.compile(
    r"(?P<source>.*[^\W_].*?)[_\-. ](?:"
    r"(?:c|clip|part|seg|segment|scene|shot|chunk|cut)[_\- ]?\d{1,5}"
    r"|(?:goo|med|bad)_\d{1,3}"
    r"|\d{3,6}_\d{3,6}"
    r")",
    re.IGNORECASE,
)


def related_clips(clips: Sequence[Clip]) -> list[Finding]:
    """Findings about clips in val or test with a relative in train. `clips`: each with its split."""
    findings: list[Finding] = []
    if leaking := _in_both(clips, lambda clip: clip.group):
        message = (
            "These held-out clips have clips of the same group in train, so the accuracy on them says too much. "
            "Give all clips of a group one split."
        )
        findings.append(make_finding("warning", "group_leak", message, leaking))
    ungrouped = [clip for clip in clips if clip.group is None]
    if leaking := _in_both(ungrouped, lambda clip: source_of(clip.path)):
        message = (
            "By their names, these held-out clips were cut from the same videos as clips in train, so the accuracy on "
            "them may say too much. A manifest with the column group keeps the clips of a video in one split."
        )
        findings.append(make_finding("warning", "siblings", message, leaking))
    return findings


def source_of(path: str) -> str | None:
    """The name of the video that a clip was cut from, if its own name tells: `v_Jump_g01_c02.avi` → `v_jump_g01`."""
    stem = path.rpartition("/")[2].rpartition(".")[0]
    match = _CLIP_OF_SOURCE.fullmatch(stem)
    return match["source"].casefold() if match else None


def _in_both(clips: Iterable[Clip], key: Callable[[Clip], str | None]) -> list[str]:
    """Paths of the held-out clips whose key is also that of a clip in train."""
    trained: set[str] = set()
    held_out: dict[str, list[str]] = defaultdict(list)
    for clip in clips:
        name = key(clip)
        if name is None:
            continue
        if clip.split == "train":
            trained.add(name)
        else:
            held_out[name].append(clip.path)
    return [path for name, paths in held_out.items() if name in trained for path in paths]
