"""From a label to the texts that the text tower reads: label normalisation and template expansion. No torch here.

label → (optional) normalise_label → the label's own prompts if the caller gave any, else the templates → one or more
texts.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

# Part of every classifier-row key: raise it whenever normalise_label gives another text for some label.
NORMALISER_VERSION = 1

_WORD_BOUNDARY = re.compile(
    r"(?<=[A-Za-z0-9][a-z0-9])(?=[A-Z])"  # ApplyEye → Apply Eye, but iPhone and eSports stay
    r"|(?<=[A-Z])(?=[A-Z][a-z])"  # TVNews → TV News: the last capital of a run begins the next word
)


def normalise_label(label: str) -> str:
    """Dataset spelling → words: `ApplyEyeMakeup` → `Apply Eye Makeup`, `brush_hair` → `brush hair`.

    Acronyms stay whole (`TVNews` → `TV News`, `NBA` → `NBA`). A label that already contains spaces is taken as prose:
    its capitals stay, and only underscores and spaces are tidied ("an iPhone" stays). No reference code normalises
    labels, so UCF-101's CamelCase names reach CLIP as one unknown word there (method §4).
    """
    words = label.replace("_", " ").strip()
    if " " not in label.strip():
        words = _WORD_BOUNDARY.sub(" ", words)
    return " ".join(words.split())


def check_templates(templates: Sequence[str]) -> tuple[str, ...]:
    """The same templates as a tuple. Raises: ValueError, naming the index, if one does not hold "{}" exactly once."""
    if not templates:
        raise ValueError("give at least one template, such as 'a video of {}.'")
    for index, template in enumerate(templates):
        if template.count("{}") != 1:
            raise ValueError(f'template {index} must hold "{{}}" exactly once, where the label goes: {template!r}')
    return tuple(templates)


def expand(label: str, prompts: Sequence[str] | None, templates: Sequence[str]) -> list[str]:
    """The texts of one label. A label's own prompts are complete sentences and replace the templates.

    Raises: ValueError.
    """
    if not label.strip():
        raise ValueError("a label must not be empty")
    if prompts is not None:
        if not prompts or any(not prompt.strip() for prompt in prompts):
            raise ValueError(f"the prompts of label {label!r} must be one or more non-empty texts")
        return list(prompts)
    # str.replace, because str.format would evaluate a label such as "{0.__class__}"
    return [template.replace("{}", label) for template in check_templates(templates)]
