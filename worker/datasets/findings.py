"""Problems of a dataset, found before any training: clips that cannot be used, and classes that cannot be learnt.

The same content may appear once, under one label and in one split. Clips that break this rule are left out here, so
that no later step needs to check it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from core.datasets import ClassCount, Finding, Split, count_classes
from worker.datasets.inspection import InspectionResult
from worker.datasets.labels import examples, label_findings
from worker.datasets.manifests.manifest import ListedClip, make_finding

MIN_TRAIN_CLIPS = 2
IMBALANCE_RATIO = 10  # clips of the largest class per clip of the smallest


@dataclass(frozen=True, slots=True)
class Clip:
    """A clip that can be used. split: None until one is assigned."""

    path: str
    file: Path
    size: int
    sha256: str
    label: str
    split: Split | None
    seconds: float
    group: str | None = None  # clips of one group belong into one split
    splits: Mapping[str, Split] = field(default_factory=dict)  # by the split columns of the manifest


def select_decodable(
    clips: Sequence[ListedClip], results: Mapping[str, InspectionResult]
) -> tuple[list[Clip], list[Finding]]:
    """The clips that can be decoded, and findings about the others, by reason. `results`: by sha256."""
    kept: list[Clip] = []
    broken: dict[str, list[str]] = defaultdict(list)
    sentences: dict[str, str] = {}
    for clip in clips:
        file, result = clip.file, results[clip.file.sha256]
        if result.problem is None:
            kept.append(
                Clip(
                    path=file.path,
                    file=file.location,
                    size=file.size,
                    sha256=file.sha256,
                    label=clip.label,
                    split=clip.split,
                    seconds=result.seconds,
                    group=clip.group,
                    splits=clip.splits,
                )
            )
        else:
            reason, sentence = result.problem
            broken[reason].append(file.path)
            sentences.setdefault(reason, sentence)
    findings = [
        make_finding("warning", "undecodable", f"{sentences[reason]} These files are left out ({reason}).", paths)
        for reason, paths in sorted(broken.items())
    ]
    return kept, findings


def remove_duplicates(clips: Sequence[Clip]) -> tuple[list[Clip], list[Finding]]:
    """Keep one clip of each content. The result does not depend on the order of the clips; it is sorted by path."""
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
        # a test clip must not be used for training or model selection: test takes precedence over val, val over train
        split = min((clip.split for clip in same), key=_PRECEDENCE.index)
        first, *others = (clip for clip in same if clip.split == split)
        kept.append(replace(first, splits=_merged(same)))
        repeated += [clip.path for clip in others]
        leaking += [clip.path for clip in same if clip.split != split]
    return sorted(kept, key=lambda clip: (clip.path, clip.sha256)), [
        *_duplicate_findings(conflicting, leaking, repeated)
    ]


_PRECEDENCE: tuple[Split | None, ...] = ("test", "val", "train", None)


def _merged(same: Sequence[Clip]) -> dict[str, Split]:
    """The splits of copies of one clip by column, with the same precedence."""
    columns = sorted({column for clip in same for column in clip.splits})
    given = {column: {clip.splits.get(column) for clip in same} for column in columns}
    found = {column: min(splits, key=_PRECEDENCE.index) for column, splits in given.items()}
    return {column: split for column, split in found.items() if split is not None}


def _duplicate_findings(conflicting: list[str], leaking: list[str], repeated: list[str]) -> Iterable[Finding]:
    if conflicting:
        message = (
            "Each of these files has the same content as a file with a different label. All of them are left out. "
            "Keep each clip under one label."
        )
        yield make_finding("warning", "conflicting_labels", message, conflicting)
    if leaking:
        message = (
            "The content of these files is also in a held-out split. They are left out, so that no model is tested on "
            "clips that it was trained on."
        )
        yield make_finding("warning", "leak", message, leaking)
    if repeated:
        message = (
            "Each of these files has the same content as another file with the same label. The content counts once."
        )
        yield make_finding("warning", "duplicate", message, repeated)


def count_clips(clips: Iterable[Clip]) -> tuple[ClassCount, ...]:
    """Clips per class and split, sorted by class name."""
    return count_classes((clip.label, clip.split) for clip in clips if clip.split is not None)


def class_findings(classes: Sequence[ClassCount], listed: Iterable[str]) -> list[Finding]:
    """`listed`: every label that the user named, including labels of clips that were left out."""
    findings = [*label_findings([counted.name for counted in classes])]
    lost = sorted(set(listed) - {counted.name for counted in classes})
    thin = [counted.name for counted in classes if 0 < counted.train < MIN_TRAIN_CLIPS]
    unseen = [counted.name for counted in classes if not counted.train]
    untested = [counted.name for counted in classes if not counted.val + counted.test]
    if lost:
        message = f"{examples(lost)}: no clip of it can be used, so the dataset has no such class."
        findings.append(make_finding("warning", "thin_class", message, (), len(lost)))
    if thin:
        message = f"{examples(thin)}: fewer than {MIN_TRAIN_CLIPS} training clips. Add some."
        findings.append(make_finding("warning", "thin_class", message, (), len(thin)))
    if untested:
        message = f"{examples(untested)}: no clip in val or test, so the accuracy on this class cannot be measured."
        findings.append(make_finding("info", "thin_class", message, (), len(untested)))
    if unseen:
        message = f"{examples(unseen)}: clips in val or test only. It is measured as a label that was not trained."
        findings.append(make_finding("info", "unseen_class", message, (), len(unseen)))
    return [*findings, *_imbalance([counted for counted in classes if counted.train])]


def find_untrainable(classes: Sequence[ClassCount]) -> Finding | None:
    """Why nothing can be trained on this dataset; None if it can be trained on."""
    trained = [counted.name for counted in classes if counted.train]
    if len(trained) >= 2:
        return None
    if not classes:
        message = "No labelled clip is left. Put each clip into a folder named after its label, or add a manifest."
    elif not trained:
        message = "No clip is in the split train. Name a split train, or give no split at all: then one is made."
    else:
        message = f"Only one class has training clips: {examples(trained)}. At least two classes are needed."
    return make_finding("error", "thin_class", message, (), max(len(trained), 1))


def _imbalance(classes: Sequence[ClassCount]) -> Iterable[Finding]:
    if not classes:
        return
    most = max(classes, key=lambda counted: counted.train)
    least = min(classes, key=lambda counted: counted.train)
    if most.train >= IMBALANCE_RATIO * least.train:
        yield make_finding(
            "warning",
            "imbalance",
            f'"{most.name}" has {most.train} training clips, "{least.name}" has {least.train}: the model will favour '
            "the larger class. Balance them, or train with a fixed number of shots.",
            (),
            sum(counted.train * IMBALANCE_RATIO <= most.train for counted in classes),
        )
