"""From bytes to the input of an image tower, against values computed by hand."""

from __future__ import annotations

from unittest.mock import MagicMock

import pytest
import torch

from models.image.pixels import normalised
from tests.models.conftest import CPU, tiny_profile


def test_each_channel_has_its_own_mean_and_deviation() -> None:
    profile = tiny_profile(mean=[0.1, 0.2, 0.4], std=[0.5, 0.25, 0.2])
    frames = torch.tensor([[[[51, 102, 204], [0, 255, 51]]]], dtype=torch.uint8)  # [1, 1, 2, 3]
    pixels = normalised(frames, profile, CPU)
    assert (pixels.shape, pixels.dtype) == ((1, 3, 1, 2), torch.float32)
    expected = [[(0.2 - 0.1) / 0.5, -0.1 / 0.5], [(0.4 - 0.2) / 0.25, 0.8 / 0.25], [(0.8 - 0.4) / 0.2, -0.2 / 0.2]]
    for channel, values in zip(pixels[0, :, 0].tolist(), expected, strict=True):
        assert channel == pytest.approx(values, abs=1e-6)


def test_the_frames_stay_as_they_were() -> None:
    frames = torch.full((2, 4, 4, 3), 7, dtype=torch.uint8)
    normalised(frames, tiny_profile(), CPU)
    assert (frames == 7).all()


def test_frames_go_to_a_gpu_from_pinned_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """A double of the frames and of the constants: no test has a GPU."""
    gpu, frames = torch.device("cuda"), MagicMock(is_cuda=False)
    monkeypatch.setattr("models.image.pixels._per_channel", lambda values, device: (values, device))
    normalised(frames, tiny_profile(), gpu)
    frames.pin_memory.return_value.to.assert_called_once_with(gpu, non_blocking=True)
    frames.to.assert_not_called()


def test_frames_on_a_cpu_are_not_pinned() -> None:
    frames = MagicMock(is_cuda=False)
    normalised(frames, tiny_profile(), CPU)
    frames.pin_memory.assert_not_called()
