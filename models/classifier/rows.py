"""The classifier W in training: one row per class, filled in one of the ways of method §5, frozen or learned.

    text, text:<encoder>   a text encoder's vectors of the class names; any labels can be used afterwards
    lda                    discriminants of the frozen tower's features, for labels whose names have no meaning
    orthogonal, random     rows without meaning, the paper's lower bounds
    learned                a linear layer's weights, the vision-only baseline

A method may train the text tower itself: then W is computed anew in every step (`TowerRows`). Frozen rows are a
buffer, so no optimiser can change them. The text may be the class name, one template, several (one is
drawn per step), or learned context vectors before the name (paper Table A.4; CoOp, Zhou et al. 2022). Learned context
leaves the text tower frozen, but runs it in every step.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from models.classifier.ensemble import TEXTS_PER_PASS, encode_by_label, merge
from models.classifier.inputs import TextInputs
from models.classifier.lda import discriminants
from models.text.context_encoder import ContextTextEncoder
from models.text.encoder import TextEncoder, TrainableTextEncoder
from models.text.pretrained import PREFIX
from models.weights.roles import RoleParameters

Features = tuple[Tensor, Tensor]
"""Temporal means of the frozen tower, float32 [n, d], and their classes, int64 [n]."""

CONTEXT_VECTORS = 4  # M, paper Table A.4
INIT_STD = 0.02  # of learned rows and context vectors: CoOp's, and CLIP's for its embeddings


class Classifier(nn.Module):
    """Rows W [C, d] and what a run needs of them. `FrozenRows`, `LearnedRows` and `ContextRows` are the three kinds."""

    frozen = True
    encodes_texts = False  # whether every step runs the text encoder of the run, instead of one of its own

    def __init__(self, kind: str, *, open_labels: bool, truncated: Sequence[bool] = ()) -> None:
        super().__init__()
        self.kind = kind
        self.open_labels = open_labels  # whether other labels can be used afterwards
        self.truncated = tuple(truncated)  # for each class, whether its text was truncated

    def rows(self, step: int | None = None) -> Tensor:
        """Unit rows, float32 [C, d], of a training step; None: those that are served."""
        raise NotImplementedError

    def parameters_by_role(self) -> RoleParameters:
        """What is learned of W."""
        yield from ()

    def state(self) -> dict[str, Tensor]:
        """What a version stores: at least `rows` as served, [C, d]."""
        return {"rows": self.rows().detach().float().cpu().contiguous()}

    def served_encoder(self, encoder: TextEncoder) -> TextEncoder:
        """The text encoder that a version is served with. encoder: the one of the run."""
        return encoder


class FrozenRows(Classifier):
    """Rows that no step changes. If there are several templates, each step uses one, drawn with the seed."""

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
            return merge(self.table)  # [K, C, d] → [C, d]
        return self.table[_drawn_template(self.seed, step, len(self.table))]  # [C, d]


class LearnedRows(Classifier):
    """A linear layer without bias. Its rows are normalised, like all rows of W."""

    frozen = False

    def __init__(self, classes: int, dim: int, generator: torch.Generator) -> None:
        super().__init__("learned", open_labels=False)
        self.weight = nn.Parameter(INIT_STD * torch.randn(classes, dim, generator=generator))  # [C, d]

    def rows(self, step: int | None = None) -> Tensor:  # noqa: ARG002 -- the same in every step
        return normalize(self.weight.float(), dim=-1)

    def parameters_by_role(self) -> RoleParameters:
        yield "head", "weight", self.weight


class ContextRows(Classifier):
    """CoOp: M learned vectors, shared by all classes, replace the words of the template."""

    frozen = False
    encodes_texts = True

    def __init__(
        self,
        kind: str,
        encoder: TextEncoder,
        prompts: list[str],
        generator: torch.Generator,
        shape: tuple[int, ...] = (CONTEXT_VECTORS,),
        first: Tensor | None = None,
    ) -> None:
        """The encoder's weights stop requiring gradients. shape: [M], or [D, M] for vectors before each of D blocks;
        first: [k, M, w], what those before the first k blocks start from instead of noise. Raises: ValueError if it
        cannot learn a context."""
        if encoder.context_width is None:
            raise ValueError("this text encoder takes no learned context: choose other text inputs")
        _, truncated = encoder.encode([f"{'a ' * shape[-1]}{prompt}" for prompt in prompts])
        super().__init__(kind, open_labels=True, truncated=truncated)
        encoder.module.requires_grad_(False)
        # one bound method instead of the encoder: if that were a module, it would become a submodule of this one
        self._encode, self._prompts = encoder.encode_with_context, prompts
        start = INIT_STD * torch.randn(*shape, encoder.context_width, generator=generator)
        if first is not None:
            start.view(-1, *start.shape[-2:])[: len(first)] = first.cpu()  # [k, M, w]
        self.context = nn.Parameter(start)  # [M, w] or [D, M, w]

    def rows(self, step: int | None = None) -> Tensor:  # noqa: ARG002 -- the same in every step
        return normalize(self._encode(self._prompts, self.context).float(), dim=-1)  # [C, d]

    def parameters_by_role(self) -> RoleParameters:
        yield "prompts", "context", self.context

    def state(self) -> dict[str, Tensor]:
        with torch.no_grad():
            return super().state() | {"context": self.context.detach().float().cpu().contiguous()}

    def served_encoder(self, encoder: TextEncoder) -> TextEncoder:
        return ContextTextEncoder(encoder, self.context.detach())


class TowerRows(Classifier):
    """Rows of a copy of the base's text tower. If there are several templates, each step uses one, drawn with the seed.
    Learned context vectors may stand before the class names."""

    frozen = False

    def __init__(
        self,
        kind: str,
        encoder: TrainableTextEncoder,
        texts: Sequence[Sequence[str]],
        *,
        seed: int,
        context: Tensor | None = None,
    ) -> None:
        """encoder: of the base; it stays as it is. texts: for each class its text by each of K templates; context:
        [M, w], what the context vectors start as."""
        trained = encoder.for_training()
        by_template = [list(of_template) for of_template in zip(*texts, strict=True)]  # K × C
        room = "" if context is None else "a " * len(context)
        cut = [encoder.encode([room + text for text in of_template])[1] for of_template in by_template]
        super().__init__(kind, open_labels=True, truncated=[any(flags) for flags in zip(*cut, strict=True)])
        self.seed, self._texts, self._encoder = seed, by_template, trained
        self.tower: nn.Module = trained.module
        self.context = None if context is None else nn.Parameter(context)  # [M, w]

    def rows(self, step: int | None = None) -> Tensor:
        if step is not None:
            return self._encoded(self._texts[_drawn_template(self.seed, step, len(self._texts))])  # [C, d]
        with torch.no_grad():
            return merge(torch.stack([self._encoded(texts) for texts in self._texts]))  # [K, C, d] → [C, d]

    def parameters_by_role(self) -> RoleParameters:
        for name, parameter in self.tower.named_parameters():
            yield "text_tower", f"tower.{name}", parameter
        if self.context is not None:
            yield "prompts", "context", self.context

    def state(self) -> dict[str, Tensor]:
        context = {} if self.context is None else {"context": self.context.detach().float().cpu().contiguous()}
        return super().state() | context

    def served_encoder(self, encoder: TextEncoder) -> TextEncoder:  # noqa: ARG002 -- the trained copy replaces it
        trained = self._encoder.as_trained()
        return trained if self.context is None else ContextTextEncoder(trained, self.context.detach())

    def _encoded(self, texts: list[str]) -> Tensor:
        """→ unit rows float32 [n, d]."""
        passes = (texts[at : at + TEXTS_PER_PASS] for at in range(0, len(texts), TEXTS_PER_PASS))
        return normalize(torch.cat([self._encode(part).float() for part in passes]), dim=-1)

    def _encode(self, texts: list[str]) -> Tensor:
        if self.context is None:
            return self._encoder.encode_trained(texts)
        return self._encoder.encode_with_context(texts, self.context)


def build_classifier(
    kind: str,
    *,
    labels: Sequence[str],
    encoder: TextEncoder,
    inputs: TextInputs,
    dim: int,
    seed: int,
    features: Features | None = None,
    train_text: bool = False,
    prompts: tuple[int, int] | None = None,
    first: Tensor | None = None,
) -> Classifier:
    """A classifier, made on the CPU.

    labels: the classes, in the order of the rows; encoder: reads the texts of a text kind (for `text:<encoder>` it is
    that encoder; for text inputs "context" it must be on the classifier's device); features: for `lda`;
    train_text: whether a copy of the encoder is trained, for the kind `text`; prompts: [D, M], deep prompts to learn;
    first: [k, M, w], what the first of them start from.
    Raises: ValueError with a sentence on what does not fit.
    """
    generator = torch.Generator().manual_seed(seed)
    classes = len(labels)
    if kind == "text" or kind.startswith(PREFIX):
        return _text_classifier(kind, labels, encoder, inputs, dim, generator, train_text, prompts, first)
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
        raise ValueError(f"{kind!r} is not a classifier: use text, text:<encoder>, lda, orthogonal, random or learned")
    return FrozenRows(kind, table.unsqueeze(0), open_labels=False)  # [1, C, d]


def orthogonal(classes: int, dim: int, generator: torch.Generator) -> Tensor:
    """The first C rows of Q of a Gaussian d × d matrix (method §5). Raises: ValueError for C > d."""
    if classes > dim:
        raise ValueError(f"only {dim} rows can be orthogonal in {dim} dimensions, and there are {classes} classes")
    gaussian = torch.randn(dim, dim, generator=generator, dtype=torch.float64)
    rows: Tensor = torch.linalg.qr(gaussian, mode="complete").Q[:classes].float()  # [d, d] → [C, d]
    return rows


def logits(video: Tensor, rows: Tensor, log_scale: Tensor, *, unit: bool = True) -> Tensor:
    """video: [… , d], un-normalised; rows: unit, [C, d]; log_scale: s → exp(s) · cos, float32 [… , C] (method §7).
    unit: whether the vectors are normalised; means of unit vectors must not be.

    Under autocast too everything is float32: at exp(s) = 100 a product in bf16 is wrong by up to 0.2.
    """
    with torch.autocast(video.device.type, enabled=False):
        vectors = normalize(video.float(), dim=-1) if unit else video.float()
        return log_scale.float().exp() * (vectors @ rows.float().T)  # [… , d] · [d, C]


def _drawn_template(seed: int, step: int, count: int) -> int:
    """A function of seed and step only, so it is the same on every rank and after a resume."""
    return int(np.random.default_rng((seed, step)).integers(count))


def _text_classifier(
    kind: str,
    labels: Sequence[str],
    encoder: TextEncoder,
    inputs: TextInputs,
    dim: int,
    generator: torch.Generator,
    train_text: bool,
    prompts: tuple[int, int] | None,
    first: Tensor | None,
) -> Classifier:
    if encoder.dim != dim:
        raise ValueError(f"the text encoder gives vectors of width {encoder.dim}, but the videos' have width {dim}")
    texts = inputs.texts(labels)
    if train_text:
        return _trained_tower(kind, encoder, texts, inputs, generator)
    if inputs.mode == "context":
        shape = prompts or (CONTEXT_VECTORS,)
        return ContextRows(kind, encoder, [prompt for (prompt,) in texts], generator, shape, first)
    vectors, truncated = encode_by_label(encoder.encode, texts)  # for each label [K, d]
    table = torch.stack(vectors, dim=1)  # [K, C, d]
    return FrozenRows(kind, table, open_labels=True, truncated=truncated, seed=generator.initial_seed())


def _trained_tower(
    kind: str, encoder: TextEncoder, texts: list[list[str]], inputs: TextInputs, generator: torch.Generator
) -> TowerRows:
    if not isinstance(encoder, TrainableTextEncoder):
        raise ValueError(f"the text encoder {type(encoder).__name__} is no plain text tower, so it cannot be trained")  # noqa: TRY004 -- not a mistake of the caller
    context = None
    if inputs.mode == "context":
        if encoder.context_width is None:
            raise ValueError("this text encoder takes no learned context: choose other text inputs")
        context = INIT_STD * torch.randn(CONTEXT_VECTORS, encoder.context_width, generator=generator)
    return TowerRows(kind, encoder, texts, seed=generator.initial_seed(), context=context)
