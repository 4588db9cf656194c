"""What can be said about labels as words: how they are spelt alike, what a text tower makes of them."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Sequence

from rapidfuzz import fuzz, process

from core.datasets import Finding
from models.profiles.prompts import normalise_label

MAX_WORDS, MAX_CHARS = 60, 300
"""About what CLIP's 77 tokens hold beside a template. Only an estimate: each model has its own tokenizer, and the
training job says which labels its own cuts off."""

ALIKE = 90.0  # of rapidfuzz's ratio, 0 … 100
MAX_COMPARED = 2000  # classes: every pair is compared
SHOWN = 8  # examples in one sentence

_NUMBER = re.compile(r"(class|label|category|cat|id|c|n)?[\W_]*\d+[\W_]*", re.IGNORECASE)
_DIGITS = re.compile(r"\d+")


def clean_label(text: str) -> str:
    """NFC, one blank between words, no control characters: labels that look the same are the same."""
    text = text.encode("utf-8", "replace").decode()
    text = "".join(c for c in text if c.isspace() or unicodedata.category(c) != "Cc")
    return " ".join(unicodedata.normalize("NFC", text).split())


def label_findings(labels: Sequence[str]) -> Iterator[Finding]:
    """labels: the classes, sorted."""
    yield from _numeric(labels)
    yield from _long(labels)
    yield from _synonyms(labels)


def examples(words: Sequence[str]) -> str:
    """The first few, quoted, and how many more there are."""
    shown = ", ".join(f'"{word[:80]}"' for word in words[:SHOWN])
    return shown + (f" and {len(words) - SHOWN} more" if len(words) > SHOWN else "")


def _numeric(labels: Sequence[str]) -> Iterator[Finding]:
    numbers = [label for label in labels if _NUMBER.fullmatch(label)]
    if numbers:
        yield Finding(
            severity="warning",
            code="numeric_labels",
            message=f"{examples(numbers)}: numbers tell a text tower nothing. Name the classes in words, or train with "
            'classifier "lda".',
            count=len(numbers),
        )


def _long(labels: Sequence[str]) -> Iterator[Finding]:
    long = [label for label in labels if len(label.split()) > MAX_WORDS or len(label) > MAX_CHARS]
    if long:
        yield Finding(
            severity="warning",
            code="long_label",
            message=f"{examples(long)}: longer than a text tower reads (about {MAX_WORDS} words); only the beginning "
            "will count. Shorten them.",
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
            message=f"{_pairs(same)}: spelt differently, but the same to a text tower, so no training can tell them "
            "apart. Merge them, or reword one.",
            count=len(same),
        )
    alike = list(_alike({spelling: group[0] for spelling, group in groups.items() if spelling}))
    if alike:
        yield Finding(
            severity="info",
            code="near_synonyms",
            message=f"{_pairs(alike)}: nearly the same words. If they mean the same, merge them.",
            count=len(alike),
        )


def _alike(spellings: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Pairs of labels. Those that differ in a number ("lane 1", "lane 2") mean different things."""
    words = list(spellings)
    if len(words) > MAX_COMPARED:
        return
    for i, word in enumerate(words):
        found = process.extract(word, words[i + 1 :], scorer=fuzz.ratio, score_cutoff=ALIKE, limit=None)
        for other, _, _ in found:
            if _DIGITS.findall(word) == _DIGITS.findall(other):
                yield spellings[word], spellings[other]


def _pairs(groups: Sequence[Sequence[str]]) -> str:
    shown = "; ".join(" and ".join(f'"{label[:80]}"' for label in group[:3]) for group in groups[:SHOWN])
    return shown + (f"; and {len(groups) - SHOWN} more" if len(groups) > SHOWN else "")


def _spelling(label: str) -> str:
    """What is left of a label without case, blanks between words of one name, and punctuation."""
    return " ".join(re.sub(r"[\W_]+", " ", normalise_label(label).casefold()).split())
