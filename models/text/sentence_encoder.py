"""MiniLM as a text encoder: the text half of `lite`."""

from __future__ import annotations

import copy

import tokenizers
import torch
from torch import Tensor, nn

from models.text import minilm
from models.weights.digests import digest
from models.weights.states import weights_digest


class SentenceTextEncoder:
    """MiniLM's sentence vectors, centred as the alignment of `lite` requires."""

    def __init__(self, model: minilm.MiniLM, centre: Tensor, tokenizer: tokenizers.Tokenizer, digest: str) -> None:
        """centre: [d], subtracted from every vector."""
        self._weights = CentredMiniLM(model, centre, tokenizer)
        self.module: nn.Module = self._weights.eval().requires_grad_(False)
        self.dim = minilm.WIDTH
        self.context_width: int | None = minilm.WIDTH
        self.digest = digest

    def encode_trained(self, texts: list[str]) -> Tensor:
        vectors, _ = minilm.encode_sentences(self._weights.encoder, self._weights.tokenizer, texts)
        return vectors - self._weights.centre  # [n, d]

    def for_training(self) -> SentenceTextEncoder:
        made = self._with(copy.deepcopy(self._weights.encoder), self.digest)
        for name, parameter in made.module.named_parameters():
            parameter.requires_grad_(name != "encoder.words.weight")
        return made

    def as_trained(self) -> SentenceTextEncoder:
        tokenizer = self._weights.tokenizer.to_str()
        weights = weights_digest(dict(self._weights.state_dict()))
        return self._with(copy.deepcopy(self._weights.encoder), digest("sentence-text", weights, tokenizer))

    @torch.no_grad()
    def encode(self, texts: list[str]) -> tuple[Tensor, list[bool]]:
        vectors, truncated = minilm.encode_sentences(self._weights.encoder, self._weights.tokenizer, texts)
        return vectors - self._weights.centre, truncated  # [n, d]

    def encode_with_context(self, texts: list[str], context: Tensor) -> Tensor:
        vectors, _ = minilm.encode_sentences(self._weights.encoder, self._weights.tokenizer, texts, context)
        return vectors - self._weights.centre  # [n, d]

    def _with(self, model: minilm.MiniLM, digest: str) -> SentenceTextEncoder:
        return SentenceTextEncoder(model, self._weights.centre, self._weights.tokenizer, digest)


class CentredMiniLM(nn.Module):
    """The weights of a `SentenceTextEncoder`, named as in the files of `lite`, together with their tokenizer."""

    centre: Tensor

    def __init__(self, model: minilm.MiniLM, centre: Tensor, tokenizer: tokenizers.Tokenizer) -> None:
        super().__init__()
        self.encoder = model
        self.tokenizer = tokenizer
        self.register_buffer("centre", centre)  # [d]
