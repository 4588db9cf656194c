"""The text side of a recogniser: what turns texts into vectors of the joint space. It is never trained.

Its module stays in fp32 wherever it is: rows are computed once and kept, so a shorter format gains nothing, and W is
the same in training and in serving. Whoever wants it on another device moves `module`; `encode` follows.
"""

from __future__ import annotations

import threading
from typing import Any, Protocol

import open_clip
import tokenizers
import torch
from torch import Tensor, nn

from models.text import sentence
from models.text.tokenizers import Tokenizer, open_tokenizer
from models.weights.digests import digest
from models.weights.states import StateDict, weights_digest

ClipModel = Any
"""open_clip's CLIP or CustomTextCLIP: it has no types."""
SETTLED_CONTEXT = 77  # CLIP's, where a tokenizer does not say its own
NOT_TEXT = ("logit_scale", "logit_bias")  # open_clip keeps them beside the text tower; they change no text vector


class TextSide(Protocol):
    @property
    def dim(self) -> int:
        """d, width of the joint space."""

    @property
    def digest(self) -> str:
        """Of weights and tokenizer."""

    @property
    def context_width(self) -> int | None:
        """Width of a context vector (CoOp); None where contexts cannot be learned."""

    @property
    def module(self) -> nn.Module:
        """The weights, frozen."""

    def encode(self, texts: list[str]) -> tuple[Tensor, list[bool]]:
        """→ float32 [n, d] without gradient, un-normalised, on the module's device; and for each text whether its end
        was not read."""

    def encode_with_context(self, texts: list[str], context: Tensor) -> Tensor:
        """Texts behind the vectors `context` [M, context_width], which stand after the start mark (CoOp) → [n, d],
        differentiable in `context` alone. What no longer fits is cut. Raises: TypeError where `context_width` is
        None."""


class ClipTexts:
    """The text tower of an open_clip model; takes the model over, without its image tower."""

    def __init__(self, model: ClipModel, architecture: str, digest: str | None = None) -> None:
        """`digest`: if it is known already. Raises: WeightsUnavailable where there is no tokenizer."""
        model.visual = None
        self.module: nn.Module = model.eval().requires_grad_(False)
        self.dim = _text_dim(model)
        self._model = model
        self._tokenizer = open_tokenizer(architecture)
        self._context = int(getattr(self._tokenizer, "context_length", None) or SETTLED_CONTEXT)
        self._tokenizing = threading.Lock()  # Hugging Face's fast tokenizers are not re-entrant ("Already borrowed")
        self._causal = _is_causal(model)
        self.digest = digest or self._digest(architecture)
        self.context_width: int | None = model.token_embedding.embedding_dim if self._causal else None

    @torch.no_grad()
    def encode(self, texts: list[str]) -> tuple[Tensor, list[bool]]:
        with self._tokenizing:
            tokens = self._tokenizer(texts, context_length=self._context)  # [n, context]
            truncated = overlong(self._tokenizer, texts, self._context)
        tokens = tokens.to(next(self.module.parameters()).device)
        return (encode_trimmed if self._causal else encode_whole)(self._model, tokens), truncated

    def encode_with_context(self, texts: list[str], context: Tensor) -> Tensor:
        if self.context_width is None:
            raise TypeError("this model's text tower cannot learn a context")
        with self._tokenizing:
            tokens = self._tokenizer(texts, context_length=self._context - len(context))  # [n, context - M]
        tokens = tokens.to(context.device)
        words = self._model.token_embedding(tokens)  # [n, context - M, w]
        learned = context.to(words.dtype).expand(len(words), -1, -1)  # [n, M, w]
        x = torch.cat([words[:, :1], learned, words[:, 1:]], dim=1)  # [n, context, w]
        return _read_at(self._model, x, tokens.argmax(dim=-1) + len(context))

    def _digest(self, architecture: str) -> str:
        weights = weights_digest(text_state(self.module))
        return digest("clip-text", architecture, weights, type(self._tokenizer).__name__, self._context)


