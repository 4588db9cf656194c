"""One road: what a base trains and what it serves give the same vectors, through every head."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
import torch

from core.vocabulary import TemporalKind
from models.image.pixels import normalised
from models.recognition.base import Base
from models.recognition.recognizer import Recognizer
from models.recognition.video_model import VideoModel
from tests.models.conftest import CPU, resnet_base, tiny_base


def frames(count: int, size: int = 32) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (count, size, size, 3)).astype(np.uint8)


def trained(base: Base, kind: TemporalKind) -> VideoModel:
    """A video model that is no longer where it started."""
    torch.manual_seed(0)
    model = base.video_model(kind)
    with torch.no_grad():
        new = ((name, parameter) for role, name, parameter in model.parameters_by_role() if role == "head")
        for _, parameter in (*new, *model.tower.projection_parameters()):
            parameter.add_(torch.randn_like(parameter), alpha=0.02)
        model.logit_scale.add_(0.1)
    return model.eval()


@torch.no_grad()
def video_vectors(model: VideoModel, base: Base, views: int, clip: int) -> torch.Tensor:
    """As training computes them [V, d]."""
    pixels = normalised(torch.from_numpy(frames(views * clip)), base.profile, CPU)  # [V·T, 3, S, S]
    return model(pixels.view(views, clip, *pixels.shape[1:]))  # type: ignore[no-any-return]


def served_vectors(recognizer: Recognizer, views: int, clip: int) -> torch.Tensor:
    """As a worker computes them [V, d]."""
    return recognizer.video_vectors(frames(views * clip).reshape(views, clip, 32, 32, 3))


@pytest.mark.parametrize("architecture", ["vit", "resnet", "lite"])
def test_a_zoo_model_is_served_as_it_starts_to_train(architecture: str, request: pytest.FixtureRequest) -> None:
    base = {"vit": tiny_base, "resnet": resnet_base}.get(architecture, lambda: request.getfixturevalue("lite_base"))()
    served = served_vectors(base.recognizer(CPU, torch.float32), 2, 3)
    expected = video_vectors(base.video_model("mean").eval(), base, 2, 3)
    torch.testing.assert_close(served, expected, rtol=1e-3, atol=1e-4)  # lite is served with its batch norms folded


def with_head(base: Base, kind: TemporalKind) -> tuple[Base, VideoModel]:
    """A base that has learned that head, and its model as trained."""
    model = trained(base, kind)
    return replace(base, tower=model.tower, temporal=model.temporal, temporal_kind=kind), model


@pytest.mark.parametrize(
    ("make", "kind"),
    [(tiny_base, "mean"), (tiny_base, "transformer"), (tiny_base, "token_conv"), (resnet_base, "conv")],
)
def test_every_head_is_served_as_it_was_trained(make: Callable[[], Base], kind: TemporalKind) -> None:
    base, model = with_head(make(), kind)
    expected = video_vectors(model, base, 2, 3)
    recognizer = base.recognizer(CPU, torch.float32)
    assert recognizer.mixes_time is (kind in ("token_conv", "conv"))
    torch.testing.assert_close(served_vectors(recognizer, 2, 3), expected, rtol=1e-4, atol=1e-5)


def test_a_head_that_was_trained_is_trained_further_and_another_one_is_new() -> None:
    base, model = with_head(tiny_base(), "transformer")
    again = base.video_model("transformer", "identity")
    assert all(torch.equal(a, b) for a, b in zip(model.temporal.parameters(), again.temporal.parameters(), strict=True))
    assert next(again.temporal.parameters()) is not next(base.temporal.parameters())
    assert not list(base.video_model("mean").temporal.parameters())


def test_serving_a_copy_leaves_the_base_as_it_was() -> None:
    base = tiny_base()
    half = base.recognizer(CPU, torch.bfloat16)
    assert {parameter.dtype for parameter in base.tower.parameters()} == {torch.float32}
    full = base.recognizer(CPU, torch.float32, keep=False)
    assert full.image_tower is base.tower
    assert half.encode_frames(frames(2)).shape == full.encode_frames(frames(2)).shape


def test_texts_are_the_same_in_training_and_in_serving() -> None:
    base = tiny_base()
    expected, _ = base.text_encoder.encode(["a cat", "a dog"])
    actual, _ = base.recognizer(CPU, torch.bfloat16).encode_texts(["a cat", "a dog"])
    assert torch.equal(actual, expected)


def test_the_bytes_that_a_recogniser_holds_are_counted() -> None:
    full, half = tiny_base().recognizer(CPU, torch.float32), tiny_base().recognizer(CPU, torch.bfloat16)
    base = tiny_base()
    vision = sum(p.numel() for p in base.tower.parameters())
    assert full.nbytes > 4 * (vision + 49408 * 64)
    assert full.nbytes - half.nbytes == 2 * vision
    base = resnet_base()  # with the statistics of its batch norms
    modules = (base.tower, base.temporal, base.text_encoder.module)
    every = [tensor for module in modules for tensor in (*module.parameters(), *module.buffers())]
    assert base.recognizer(CPU, torch.float32).nbytes == sum(tensor.nbytes for tensor in every)


def test_half_a_clip_is_refused() -> None:
    with pytest.raises(ValueError, match="7 frames are not whole clips of 4"):
        tiny_base().recognizer(CPU, torch.float32).encode_frames(frames(7), clip=4)


def test_another_head_on_a_tower_that_learned_with_time_is_refused() -> None:
    base = tiny_base()
    model = base.video_model("token_conv")
    mixing = Base(
        name="mixing:1",
        architecture=base.architecture,
        tower=model.tower,
        temporal=model.temporal,
        temporal_kind="token_conv",
        text_encoder=base.text_encoder,
        profile=base.profile,
        dim=base.dim,
        logit_scale=base.logit_scale,
        text_width=base.text_width,
        digest="x",
    )
    with pytest.raises(ValueError, match="cannot have the temporal head 'transformer'"):
        mixing.video_model("transformer")
    assert mixing.video_model("token_conv").tower.mixes_time
