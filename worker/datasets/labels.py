"""Labels as text: labels that are spelt alike, and labels that a text tower cannot use."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence

from rapidfuzz import fuzz, process

from core.datasets import Finding
from models.profiles.prompts import normalise_label

MAX_WORDS, MAX_CHARS = 60, 300
"""About as much as CLIP's 77 tokens hold together with a template. This is an estimate, because each model has its own
tokenizer; the training job lists the labels that its tokenizer truncates."""

MIN_SIMILARITY = 90.0  # rapidfuzz's ratio, 0 … 100
MAX_COMPARED = 2000  # classes, because every pair is compared
SHOWN = 8  # examples in one sentence

_NUMBER = re.compile(r"(class|label|category|cat|id|c|n)?[\W_]*\d+[\W_]*", re.IGNORECASE)
_DIGITS = re.compile(r"\d+")


def label_findings(labels: Sequence[str]) -> Iterator[Finding]:
    """labels: the classes, sorted."""
    yield from _numeric(labels)
    yield from _long(labels)
    yield from _synonyms(labels)


def examples(words: Sequence[str]) -> str:
    """The first few words, quoted, and the number of the others."""
    shown = ", ".join(f'"{word[:80]}"' for word in words[:SHOWN])
    return shown + (f" and {len(words) - SHOWN} more" if len(words) > SHOWN else "")


def _numeric(labels: Sequence[str]) -> Iterator[Finding]:
    numbers = [label for label in labels if _NUMBER.fullmatch(label)]
    if numbers:
        yield Finding(
            severity="warning",
            code="numeric_labels",
            message=f"{examples(numbers)}: numbers mean nothing to a text tower. Name the classes in words, or train "
            'with classifier "lda".',
            count=len(numbers),
        )


def _long(labels: Sequence[str]) -> Iterator[Finding]:
    long = [label for label in labels if len(label.split()) > MAX_WORDS or len(label) > MAX_CHARS]
    if long:
        yield Finding(
            severity="warning",
            code="long_label",
            message=f"{examples(long)}: longer than a text tower reads (about {MAX_WORDS} words). Only the beginning "
            "counts. Shorten these labels.",
            count=len(long),
        )


def _synonyms(labels: Sequence[str]) -> Iterator[Finding]:
    groups: dict[str, list[str]] = defaultdict(list)
    for label in labels:
        groups[_spelling(label)].append(label)
    same = [tuple(group) for spelling, group in groups.items() if spelling and len(group) > 1]
    if same:
        yield Finding(
            severity="warning",
            code="near_synonyms",
            message=f"{_pairs(same)}: a text tower reads these spellings as the same label, so no training can tell "
            "them apart. Merge the classes, or reword one of them.",
            count=len(same),
        )
    alike = list(_alike({spelling: group[0] for spelling, group in groups.items() if spelling}))
    if alike:
        yield Finding(
            severity="info",
            code="near_synonyms",
            message=f"{_pairs(alike)}: nearly the same words. Merge the classes if they mean the same.",
            count=len(alike),
        )


def _alike(spellings: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Pairs of similar labels. Labels that differ in a number ("lane 1", "lane 2") mean different things."""
    words = list(spellings)
    if len(words) > MAX_COMPARED:
        return
    for i, word in enumerate(words):
        found = process.extract(word, words[i + 1 :], scorer=fuzz.ratio, score_cutoff=MIN_SIMILARITY, limit=None)
        for other, _, _ in found:
            if _DIGITS.findall(word) == _DIGITS.findall(other):
                yield spellings[word], spellings[other]


def _pairs(groups: Sequence[Sequence[str]]) -> str:
    shown = "; ".join(" and ".join(f'"{label[:80]}"' for label in group[:3]) for group in groups[:SHOWN])
    return shown + (f"; and {len(groups) - SHOWN} more" if len(groups) > SHOWN else "")


def _spelling(label: str) -> str:
    """The label without case, camel case and punctuation: labels with the same result are the same to a text tower."""
    return " ".join(re.sub(r"[\W_]+", " ", normalise_label(label).casefold()).split())