class SentenceTexts:
    """The sentence encoder of `lite`, centred as its alignment needs."""

    def __init__(
        self, encoder: sentence.SentenceEncoder, centre: Tensor, tokenizer: tokenizers.Tokenizer, digest: str
    ) -> None:
        self._weights = SentenceModule(encoder, centre, tokenizer)
        self.module: nn.Module = self._weights.eval().requires_grad_(False)
        self.dim = sentence.WIDTH
        self.context_width: int | None = sentence.WIDTH
        self.digest = digest

    @torch.no_grad()
    def encode(self, texts: list[str]) -> tuple[Tensor, list[bool]]:
        vectors, truncated = sentence.encode(self._weights.encoder, self._weights.tokenizer, texts)
        return vectors - self._weights.centre, truncated  # [n, d]

    def encode_with_context(self, texts: list[str], context: Tensor) -> Tensor:
        vectors, _ = sentence.encode(self._weights.encoder, self._weights.tokenizer, texts, context)
        return vectors - self._weights.centre  # [n, d]


class SentenceModule(nn.Module):
    """The weights, named as in the files of `lite`, and the tokenizer that they were trained with."""

    centre: Tensor

    def __init__(self, encoder: sentence.SentenceEncoder, centre: Tensor, tokenizer: tokenizers.Tokenizer) -> None:
        super().__init__()
        self.encoder = encoder
        self.tokenizer = tokenizer
        self.register_buffer("centre", centre)  # [d]


def text_state(module: nn.Module) -> StateDict:
    """The tensors that decide text vectors."""
    return {name: tensor for name, tensor in module.state_dict().items() if name not in NOT_TEXT}


def is_clip(module: nn.Module) -> bool:
    """Whether the weights of a text side are an open_clip model's."""
    return isinstance(module, open_clip.CLIP | open_clip.CustomTextCLIP)


def text_width(model: ClipModel) -> int:
    """Width of an open_clip model's text tower (not of what it returns)."""
    state = model.state_dict()
    norm = next((state[name] for name in ("ln_final.weight", "text.ln_final.weight") if name in state), None)
    return len(norm) if norm is not None else _text_dim(model)


def overlong(tokenizer: Tokenizer, texts: list[str], context: int) -> list[bool]:
    """Whose end the text tower does not read. open_clip's tokenizers cut in silence; given one more slot, the ids of a
    text that fits stay as they were, and those of a longer one change where its end mark stood."""
    tokens = tokenizer(texts, context_length=context)  # [n, context]
    wider = tokenizer(texts, context_length=context + 1)  # [n, context + 1]
    flags: list[bool] = (tokens != wider[:, :context]).any(dim=1).tolist()  # [n]
    return flags


def encode_whole(model: ClipModel, tokens: Tensor) -> Tensor:
    features: Tensor = model.encode_text(tokens)  # [n, context] → [n, d]
    return features


def encode_trimmed(model: ClipModel, tokens: Tensor) -> Tensor:
    """The same as `encode_text`, without the positions behind the longest text's end token: labels use about ten of
    77, and under a causal mask no earlier position sees a later one."""
    ends = tokens.argmax(dim=-1)  # [n], the end token has the highest id
    return _read_at(model, model.token_embedding(tokens[:, : int(ends.max()) + 1]), ends)


def _read_at(model: ClipModel, x: Tensor, ends: Tensor) -> Tensor:
    """Embedded tokens [n, ≥ length, w] and the end token's place in each [n] → [n, d]."""
    length = int(ends.max()) + 1
    x = x[:, :length] + model.positional_embedding[:length]  # [n, length, w]
    x = model.transformer(x, attn_mask=model.attn_mask[:length, :length])
    x = model.ln_final(x)[torch.arange(len(x), device=x.device), ends]  # [n, w]
    features: Tensor = x @ model.text_projection  # [n, d]
    return features


def _is_causal(model: ClipModel) -> bool:
    """CLIP's own text tower: causal, read at the end token. Only there do later positions change nothing."""
    return isinstance(model, open_clip.CLIP) and model.attn_mask is not None and model.text_pool_type == "argmax"


def _text_dim(model: ClipModel) -> int:
    if isinstance(model, open_clip.CLIP):
        return int(model.text_projection.shape[1])
    return int(model.text.output_dim)
