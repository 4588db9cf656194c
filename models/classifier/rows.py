"""The classifier W while training: one row per class, filled in one of the ways of method §5, frozen or learned.

    text, text:<encoder>   a text tower's vectors of the class names; any labels can be asked afterwards
    lda                    discriminants of the frozen tower's features: for labels whose names say nothing
    orthogonal, random     rows without any meaning, the paper's lower bounds
    learned                a linear layer's weights: the vision-only baseline

Frozen rows are a buffer: no optimiser can reach them. Text may be the class name, one template, several (one drawn per
step) or learned context vectors before the name (paper Table A.4; CoOp, Zhou et al. 2022), which leave the text tower
frozen but run it in every step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from core.vocabulary import TextInputKind
from models.classifier.lda import discriminants
from models.profiles.prompts import check_templates, normalise_label
from models.text.context import ContextText
from models.text.encoders import TextSide

Features = tuple[Tensor, Tensor]
"""Temporal means of the frozen tower, float32 [n, d], and their classes, int64 [n]."""

CONTEXT_VECTORS = 4  # M, paper Table A.4
INIT_STD = 0.02  # of learned rows and context vectors: CoOp's, and CLIP's for its embeddings
TEXTS_PER_PASS = 128


@dataclass(frozen=True, slots=True)
class TextInputs:
    """What the text tower reads for a class. Raises: ValueError where templates do not fit the mode."""

    mode: TextInputKind = "template"
    templates: tuple[str, ...] = ("a video of a person {}.",)  # paper §B.2; unused by "name" and "context"
    normalise: bool = True  # `BrushHair` → `Brush Hair` (models/profiles/prompts.py)

    def __post_init__(self) -> None:
        check_templates(self.templates)
        if self.mode == "template" and len(self.templates) != 1:
            raise ValueError(f"text inputs 'template' take one template, not {len(self.templates)}")

    @property
    def served(self) -> tuple[str, ...]:
        """The templates with which any labels give rows like the trained ones: they go into the version's profile."""
        if self.mode == "name":
            return ("{}",)
        if self.mode == "context":
            return ("{}.",)  # CoOp: context, class name, full stop
        return self.templates

    def texts(self, labels: Sequence[str]) -> list[list[str]]:
        """By template, the text of each label."""
        names = [normalise_label(label) if self.normalise else label for label in labels]
        return [[template.replace("{}", name) for name in names] for template in self.served]


def text_inputs(
    mode: TextInputKind, *, asked: Sequence[str] | None, usual: Sequence[str], ensemble: Sequence[str], normalise: bool
) -> TextInputs:
    """The inputs of a run: the templates asked for, else the usual ones; of those, the first where one is needed.
    Raises: ValueError where those asked for do not fit the mode."""
    if asked and mode in ("name", "context"):
        raise ValueError(f"text inputs {mode!r} take no templates")
    if asked:
        return TextInputs(mode, tuple(asked), normalise)
    return TextInputs(mode, tuple(ensemble) if mode == "templates" else tuple(usual)[:1], normalise)


class Classifier(nn.Module):
    """Rows W [C, d] and what may be done with them. Three kinds follow."""

    frozen = True

    def __init__(self, kind: str, *, open_labels: bool, truncated: Sequence[bool] = ()) -> None:
        super().__init__()
        self.kind = kind
        self.open_labels = open_labels  # whether other labels can be asked afterwards
        self.truncated = tuple(truncated)  # per class, whether its text was longer than the tower reads

    def rows(self, step: int | None = None) -> Tensor:
        """Unit rows, float32 [C, d], of a training step; None: those that are served."""
        raise NotImplementedError

    def state(self) -> dict[str, Tensor]:
        """What a version keeps: at least `rows` as served, [C, d]."""
        return {"rows": self.rows().detach().float().cpu().contiguous()}

    def served_texts(self, texts: TextSide) -> TextSide:
        """The text side that a version is served with."""
        return texts


class FrozenRows(Classifier):
    """Rows that no step changes. Of several templates, each step sees one, drawn with the seed."""

    table: Tensor

    def __init__(
        self, kind: str, table: Tensor, *, open_labels: bool, truncated: Sequence[bool] = (), seed: int = 0
    ) -> None:
        """table: [K, C, d], a layer per template, of any length."""
        super().__init__(kind, open_labels=open_labels, truncated=truncated)
        self.seed = seed
        self.register_buffer("table", normalize(table.detach().float(), dim=-1))  # [K, C, d]

    def rows(self, step: int | None = None) -> Tensor:
        if step is None:
            return normalize(
                self.table.mean(dim=0), dim=-1
            )  # [K, C, d] → [C, d], as models/classifier/ensemble.py does
        # a function of seed and step alone: the same on every rank, and after a resume
        return self.table[int(np.random.default_rng((self.seed, step)).integers(len(self.table)))]  # [C, d]


class LearnedRows(Classifier):
    """A linear layer without bias whose rows are normalised, as all of W is."""

    frozen = False

    def __init__(self, classes: int, dim: int, generator: torch.Generator) -> None:
        super().__init__("learned", open_labels=False)
        self.weight = nn.Parameter(INIT_STD * torch.randn(classes, dim, generator=generator))  # [C, d]

    def rows(self, step: int | None = None) -> Tensor:  # noqa: ARG002 -- the same in every step
        return normalize(self.weight.float(), dim=-1)


