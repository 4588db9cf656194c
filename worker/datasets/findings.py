"""What is wrong with a dataset, found before any training: clips that cannot count, and classes that cannot be learnt.

Identical content may count once, under one label, on one side of the split. What breaks that is left out here, so that
no later step needs to know.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from core.datasets import ClassCount, Finding, Split
from worker.datasets.inspection import Verdict
from worker.datasets.labels import examples, label_findings
from worker.datasets.manifests.manifest import Listed, finding

THIN = 2  # train clips
IMBALANCED = 10  # times


@dataclass(frozen=True, slots=True)
class Clip:
    """A clip that can be used. split: None until one is made."""

    path: str
    file: Path
    size: int
    sha256: str
    label: str
    split: Split | None
    seconds: float


def usable(clips: Sequence[Listed], verdicts: Mapping[str, Verdict]) -> tuple[list[Clip], list[Finding]]:
    """Those that can be decoded. The others are reported by what is wrong with them."""
    kept: list[Clip] = []
    broken: dict[str, list[str]] = defaultdict(list)
    sentences: dict[str, str] = {}
    for clip in clips:
        entry, verdict = clip.entry, verdicts[clip.entry.sha256]
        if verdict.problem is None:
            kept.append(Clip(entry.path, entry.file, entry.size, entry.sha256, clip.label, clip.split, verdict.seconds))
        else:
            reason, sentence = verdict.problem
            broken[reason].append(entry.path)
            sentences.setdefault(reason, sentence)
    findings = [
        finding("warning", "undecodable", f"{sentences[reason]} Left out ({reason}).", paths)
        for reason, paths in sorted(broken.items())
    ]
    return kept, findings


def settle_copies(clips: Sequence[Clip]) -> tuple[list[Clip], list[Finding]]:
    """Identical content counts once. The result does not depend on the order of the clips; it is sorted by path."""
    copies: dict[str, list[Clip]] = defaultdict(list)
    for clip in sorted(clips, key=lambda clip: (clip.path, clip.label, clip.split or "", clip.sha256)):
        copies[clip.sha256].append(clip)
    kept: list[Clip] = []
    conflicting: list[str] = []
    leaking: list[str] = []
    repeated: list[str] = []
    for same in copies.values():
        if len({clip.label for clip in same}) > 1:
            conflicting += [clip.path for clip in same]
            continue
        # a copy that is tested on must be in nothing that is learnt or chosen by: test goes before val before train
        side = min((clip.split for clip in same), key=_STRICTEST.index)
        first, *others = (clip for clip in same if clip.split == side)
        kept.append(first)
        repeated += [clip.path for clip in others]
        leaking += [clip.path for clip in same if clip.split != side]
    return sorted(kept, key=lambda clip: (clip.path, clip.sha256)), [*_copies(conflicting, leaking, repeated)]


_STRICTEST: tuple[Split | None, ...] = ("test", "val", "train", None)


def _copies(conflicting: list[str], leaking: list[str], repeated: list[str]) -> Iterable[Finding]:
    if conflicting:
        message = (
            "These files have the same content as another under a different label: all of them are left out. Keep "
            "each clip under one label."
        )
        yield finding("warning", "conflicting_labels", message, conflicting)
    if leaking:
        message = (
            "The content of these files is in a split that is tested on as well: they are left out, so that nothing "
            "is tested on that was learnt."
        )
        yield finding("warning", "leak", message, leaking)
    if repeated:
        message = "These files have the same content as another of their label: it counts once."
        yield finding("warning", "duplicate", message, repeated)


def count_classes(clips: Iterable[Clip]) -> tuple[ClassCount, ...]:
    """By name."""
    counts: dict[str, Counter[Split]] = defaultdict(Counter)
    for clip in clips:
        if clip.split is not None:
            counts[clip.label][clip.split] += 1
    return tuple(
        ClassCount(name=name, train=count["train"], val=count["val"], test=count["test"])
        for name, count in sorted(counts.items())
    )


def class_findings(classes: Sequence[ClassCount], listed: Iterable[str]) -> list[Finding]:
    """`listed`: every label that the user named, also of clips that were left out."""
    findings = [*label_findings([counted.name for counted in classes])]
    lost = sorted(set(listed) - {counted.name for counted in classes})
    thin = [counted.name for counted in classes if 0 < counted.train < THIN]
    unseen = [counted.name for counted in classes if not counted.train]
    untested = [counted.name for counted in classes if not counted.val + counted.test]
    if lost:
        message = f"{examples(lost)}: no clip of it can be used, so it is no class of this dataset."
        findings.append(finding("warning", "thin_class", message, (), len(lost)))
    if thin:
        message = f"{examples(thin)}: fewer than {THIN} clips to train on. Add some."
        findings.append(finding("warning", "thin_class", message, (), len(thin)))
    if untested:
        message = f"{examples(untested)}: no clip in val or test, so nothing will be measured of it."
        findings.append(finding("info", "thin_class", message, (), len(untested)))
    if unseen:
        message = f"{examples(unseen)}: in val or test only. Not trained on, but measured as labels that are new."
        findings.append(finding("info", "unseen_class", message, (), len(unseen)))
    return [*findings, *_imbalance([counted for counted in classes if counted.train])]


def untrainable(classes: Sequence[ClassCount]) -> Finding | None:
    """Why nothing can be trained on it, if so."""
    trained = [counted.name for counted in classes if counted.train]
    if len(trained) >= 2:
        return None
    if not classes:
        message = "No clip with a label is left. Put each clip into a folder named by its label, or send a manifest."
    elif not trained:
        message = "No clip is in train. Name that split train, or give none and have one made."
    else:
        message = f"Only one class has a clip to train on, {examples(trained)}. At least two are needed."
    return finding("error", "thin_class", message, (), max(len(trained), 1))


def _imbalance(classes: Sequence[ClassCount]) -> Iterable[Finding]:
    if not classes:
        return
    most = max(classes, key=lambda counted: counted.train)
    least = min(classes, key=lambda counted: counted.train)
    if most.train >= IMBALANCED * least.train:
        yield finding(
            "warning",
            "imbalance",
            f'"{most.name}" has {most.train} clips to train on, "{least.name}" has {least.train}: the large class '
            "will be favoured. Balance them, or train with a number of shots.",
            (),
            sum(counted.train * IMBALANCED <= most.train for counted in classes),
        )
