"""What a run resolves from its request, its recipe, its base and its data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch

from core.training_requests import TrainingRequest
from models.fitting.recipes import RECIPES
from models.image.tower import ImageTower
from models.recognition.base import Base
from tests.models.conftest import resnet_base, tiny_base
from worker.training.run import config as config_module
from worker.training.run.config import Config, resolve_config
from worker.training.run.parts import new_model

CPU = torch.device("cpu")


def resolved(
    base: Base,
    clips: int = 100,
    drawn: int | None = None,
    device: torch.device = CPU,
    labels: Sequence[str] = ("a", "b"),
    **wishes: Any,
) -> Config:
    request = TrainingRequest(name="run", dataset=f"ds_{'0' * 24}", **wishes)
    return resolve_config(request, base, labels, clips, drawn or clips, device)


def built(base: Base, **wishes: Any) -> ImageTower:
    return new_model(base, resolved(base, **wishes), CPU).tower


@pytest.mark.parametrize("recipe", RECIPES)
def test_tokent1d_starts_as_the_shift_unless_the_request_says_otherwise(recipe: Any) -> None:
    """Method §6: a quarter of the channels copies t + 1, a quarter t − 1."""
    base = tiny_base()
    assert resolved(base, recipe=recipe, temporal="token_conv").temporal_init == "shift"
    for conv in built(base, recipe=recipe, temporal="token_conv").time_blocks:
        quarter = len(conv.weight) // 4  # type: ignore[arg-type]
        taps = conv.weight[:, 0].argmax(dim=1)  # type: ignore[index]
        assert taps.tolist() == [2] * quarter + [0] * quarter + [1] * 2 * quarter
    for conv in built(base, recipe=recipe, temporal="token_conv", temporal_init="identity").time_blocks:
        assert (conv.weight[:, 0].argmax(dim=1) == 1).all()  # type: ignore[index]


def test_each_head_starts_as_its_recipe_or_the_request_says() -> None:
    assert resolved(tiny_base(), temporal="transformer").temporal_init == "identity"
    assert resolved(tiny_base(), temporal="transformer", recipe="text4vis").temporal_init == "random"
    assert resolved(tiny_base(), temporal="transformer", temporal_init="random").temporal_init == "random"
    assert resolved(resnet_base(), temporal="conv", recipe="text4vis").temporal_init == "identity"


def test_the_request_goes_before_the_recipe() -> None:
    config = resolved(tiny_base(), learning_rate=0.25, epochs=3, batch_size=7, seed=0, recipe="text4vis", frames=5)
    assert (config.lr, config.epochs, config.batch, config.frames) == (0.25, 3, 7, 5)


def test_a_published_recipe_keeps_its_numbers_on_any_base() -> None:
    config = resolved(tiny_base(), recipe="text4vis")
    assert (config.lr, config.recipe.betas, config.epochs, config.frames) == (5e-5, (0.9, 0.98), 30, 8)
    assert config.augment is not None
    assert config.augment.randaugment is None, "100 clips are small data (method §16 #4)"


def test_a_few_shot_epoch_repeats_the_shots_to_the_length_of_the_whole() -> None:
    """Method §10: floor(N / (C · K)) times; the batch is that of the repeated clips."""
    config = resolved(tiny_base(), clips=100, drawn=8, shots=4)
    assert (config.repeats, config.batch, config.temporal) == (12, 12, "mean")
    assert resolved(tiny_base(), clips=100).repeats == 1


def test_the_size_of_the_whole_data_decides_what_needs_much_of_it() -> None:
    """Counted before the draw of shots."""
    config = resolved(tiny_base(), clips=240_000, drawn=800, shots=2, tune="tower")
    assert config.augment is not None
    assert config.augment.randaugment == (2, 9)
    assert config.epochs == 2


@pytest.mark.parametrize(
    ("requested", "recipe", "device", "native", "expected"),
    [
        ("auto", "default", "cpu", True, "fp32"),
        ("bf16", "default", "cpu", True, "bf16"),
        ("auto", "text4vis", "cpu", True, "fp32"),
        ("auto", "default", "cuda", True, "bf16"),
        ("auto", "default", "cuda", False, "fp16"),
        ("auto", "text4vis", "cuda", True, "fp16"),
        ("fp32", "text4vis", "cuda", True, "fp32"),
    ],
)
def test_the_precision_is_the_request_s_then_the_recipe_s_then_the_best_of_the_device(
    requested: str, recipe: str, device: str, native: bool, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config_module, "has_native_bf16", lambda _: native)
    found = resolved(tiny_base(), device=torch.device(device), precision=requested, recipe=recipe)
    assert found.precision == expected


def test_micro_batches_are_as_requested_and_never_larger_than_the_batch() -> None:
    base, gpu = tiny_base(), torch.device("cuda")
    assert [resolved(base, device=device, batch_size=64).micro for device in (CPU, gpu)] == [2, 32]
    assert resolved(base, micro_batch=5, batch_size=64).micro == 5
    assert resolved(base, micro_batch=9, batch_size=4).micro == 4


def test_a_trained_head_stays_unless_the_request_names_another() -> None:
    trained = replace(tiny_base(), temporal_kind="transformer")
    assert resolved(trained).temporal == "transformer"
    assert resolved(tiny_base()).temporal == "mean"
    assert resolved(trained, temporal="token_conv").temporal == "token_conv"
    assert resolved(tiny_base(), clips=240_000).temporal == "transformer"


def test_clips_are_augmented_where_the_tower_is_trained_unless_the_request_says_otherwise() -> None:
    base = tiny_base()
    assert resolved(base, tune="tower").augment is not None
    assert resolved(base, tune="projection").augment is None
    assert resolved(base, tune="tower", augment=False).augment is None
    assert resolved(base, tune="projection", augment=True).augment is not None


@pytest.mark.parametrize(
    ("labels", "flip"), [(("turn_left", "turnRight"), 0.0), (("leftovers", "copyright"), 0.5)], ids=str
)
def test_classes_about_left_and_right_are_not_flipped(labels: tuple[str, ...], flip: float) -> None:
    augment = resolved(tiny_base(), labels=labels, tune="tower").augment
    assert augment is not None
    assert augment.flip == flip


def test_the_card_has_what_the_request_decided() -> None:
    wishes: dict[str, Any] = {"gradient_checkpointing": True, "cache_frames": True, "tune": "projection"}
    said = resolved(tiny_base(), learning_rate=0.25, batch_size=7, micro_batch=3, frames=5, **wishes).to_dict()
    expected = {"lr": 0.25, "global_batch": 7, "micro_batch": 3, "repeats": 1, "frames": 5, "augment": None}
    assert expected | wishes | {"precision": "fp32", "grad_clip": 1.0} == {
        name: said[name] for name in (*expected, *wishes, "precision", "grad_clip")
    }
