"""A tiny random CLIP through the whole recogniser: what open_clip itself computes, ours must compute."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.recognition.recognizer import Recognizer
from models.text import clip_encoder
from models.text.clip_encoder import overlong
from tests.models.conftest import clip_recognizer, tiny_clip

TOKENIZER = open_clip.get_tokenizer("ViT-B-16-quickgelu")


def frames(count: int, seed: int = 0) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.random.default_rng(seed).integers(0, 256, (count, 32, 32, 3)).astype(np.uint8)


@torch.no_grad()
def test_frames_are_normalised_and_encoded_as_open_clip_would(
    recognizer: Recognizer, clip_model: torch.nn.Module
) -> None:
    pixels = torch.from_numpy(frames(3)).permute(0, 3, 1, 2).float() / 255  # [3, 3, 32, 32]
    expected = open_clip.CLIP.encode_image(clip_model, (pixels - 0.5) / 0.5)
    actual = recognizer.encode_frames(frames(3))
    assert actual.shape == (3, recognizer.dim)
    assert actual.dtype == torch.float32
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-5)


def test_a_frame_has_the_same_vector_in_any_company(recognizer: Recognizer) -> None:
    together = recognizer.encode_frames(frames(5))
    alone = torch.cat([recognizer.encode_frames(frame[None]) for frame in frames(5)])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


def test_pooling_is_the_mean_of_unnormalised_vectors_in_any_order(recognizer: Recognizer) -> None:
    features = torch.randn(2, 8, recognizer.dim) * torch.arange(1, 9).view(1, 8, 1)
    pooled = recognizer.pool(features)
    torch.testing.assert_close(pooled, features.sum(dim=1) / 8)
    torch.testing.assert_close(pooled, recognizer.pool(features[:, torch.randperm(8)]))


@settings(max_examples=20, deadline=None)
@given(texts=st.lists(st.text(max_size=40), min_size=1, max_size=6))
@torch.no_grad()
def test_the_trimmed_context_changes_no_vector(
    recognizer: Recognizer, clip_model: torch.nn.Module, texts: list[str]
) -> None:
    expected = open_clip.CLIP.encode_text(clip_model, TOKENIZER(texts))  # all 77 positions
    actual, _ = recognizer.encode_texts(texts)
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-5)


def test_only_causal_towers_are_trimmed(monkeypatch: pytest.MonkeyPatch) -> None:
    model: Any = tiny_clip()
    model.attn_mask = None  # each position now sees all others, padding too
    monkeypatch.setattr(
        clip_encoder, "encode_trimmed", lambda *_: pytest.fail("trimmed a tower that reads its padding")
    )
    bidirectional = clip_recognizer(model)
    assert bidirectional.encode_texts(["a cat"])[0].shape == (1, 32)


@pytest.mark.parametrize(("words", "cut"), [(1, False), (75, False), (76, True), (500, True)])
def test_truncation_is_seen_at_the_very_token(recognizer: Recognizer, words: int, cut: bool) -> None:
    _, truncated = recognizer.encode_texts(["cat " * words, "a cat"])  # 77 slots, two of them for the marks
    assert truncated == [cut, False]


def test_truncation_is_what_the_tokenizer_loses() -> None:
    short, long = "cat " * 75, "cat " * 75 + "dog"
    assert TOKENIZER([short]).tolist() == TOKENIZER([long]).tolist()  # open_clip says nothing (method §18)
    assert overlong(TOKENIZER, [short, long], 77) == [False, True]


def test_digests_follow_the_weights_not_the_precision() -> None:
    def digests(
        model: torch.nn.Module, dtype: torch.dtype = torch.float32, architecture: str = "ViT-B-16"
    ) -> list[str]:
        made = clip_recognizer(model, architecture, dtype)
        return [made.digest, made.text_digest]

    base = digests(tiny_clip())
    assert digests(tiny_clip()) == base
    assert digests(tiny_clip(), torch.bfloat16) == base
    assert not set(digests(tiny_clip(seed=1))) & set(base)
    assert not set(digests(tiny_clip(), architecture="ViT-B-16-quickgelu")) & set(base)
    other_eye: Any = tiny_clip()
    with torch.no_grad():
        other_eye.visual.proj[0, 0] += 1
    images, texts = digests(other_eye)
    assert images != base[0]
    assert texts == base[1]  # rows made before stay good


def test_bf16_stays_close_to_fp32(recognizer: Recognizer) -> None:
    half = clip_recognizer(tiny_clip(), dtype=torch.bfloat16)
    assert half.precision == "bf16"
    cosine = torch.cosine_similarity(half.encode_frames(frames(8)), recognizer.encode_frames(frames(8)))
    assert cosine.min() > 0.999


def test_many_threads_get_what_one_gets(recognizer: Recognizer) -> None:
    texts = [f"label number {i} {'very ' * (i % 9)}long" for i in range(32)]
    alone = [recognizer.encode_texts([text])[0] for text in texts]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda text: recognizer.encode_texts([text])[0], texts))
    for one, many in zip(alone, together, strict=True):
        torch.testing.assert_close(one, many)


def test_the_logit_scale_is_the_checkpoints(recognizer: Recognizer) -> None:
    assert recognizer.logit_scale == pytest.approx(1 / 0.07, rel=1e-5)  # CLIP's initial value
