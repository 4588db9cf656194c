"""The text towers of open_clip models as text encoders."""

from __future__ import annotations

import copy
import threading
from typing import Any

import open_clip
import torch
from torch import Tensor, nn

from models.text.tokenizers import Tokenizer, open_clip_tokenizer
from models.weights.digests import digest
from models.weights.states import StateDict, weights_digest

ClipModel = Any
"""open_clip's CLIP or CustomTextCLIP, which have no type annotations."""
DEFAULT_CONTEXT = 77  # CLIP's, for tokenizers that do not state their own
WORDS = "token_embedding.weight"
NOT_TEXT = ("logit_scale", "logit_bias")  # open_clip stores them beside the text tower; they change no text vector


class ClipTextEncoder:
    """The text tower of an open_clip model. It takes ownership of the model and drops its image tower."""

    def __init__(self, model: ClipModel, architecture: str, digest: str | None = None) -> None:
        """digest: computed if it is not given. Raises: WeightsUnavailable if the tokenizer is missing."""
        model.visual = None
        self.module: nn.Module = model.eval().requires_grad_(False)
        self.dim = _output_dim(model)
        self._model = model
        self._architecture = architecture
        self._tokenizer = open_clip_tokenizer(architecture)
        self._context = int(getattr(self._tokenizer, "context_length", None) or DEFAULT_CONTEXT)
        self._tokenizing = threading.Lock()  # Hugging Face's fast tokenizers are not re-entrant ("Already borrowed")
        self._causal = _is_causal(model)
        self.digest = digest or self._digest(architecture)
        self.context_width: int | None = text_half(model).token_embedding.embedding_dim if self._causal else None

    @torch.no_grad()
    def encode(self, texts: list[str]) -> tuple[Tensor, list[bool]]:
        with self._tokenizing:
            truncated = overlong(self._tokenizer, texts, self._context)
        return self.encode_trained(texts), truncated

    def encode_trained(self, texts: list[str]) -> Tensor:
        with self._tokenizing:
            tokens = self._tokenizer(texts, context_length=self._context)  # [n, context]
        tokens = tokens.to(next(self.module.parameters()).device)
        return (encode_trimmed if self._causal else encode_whole)(self._model, tokens)

    def for_training(self) -> ClipTextEncoder:
        made = ClipTextEncoder(copy.deepcopy(self._model), self._architecture, self.digest)
        for name, parameter in made.module.named_parameters():
            parameter.requires_grad_(name not in NOT_TEXT and not name.endswith(WORDS))
        return made

    def as_trained(self) -> ClipTextEncoder:
        return ClipTextEncoder(copy.deepcopy(self._model), self._architecture)

    def encode_with_context(self, texts: list[str], context: Tensor) -> Tensor:
        if self.context_width is None:
            raise TypeError("this model's text tower cannot learn a context")
        layers = context if context.ndim == 3 else context.unsqueeze(0)  # [D, M, w]
        context = layers[0]  # [M, w]
        with self._tokenizing:
            tokens = self._tokenizer(texts, context_length=self._context - len(context))  # [n, context - M]
        tokens = tokens.to(context.device)
        words = text_half(self._model).token_embedding(tokens)  # [n, context - M, w]
        learned = context.to(words.dtype).expand(len(words), -1, -1)  # [n, M, w]
        x = torch.cat([words[:, :1], learned, words[:, 1:]], dim=1)  # [n, context, w]
        return _read_at(self._model, x, tokens.argmax(dim=-1) + len(context), layers[1:])

    @property
    def positions(self) -> int:
        """Positions of the text tower, with those of the start and the end."""
        return self._context

    @torch.no_grad()
    def word_vectors(self, text: str) -> Tensor:
        """The embedded tokens of a text, without start and end: [n, w]."""
        with self._tokenizing:
            tokens = self._tokenizer([text], context_length=self._context)  # [1, context]
        end = int(tokens.argmax(dim=-1))
        tokens = tokens[0, 1:end].to(next(self.module.parameters()).device)
        vectors: Tensor = text_half(self._model).token_embedding(tokens)  # [n, w]
        return vectors

    @property
    def layers(self) -> int:
        """Blocks of the text tower."""
        return len(text_half(self._model).transformer.resblocks)

    def _digest(self, architecture: str) -> str:
        weights = weights_digest(text_state(self.module))
        return digest("clip-text", architecture, weights, type(self._tokenizer).__name__, self._context)


