"""What a run resolves from its request, its recipe, its base and its data."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from core.training_requests import TrainingRequest
from models.fitting.recipes import RECIPES
from models.image.tower import ImageTower
from models.recognition.base import Base
from tests.models.conftest import resnet_base, tiny_base
from worker.training.run.config import Config, resolve_config
from worker.training.run.parts import new_model

CPU = torch.device("cpu")


def resolved(base: Base, **wishes: Any) -> Config:
    request = TrainingRequest(name="run", dataset=f"ds_{'0' * 24}", **wishes)
    return resolve_config(request, base, ["a", "b"], 100, 100, CPU)


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