class ContextRows(Classifier):
    """CoOp: M learned vectors, shared by all classes, take the place of the template's words."""

    frozen = False

    def __init__(self, kind: str, texts: TextSide, prompts: list[str], generator: torch.Generator) -> None:
        """Raises: ValueError where the text side takes no vectors for words. Its weights stop requiring gradients."""
        if texts.context_width is None:
            raise ValueError("this text encoder takes no learned context: choose other text inputs")
        _, truncated = texts.encode([f"{'a ' * CONTEXT_VECTORS}{prompt}" for prompt in prompts])
        super().__init__(kind, open_labels=True, truncated=truncated)
        texts.module.requires_grad_(False)
        # one bound method, not the text side: were that a module, it would become a part of this one
        self._encode, self._prompts = texts.encode_with_context, prompts
        start = INIT_STD * torch.randn(CONTEXT_VECTORS, texts.context_width, generator=generator)
        self.context = nn.Parameter(start)  # [M, w]

    def rows(self, step: int | None = None) -> Tensor:  # noqa: ARG002 -- the same in every step
        return normalize(self._encode(self._prompts, self.context).float(), dim=-1)  # [C, d]

    def state(self) -> dict[str, Tensor]:
        with torch.no_grad():
            return super().state() | {"context": self.context.detach().float().cpu().contiguous()}

    def served_texts(self, texts: TextSide) -> TextSide:
        return ContextText(texts, self.context.detach())


def build(
    kind: str,
    *,
    labels: Sequence[str],
    texts: TextSide,
    inputs: TextInputs,
    dim: int,
    seed: int,
    features: Features | None = None,
) -> Classifier:
    """labels: the classes, in the order of the rows; texts: the tower that a text kind reads with (for `text:<encoder>`
    that encoder; for text inputs "context", on the device where the classifier will be); features: for `lda`. Rows are
    made on the CPU. Raises: ValueError with a sentence on what does not fit."""
    generator = torch.Generator().manual_seed(seed)
    classes = len(labels)
    if kind == "text" or kind.startswith("text:"):
        return _of_text(kind, labels, texts, inputs, dim, generator)
    if kind == "learned":
        return LearnedRows(classes, dim, generator)
    if kind == "lda":
        if features is None:
            raise ValueError("the classifier 'lda' is made of the training videos' features")
        table = discriminants(*features, classes)  # [C, d]
    elif kind == "orthogonal":
        table = orthogonal(classes, dim, generator)  # [C, d]
    elif kind == "random":
        table = torch.randn(classes, dim, generator=generator)  # [C, d], N(0, 1)
    else:
        raise ValueError(f"{kind!r} is no classifier: text, text:<encoder>, lda, orthogonal, random or learned")
    return FrozenRows(kind, table.unsqueeze(0), open_labels=False)  # [1, C, d]


def orthogonal(classes: int, dim: int, generator: torch.Generator) -> Tensor:
    """The first C rows of Q of a Gaussian d × d matrix (method §5). Raises: ValueError for C > d."""
    if classes > dim:
        raise ValueError(f"only {dim} rows can be orthogonal in {dim} dimensions, and there are {classes} classes")
    gaussian = torch.randn(dim, dim, generator=generator, dtype=torch.float64)
    rows: Tensor = torch.linalg.qr(gaussian, mode="complete").Q[:classes].float()  # [d, d] → [C, d]
    return rows


def logits(video: Tensor, rows: Tensor, log_scale: Tensor) -> Tensor:
    """video: [B, d], un-normalised; rows: unit, [C, d]; log_scale: s → exp(s) · cos, float32 [B, C] (method §7)."""
    return log_scale.float().exp() * (normalize(video.float(), dim=-1) @ rows.T)  # [B, d] · [d, C]


def _of_text(
    kind: str, labels: Sequence[str], texts: TextSide, inputs: TextInputs, dim: int, generator: torch.Generator
) -> Classifier:
    if texts.dim != dim:
        raise ValueError(f"the text side gives vectors of width {texts.dim}, the videos' have {dim}")
    if empty := [index for index, label in enumerate(labels) if not label.strip()]:
        raise ValueError(f"label {empty[0]} is empty")
    by_template = inputs.texts(labels)
    if inputs.mode == "context":
        return ContextRows(kind, texts, by_template[0], generator)
    flat = [text for of_template in by_template for text in of_template]
    passes = [texts.encode(flat[start : start + TEXTS_PER_PASS]) for start in range(0, len(flat), TEXTS_PER_PASS)]
    table = torch.cat([vectors.detach().float().cpu() for vectors, _ in passes])  # [K · C, d]
    cut = [flag for _, flags in passes for flag in flags]  # [K · C]
    return FrozenRows(
        kind,
        table.view(len(by_template), len(labels), dim),  # [K, C, d]
        open_labels=True,
        truncated=[any(cut[index :: len(labels)]) for index in range(len(labels))],
        seed=generator.initial_seed(),
    )
