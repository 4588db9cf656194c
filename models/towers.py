"""The two towers of an open_clip model, as a recogniser calls them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import open_clip
import torch

from models.digest import digest
from models.profile import Profile
from models.recognizer import Recognizer, TextTower
from models.tokenizers import Tokenizer, open_tokenizer
from models.weights import weights_digest

ClipModel = Any
"""open_clip's CLIP or CustomTextCLIP: it has no types."""
SETTLED_CONTEXT = 77  # CLIP's, where a tokenizer does not say its own


def clip_recognizer(
    name: str, model: ClipModel, architecture: str, profile: Profile, device: torch.device, dtype: torch.dtype
) -> Recognizer:
    """A recogniser around an open_clip model whose weights are loaded."""
    state = model.state_dict()
    text_state = {key: value for key, value in state.items() if not key.startswith("visual.")}
    weights, text_weights = weights_digest(state), weights_digest(text_state)
    tokenizer = open_tokenizer(architecture)
    context = int(getattr(tokenizer, "context_length", None) or SETTLED_CONTEXT)
    return Recognizer(
        name=name,
        image_tower=_image_tower(model, device, dtype),
        text_tower=_text_tower(model, tokenizer, context, device, dtype),
        profile=profile,
        dim=_width(model),
        logit_scale=float(state["logit_scale"].exp()),
        digest=digest("clip", architecture, weights),
        text_digest=digest("clip-text", architecture, text_weights, type(tokenizer).__name__, context),
        device=device,
        dtype=dtype,
    )


def _width(model: ClipModel) -> int:
    return int(model.visual.output_dim if hasattr(model.visual, "output_dim") else model.text.output_dim)


def _image_tower(model: ClipModel, device: torch.device, dtype: torch.dtype) -> Callable[[torch.Tensor], torch.Tensor]:
    visual = model.visual.to(device=device, dtype=dtype, memory_format=torch.channels_last)

    def encode(pixels: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = visual(pixels)  # [N, 3, S, S] → [N, d]
        return features

    return encode


def _text_tower(
    model: ClipModel, tokenizer: Tokenizer, context: int, device: torch.device, dtype: torch.dtype
) -> TextTower:
    """On a CPU the text tower stays in fp32: rows are cached, and short bf16 products gain nothing there."""
    text_dtype = torch.float32 if device.type == "cpu" else dtype
    for part, module in model.named_children():
        if part != "visual":
            module.to(device=device, dtype=text_dtype)
    for parameter in ("positional_embedding", "text_projection"):
        if isinstance(tensor := getattr(model, parameter, None), torch.nn.Parameter):
            tensor.data = tensor.data.to(device=device, dtype=text_dtype)
    if isinstance(mask := getattr(model, "attn_mask", None), torch.Tensor):
        model.attn_mask = mask.to(device=device, dtype=text_dtype)
    tokenizing = threading.Lock()  # Hugging Face's fast tokenizers are not re-entrant ("Already borrowed")
    encode_tokens = _encode_trimmed if _is_causal(model) else _encode_whole

    def encode(texts: list[str]) -> tuple[torch.Tensor, list[bool]]:
        with tokenizing:
            tokens = tokenizer(texts, context_length=context)  # [n, context]
            truncated = overlong(tokenizer, texts, context)
        return encode_tokens(model, tokens.to(device)), truncated

    return encode


def overlong(tokenizer: Tokenizer, texts: list[str], context: int) -> list[bool]:
    """Whose end the text tower does not read. open_clip's tokenizers cut in silence; given one more slot, the ids of a
    text that fits stay as they were, and those of a longer one change where its end mark stood."""
    tokens = tokenizer(texts, context_length=context)  # [n, context]
    wider = tokenizer(texts, context_length=context + 1)  # [n, context + 1]
    flags: list[bool] = (tokens != wider[:, :context]).any(dim=1).tolist()  # [n]
    return flags


def _is_causal(model: ClipModel) -> bool:
    """CLIP's own text tower: causal, read at the end token. Only there do later positions change nothing."""
    return isinstance(model, open_clip.CLIP) and model.attn_mask is not None and model.text_pool_type == "argmax"


def _encode_whole(model: ClipModel, tokens: torch.Tensor) -> torch.Tensor:
    features: torch.Tensor = model.encode_text(tokens)  # [n, context] → [n, d]
    return features


def _encode_trimmed(model: ClipModel, tokens: torch.Tensor) -> torch.Tensor:
    """The same as `encode_text`, without the positions behind the longest text's end token: labels use about ten of
    77, and under a causal mask no earlier position sees a later one."""
    ends = tokens.argmax(dim=-1)  # [n], the end token has the highest id
    length = int(ends.max()) + 1
    x = model.token_embedding(tokens[:, :length]) + model.positional_embedding[:length]  # [n, length, w]
    x = model.transformer(x, attn_mask=model.attn_mask[:length, :length])
    x = model.ln_final(x)[torch.arange(len(x), device=x.device), ends]  # [n, w]
    features: torch.Tensor = x @ model.text_projection  # [n, d]
    return features
