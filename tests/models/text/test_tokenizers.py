"""Tokenizers: CLIP's own is always there; one that lives on the hub is had from its cache, or refused quickly."""

from __future__ import annotations

from pathlib import Path

import open_clip
import pytest
from tokenizers import Tokenizer as Words
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from models.text import tokenizers
from models.weights.errors import WeightsUnavailable


def test_clips_own_tokenizer_needs_no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokenizers, "hub_has_file", lambda *_: pytest.fail("the hub was asked"))
    assert tokenizers.open_clip_tokenizer("ViT-B-16-quickgelu")(["a cat"]).shape == (1, 77)


def test_without_cache_and_hub_it_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokenizers, "try_to_load_from_cache", lambda *_: None)
    monkeypatch.setattr(tokenizers, "hub_has_file", lambda *_: False)
    monkeypatch.setattr(open_clip, "get_tokenizer", lambda *_: pytest.fail("open_clip would ask for half a minute"))
    with pytest.raises(WeightsUnavailable, match="tokenizer of ViT-B-16-SigLIP"):
        tokenizers.open_clip_tokenizer("ViT-B-16-SigLIP")


@pytest.mark.parametrize("architecture", ["ViT-B-16-SigLIP", "ViT-B-16-SigLIP2"])
def test_a_cached_one_is_opened_without_the_hub(
    architecture: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    words = Words(WordLevel({"<pad>": 0, "<unk>": 1, "a": 2, "cat": 3}, unk_token="<unk>"))
    words.pre_tokenizer = Whitespace()
    words.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "tokenizer_config.json").write_text(
        '{"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "<pad>", "unk_token": "<unk>"}'
    )
    monkeypatch.setattr(tokenizers, "try_to_load_from_cache", lambda *_: str(tmp_path / "tokenizer.json"))
    monkeypatch.setattr(tokenizers, "hub_has_file", lambda *_: pytest.fail("the hub was asked"))
    ids = tokenizers.open_clip_tokenizer(architecture)(["A Cat!"])
    assert ids.shape == (1, 64)
    assert ids[0, :3].tolist() == [2, 3, 0]  # lower case, without punctuation, padded
