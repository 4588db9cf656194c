"""Encoding by the model in training: precision, mode, order of clips."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models.frames.arrays import UInt8Array
from models.frames.sampling import Views
from tests.models.conftest import CPU, tiny_base, tiny_profile
from worker.training.run.encoding import encode_videos, encoder_of
from worker.training.run.stop import Stop, Stopped

VIEWS = Views.parse("3x1")


def video(seed: int) -> UInt8Array:
    """uint8 [V, T, S, S, 3]."""
    return np.random.default_rng(seed).integers(0, 256, (VIEWS.count, 4, 32, 32, 3)).astype(np.uint8)


@pytest.mark.parametrize(("compute", "tower"), [(torch.bfloat16, torch.bfloat16), (torch.float32, torch.float32)])
def test_the_tower_is_autocast_and_the_head_is_fp32(compute: torch.dtype, tower: torch.dtype) -> None:
    model = tiny_base().video_model("transformer", "random").train()
    seen: dict[str, object] = {}

    def tower_hook(_module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
        seen["tower"] = output.dtype

    def head_hook(_module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        seen["head"] = (inputs[0].dtype, output.dtype, torch.is_autocast_enabled("cpu"))

    model.tower.register_forward_hook(tower_hook)
    model.temporal.register_forward_hook(head_hook)
    with encoder_of(model, tiny_profile(), CPU, compute) as encoder:
        modes = [model.training]
        assert encoder.video_vectors(video(0)).dtype is torch.float32
    assert [*modes, model.training] == [False, True]
    assert seen == {"tower": tower, "head": (torch.float32, torch.float32, False)}


def test_videos_are_encoded_in_order_whatever_shares_a_pass() -> None:
    model = tiny_base().video_model("mean")
    videos = [(4, video(0)), (7, video(1))]
    with encoder_of(model, tiny_profile(), CPU, torch.float32) as encoder:
        indices, vectors = encode_videos(videos, encoder, VIEWS, 8, Stop())
        expected = torch.stack([encoder.video_vectors(frames) for _, frames in videos])
    assert indices == [4, 7]
    torch.testing.assert_close(vectors, expected, rtol=1e-4, atol=1e-5)


def test_no_videos_have_no_vectors() -> None:
    with encoder_of(tiny_base().video_model("mean"), tiny_profile(), CPU, torch.float32) as encoder:
        indices, vectors = encode_videos([], encoder, VIEWS, 8, Stop())
    assert indices == []
    assert vectors.shape == (0, 3, encoder.dim)


def test_a_stop_ends_the_encoding_and_restores_the_mode() -> None:
    model, stop = tiny_base().video_model("mean").train(), Stop()
    stop.requested = True
    with pytest.raises(Stopped), encoder_of(model, tiny_profile(), CPU, torch.float32) as encoder:
        encode_videos([(0, video(0))], encoder, VIEWS, 8, stop)
    assert model.training
