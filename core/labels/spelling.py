"""The normal form of labels, and what is wrong with them by their spelling alone: no weights are needed."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Sequence

from core.labels.check import LabelFinding
from core.questions import Label, folded

_NUMERIC = re.compile(r"(class|label|category|cat|id|c|n)?[\W_]*\d+[\W_]*", re.IGNORECASE)
_CAMEL = re.compile(r"[A-Za-z0-9]*[A-Za-z0-9][a-z0-9][A-Z][A-Za-z0-9]*")  # iPhone and eSports are words
_SNAKE = re.compile(r"[^\W_]+(_[^\W_]+)+")


def spelling_findings(labels: Sequence[Label], *, normalised: bool) -> Iterator[LabelFinding]:
    """normalised: whether the text encoder reads `ApplyEyeMakeup` and `brush_hair` as separate words. Labels with
    prompts of their own are read by these, not by their names."""
    yield from _duplicates(labels)
    names = [label.name for label in labels if label.prompts is None]
    if numeric := [name for name in names if _NUMERIC.fullmatch(name.strip())]:
        yield LabelFinding(
            severity="warning",
            code="numeric",
            message=f"{quoted(numeric)}: numbers mean nothing to a text encoder.",
            suggestion='Write what they stand for, give each one prompts, or train a model with classifier "lda", '
            "which needs no words.",
            labels=numeric,
        )
    joined = [name for name in names if _CAMEL.fullmatch(name.strip()) or _SNAKE.fullmatch(name.strip())]
    if joined and not normalised:
        yield LabelFinding(
            severity="warning",
            code="camel_case",
            message=f"{quoted(joined)}: a text encoder reads this as one unknown word.",
            suggestion="Write separate words, or ask with normalize_labels=true, which separates them.",
            labels=joined,
        )


def clean_label(text: str) -> str:
    """NFC, one space between words, no control characters: labels that look the same become the same."""
    text = text.encode("utf-8", "replace").decode()
    text = "".join(c for c in text if c.isspace() or unicodedata.category(c) != "Cc")
    return " ".join(unicodedata.normalize("NFC", text).split())


def quoted(names: Sequence[str], most: int = 5) -> str:
    """The first few names, shortened, and the number of the others."""
    shown = ", ".join(f"{name[:60]!r}" for name in names[:most])
    return shown + (f" and {len(names) - most} more" if len(names) > most else "")


def _duplicates(labels: Sequence[Label]) -> Iterator[LabelFinding]:
    groups: dict[tuple[str, tuple[str, ...]], list[str]] = defaultdict(list)
    for label in labels:
        groups[_spelling(label.name), label.prompts or ()].append(label.name)
    for (spelling, _), names in groups.items():
        if spelling and len(names) > 1:
            yield LabelFinding(
                severity="error",
                code="duplicate",
                message=f"{quoted(names)} are the same label in different spellings.",
                suggestion=f"Keep one of them, for example {names[0][:60]!r}.",
                labels=names,
            )


def _spelling(name: str) -> str:
    """Without case, spaces and punctuation: `BrushHair`, `brush_hair` and `Brush hair` are one."""
    return re.sub(r"[\W_]+", "", folded(name))
