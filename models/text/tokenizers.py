"""Tokenizers of open_clip models. CLIP's own comes with the package; some models use one from the model hub."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import open_clip
import torch
from huggingface_hub import try_to_load_from_cache
from open_clip.tokenizer import HFTokenizer

from models.weights.errors import WeightsUnavailable
from models.weights.hub import hub_has_file

Tokenizer = Callable[..., torch.Tensor]
"""(texts, context_length) → token ids [n, context_length]."""

_FILE = "tokenizer.json"


def open_clip_tokenizer(architecture: str) -> Tokenizer:
    """The architecture's tokenizer: from the package, from the hub's cache, or from the hub. If the hub cannot be
    reached, this fails within seconds, without half a minute of retries. Raises: WeightsUnavailable."""
    text = (open_clip.get_model_config(architecture) or {}).get("text_cfg", {})
    repository = text.get("hf_tokenizer_name")
    tokenizer: Tokenizer
    if repository and isinstance(cached := try_to_load_from_cache(repository, _FILE), str):
        options = text.get("tokenizer_kwargs", {})
        tokenizer = HFTokenizer(str(Path(cached).parent), context_length=text.get("context_length", 77), **options)
        return tokenizer
    if repository and not hub_has_file(repository, _FILE):
        raise WeightsUnavailable(
            f"The tokenizer of {architecture} ({repository}) is not on this machine, and its hub cannot be reached.",
            "Let this machine reach the hub once, or choose a model with CLIP's own tokenizer, such as clip-b16.",
        )
    return _packaged_tokenizer(architecture)


@lru_cache(maxsize=8)
def _packaged_tokenizer(architecture: str) -> Tokenizer:
    """Reading CLIP's 48,894 merges takes 0.1 s, and a run opens its model three times."""
    tokenizer: Tokenizer = open_clip.get_tokenizer(architecture)
    return tokenizer