def text_state(module: nn.Module) -> StateDict:
    """The tensors that determine text vectors."""
    return {name: tensor for name, tensor in module.state_dict().items() if name not in NOT_TEXT}


def is_clip(module: nn.Module) -> bool:
    """Whether the weights of a text encoder are those of an open_clip model."""
    return isinstance(module, open_clip.CLIP | open_clip.CustomTextCLIP)


def text_width(model: ClipModel) -> int:
    """Width of an open_clip model's text tower, which may differ from the width of its output."""
    state = model.state_dict()
    norm = next((state[name] for name in ("ln_final.weight", "text.ln_final.weight") if name in state), None)
    return len(norm) if norm is not None else _output_dim(model)


def overlong(tokenizer: Tokenizer, texts: list[str], context: int) -> list[bool]:
    """For each text whether it is truncated. open_clip's tokenizers truncate silently. With one more position, the ids
    of a text that fits stay the same; those of a longer text change where its end token was."""
    tokens = tokenizer(texts, context_length=context)  # [n, context]
    wider = tokenizer(texts, context_length=context + 1)  # [n, context + 1]
    flags: list[bool] = (tokens != wider[:, :context]).any(dim=1).tolist()  # [n]
    return flags


def encode_whole(model: ClipModel, tokens: Tensor) -> Tensor:
    features: Tensor = model.encode_text(tokens)  # [n, context] → [n, d]
    return features


def encode_trimmed(model: ClipModel, tokens: Tensor) -> Tensor:
    """The same as `encode_text`, without the positions after the longest text's end token. Labels use about ten of 77
    positions, and under a causal mask no position sees a later one."""
    ends = tokens.argmax(dim=-1)  # [n], the end token has the highest id
    return _read_at(model, text_half(model).token_embedding(tokens[:, : int(ends.max()) + 1]), ends)


def _read_at(model: ClipModel, x: Tensor, ends: Tensor, deep: Tensor | None = None) -> Tensor:
    """x: embedded tokens [n, ≥ length, w]; ends: position of each end token [n]; deep: vectors [D - 1, M, w] that
    replace the M positions after the start token before each of the blocks from the second on → [n, d]."""
    half, length = text_half(model), int(ends.max()) + 1
    x = x[:, :length] + half.positional_embedding[:length]  # [n, length, w]
    mask = half.attn_mask[:length, :length]
    if deep is None or not len(deep):
        x = half.transformer(x, attn_mask=mask)
    else:
        for place, block in enumerate(half.transformer.resblocks):
            if 0 < place <= len(deep):
                learned = deep[place - 1].to(x.dtype).expand(len(x), -1, -1)  # [n, M, w]
                x = torch.cat([x[:, :1], learned, x[:, 1 + deep.shape[1] :]], dim=1)
            x = block(x, attn_mask=mask)
    x = half.ln_final(x)[torch.arange(len(x), device=x.device), ends]  # [n, w]
    features: Tensor = x @ half.text_projection  # [n, d]
    return features


def text_half(model: ClipModel) -> Any:
    """The module with the text tower's parts: `CLIP` holds them itself, `CustomTextCLIP` in its field `text`."""
    return model if isinstance(model, open_clip.CLIP) else model.text


def _is_causal(model: ClipModel) -> bool:
    """Whether this is a text tower like CLIP's own: causal, and read at the end token. Only there can later positions
    be left out."""
    half = text_half(model)
    if isinstance(half, open_clip.transformer.TextTransformer):
        pool, plain = half.pool_type, half.cls_emb is None and isinstance(half.text_projection, nn.Parameter)
    elif half is model:
        pool, plain = model.text_pool_type, True
    else:  # a tower of transformers
        return False
    return plain and half.attn_mask is not None and pool == "argmax"


def _output_dim(model: ClipModel) -> int:
    if isinstance(model, open_clip.CLIP):
        return int(model.text_projection.shape[1])
    return int(model.text.output_dim)
