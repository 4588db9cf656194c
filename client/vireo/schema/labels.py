"""Label sets, and what is wrong with labels.

Rendered from the server's OpenAPI description by docs/render.py.
"""

from __future__ import annotations

from dataclasses import dataclass

from vireo.schema.result import Result


@dataclass(frozen=True, kw_only=True, slots=True)
class Label(Result):
    """One thing to look for: a name, which answers show, and optionally prompts that describe it."""

    name: str
    prompts: list[str] | None
    """Whole sentences that describe the label. They replace the templates for this label."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelSet(Result):
    """One immutable version of a named label set."""

    name: str
    version: int
    labels: list[Label]
    templates: list[str] | None
    description: str | None
    created_at: float


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelFinding(Result):
    severity: str
    code: str
    message: str
    """a sentence that says what is wrong"""
    suggestion: str
    """what to do about it"""
    labels: list[str]
    """the labels that it is about"""
    similarity: float | None
    """cosine of the two rows, of `near_synonyms`"""


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelMap(Result):
    """A picture of the cosines between the labels' rows: red is similar, white is unrelated, blue is opposite. Rows
    and columns are numbered in the order of the labels.
    """

    url: str
    """path of the PNG; it stays as long as the job"""
    width: int
    """pixels"""
    height: int
    """pixels"""


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelCheck(Result):
    """The answer of the label doctor."""

    id: str
    """job id"""
    model: str
    """the model whose text encoder has read the labels"""
    checked: int
    """number of labels"""
    findings: list[LabelFinding]
    """the most serious first; empty if nothing was found"""
    left_out: int
    """number of further findings that are not shown"""
    near: float
    """rows with a higher cosine are called near-synonyms: no two of 48 different everyday actions are as similar to
    this model, read with these templates
    """
    mean_similarity: float | None
    """mean cosine between two labels; null for one label"""
    map: LabelMap
    """a picture of the similarities, and its path"""
