"""The road from frames to video vectors gives what the model gives, and keeps clips together if time is mixed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
import torch

from core.vocabulary import TemporalKind
from models.image.pixels import normalised
from models.recognition.recognizer import Recognizer
from models.recognition.video_model import VideoModel
from tests.models.conftest import CPU, tiny_base

VIEWS, LENGTH = 3, 4


def trained(kind: TemporalKind) -> tuple[VideoModel, Recognizer]:
    """A model with that temporal head, and the recogniser that serves it."""
    torch.manual_seed(1)
    base = tiny_base()
    model = base.video_model(kind, "random").eval()
    served = replace(base, tower=model.tower, temporal=model.temporal, temporal_kind=kind)
    return model, served.recognizer(CPU, torch.float32)


def frames() -> npt.NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (VIEWS, LENGTH, 32, 32, 3)).astype(np.uint8)


@torch.no_grad()
@pytest.mark.parametrize("kind", ["mean", "transformer", "token_conv"])
def test_vectors_are_those_of_the_model(kind: TemporalKind) -> None:
    model, recognizer = trained(kind)
    pixels = normalised(torch.from_numpy(frames()).flatten(0, 1), recognizer.profile, CPU)  # [V·T, 3, S, S]
    expected = model(pixels.view(VIEWS, LENGTH, *pixels.shape[1:]))  # [V, d]
    torch.testing.assert_close(recognizer.video_vectors(frames()), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("kind", "expected"), [("mean", 1), ("token_conv", LENGTH)])
def test_the_forward_is_told_which_frames_belong_together(kind: TemporalKind, expected: int) -> None:
    _, recognizer = trained(kind)
    seen: list[tuple[int, int]] = []

    def forward(flat: npt.NDArray[np.uint8], clip: int) -> torch.Tensor:
        seen.append((len(flat), clip))
        return recognizer.encode_frames(flat, clip)

    features = recognizer.encode_clips(frames(), forward)
    assert seen == [(VIEWS * LENGTH, expected)]
    assert features.shape == (VIEWS, LENGTH, recognizer.dim)
    assert torch.equal(features, recognizer.encode_clips(frames()))


def test_half_a_clip_is_refused() -> None:
    _, recognizer = trained("token_conv")
    with pytest.raises(ValueError, match="5 frames are not whole clips of 4"):
        recognizer.encode_frames(frames().reshape(-1, 32, 32, 3)[:5], clip=4)
